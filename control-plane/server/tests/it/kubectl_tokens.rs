//! Service accounts with the real kubectl: made, given a token, used, and shut out.

use std::time::{Duration, Instant};

use crate::process::Shell;

/// In which a revoked token is refused, and what a busy machine may add.
const REFUSED_WITHIN: Duration = Duration::from_secs(8);

/// The account of an agent, whose role reads orders.
const NAMESPACE: &str = "dropmate-system";

fn refused_soon(shell: &Shell, token: &str) {
    let begun = Instant::now();
    loop {
        let tried = shell.kubectl(&["get", "orders", "-A", "--token", token]);
        if tried.code != 0 {
            assert!(tried.err.contains("Unauthorized") || tried.err.contains("logged in"), "{tried:?}");
            return;
        }
        assert!(begun.elapsed() < REFUSED_WITHIN, "the token is still good");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn kubectl_makes_a_token_and_uses_it_until_it_is_revoked() {
    let shell = Shell::open();
    let made = shell.kubectl(&["create", "serviceaccount", "tracking", "-n", NAMESPACE]).ok();
    assert_eq!(made, "serviceaccount/tracking created\n");
    assert!(shell.kubectl(&["get", "sa", "-n", NAMESPACE, "-o", "name"]).ok().contains("serviceaccount/tracking"));
    let create = |more: &[&str]| {
        let args: Vec<&str> = ["create", "token", "tracking", "-n", NAMESPACE].iter().chain(more).copied().collect();
        shell.kubectl(&args)
    };
    let token = create(&["--duration", "1h"]).ok().trim().to_owned();
    let who = shell.kubectl(&["auth", "whoami", "--token", &token, "-o", "jsonpath={.status.userInfo.username}"]).ok();
    assert_eq!(who, "system:serviceaccount:dropmate-system:tracking");
    shell.kubectl(&["get", "orders", "-A", "--token", &token]).ok();

    let path = "/v1/namespaces/dropmate-system/serviceaccounts/tracking/tokens";
    shell.kubectl(&["delete", "--raw", path]).ok();
    refused_soon(&shell, &token);
    let anew = create(&[]).ok().trim().to_owned();
    shell.kubectl(&["get", "orders", "-A", "--token", &anew]).ok();
    shell.kubectl(&["delete", "serviceaccount", "tracking", "-n", NAMESPACE]).ok();
    refused_soon(&shell, &anew);
    shell.kubectl(&["create", "serviceaccount", "tracking", "-n", NAMESPACE]).ok();
    refused_soon(&shell, &anew);
}

#[test]
fn kubectl_is_told_what_a_token_cannot_be() {
    let shell = Shell::open();
    let missing = shell.kubectl(&["create", "token", "nobody"]).refused();
    assert!(missing.contains("serviceaccounts \"nobody\" not found"), "{missing}");
    shell.kubectl(&["create", "sa", "pipeline"]).ok();
    let short = shell.kubectl(&["create", "token", "pipeline", "--duration", "1m"]).refused();
    assert!(short.contains("may not specify a duration less than 10 minutes"), "{short}");
    let elsewhere = shell.kubectl(&["create", "token", "pipeline", "--audience", "vault"]).refused();
    assert!(elsewhere.contains("Unsupported value: \"vault\": supported values: \"dropmate\""), "{elsewhere}");
    let resources = shell.kubectl(&["api-resources", "--no-headers"]).ok();
    for plural in ["serviceaccounts", "selfsubjectreviews", "tokenreviews"] {
        assert!(resources.lines().any(|line| line.starts_with(plural)), "{plural} in {resources}");
    }
    let review = r#"{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "x"}}"#;
    let told = shell.kubectl_with(&["create", "-f", "-", "-o", "jsonpath={.status.authenticated}"], review).ok();
    assert_eq!(told, "false");
    assert!(shell.kubectl(&["explain", "serviceaccount.automountServiceAccountToken"]).ok().contains("boolean"));
}
