//! Sessions as a terminal has them: kept for nobody else, renewed by one at a time, used by dropmate and by kubeconfigs.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    fake::Fake,
    support::{Ended, Server, dropmate, examples, run},
};

const EMAIL: &str = "ada@example.com";

/// `dropmate` with a home of its own.
fn at_home(home: &TempDir, args: &[&str]) -> Command {
    let mut command = dropmate();
    command.args(args).env("HOME", home.path()).env_remove("XDG_CONFIG_HOME").env("DROPMATE_DATA_DIR", home.path());
    command
}

/// Runs it with that on its standard input.
fn fed(command: &mut Command, input: &str) -> Ended {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn grant(number: usize, seconds: u64) -> String {
    let (access, refresh) = (format!("access-{number}"), format!("refresh-{number}"));
    json!({"accessToken": access, "tokenType": "Bearer", "expiresIn": seconds, "refreshToken": refresh}).to_string()
}

/// A server that logs everybody in for so many seconds, and counts renewals.
fn server(seconds: u64) -> (Fake, Arc<AtomicUsize>) {
    let renewals = Arc::new(AtomicUsize::new(0));
    let counted = renewals.clone();
    let fake = Fake::start(move |_, path| match path {
        "/v1/auth/login" | "/v1/auth/invitations/accept" => (200, grant(0, seconds)),
        "/v1/auth/refresh" => {
            // Long enough for another to come in between.
            thread::sleep(Duration::from_millis(200));
            (200, grant(1 + counted.fetch_add(1, Ordering::SeqCst), 900))
        }
        "/v1/me" => (
            200,
            json!({"user": EMAIL, "memberships": [{"namespace": "acme", "role": "driver", "driver": "ada"}]})
                .to_string(),
        ),
        _ => (204, String::new()),
    });
    (fake, renewals)
}

fn login(home: &TempDir, server: &Fake) -> Ended {
    let args = ["login", "--server", &server.url, "--email", EMAIL, "--password-stdin", "-n", "acme"];
    fed(&mut at_home(home, &args), "a long enough password\n")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_login_is_kept_for_its_owner_alone_and_used_without_naming_the_server() {
    let (home, (server, _)) = (tempfile::tempdir().unwrap(), server(900));
    let done = login(&home, &server).with_code(0);
    assert!(!format!("{done:?}").contains("access-0"), "{done:?}");
    let sessions = home.path().join(".config/dropmate/sessions.json");
    assert_eq!((mode(&sessions), mode(sessions.parent().unwrap())), (0o600, 0o700));
    let kubeconfig = fs::read_to_string(home.path().join(".kube/config")).unwrap();
    assert!(kubeconfig.contains("current-context: dropmate") && kubeconfig.contains("namespace: acme"), "{kubeconfig}");
    assert!(!kubeconfig.contains("access-") && !kubeconfig.contains("refresh-"), "{kubeconfig}");

    let me = run(&mut at_home(&home, &["whoami"])).with_code(0);
    assert!(me.out.contains(EMAIL) && me.out.contains("acme        driver   ada"), "{}", me.out);
    let heads = server.requests.lock().unwrap().clone();
    assert!(heads.last().unwrap().to_lowercase().contains("authorization: bearer access-0"), "{heads:?}");

    run(&mut at_home(&home, &["logout"])).with_code(0);
    assert!(!fs::read_to_string(&sessions).unwrap().contains("refresh-0"));
    assert!(server.requests.lock().unwrap().iter().any(|head| head.contains("/v1/auth/logout")));
    let not = run(&mut at_home(&home, &["token"])).with_code(1);
    assert!(not.err.contains("dropmate login"), "{}", not.err);
}

#[test]
fn a_token_is_an_exec_credential_with_its_end() {
    let (home, (server, renewals)) = (tempfile::tempdir().unwrap(), server(900));
    login(&home, &server).with_code(0);
    let token = run(&mut at_home(&home, &["token", "--server", &server.url])).with_code(0);
    let credential: Value = serde_json::from_str(&token.out).unwrap();
    assert_eq!(credential["apiVersion"], "client.authentication.k8s.io/v1");
    assert_eq!((&credential["kind"], &credential["status"]["token"]), (&json!("ExecCredential"), &json!("access-0")));
    assert!(credential["status"]["expirationTimestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(renewals.load(Ordering::SeqCst), 0, "it is good for a while yet");
}

#[test]
fn of_eight_that_need_a_new_token_at_once_one_renews_and_all_have_it() {
    let (home, (server, renewals)) = (tempfile::tempdir().unwrap(), server(1));
    login(&home, &server).with_code(0);
    let asking: Vec<_> =
        (0..8).map(|_| at_home(&home, &["token", "--raw"]).stdout(Stdio::piped()).spawn().unwrap()).collect();
    for child in asking {
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "access-1");
    }
    assert_eq!(renewals.load(Ordering::SeqCst), 1, "a refresh token is good once");
}

#[test]
fn a_session_that_has_ended_and_a_wrong_password_are_a_no() {
    let home = tempfile::tempdir().unwrap();
    let problem = |detail: &str| json!({"status": 401, "title": "Unauthorized", "detail": detail}).to_string();
    let server = Fake::start(move |_, path| match path {
        "/v1/auth/login" => (200, grant(0, 1)),
        _ => (401, problem("the session has ended")),
    });
    login(&home, &server).with_code(0);
    let ended = run(&mut at_home(&home, &["token"])).with_code(1);
    assert!(ended.err.contains("has ended") && ended.err.contains("dropmate login --server"), "{}", ended.err);

    let wrong = Fake::start(move |_, _| (401, problem("wrong e-mail or password")));
    let refused = login(&home, &wrong).with_code(1);
    assert!(refused.err.contains("wrong e-mail or password"), "{}", refused.err);
}

#[test]
fn a_kubeconfig_that_asks_for_the_token_works_for_dropmate_itself() {
    let (home, (server, _)) = (tempfile::tempdir().unwrap(), server(900));
    login(&home, &server).with_code(0);
    let printed = run(&mut at_home(&home, &["kubeconfig", "-n", "acme"])).with_code(0);
    let file = home.path().join("acme.kubeconfig");
    fs::write(&file, &printed.out).unwrap();
    let me = run(&mut at_home(&home, &["whoami", "--kubeconfig", file.to_str().unwrap(), "-o", "json"])).with_code(0);
    assert_eq!(serde_json::from_str::<Value>(&me.out).unwrap()["user"], EMAIL);
    let heads = server.requests.lock().unwrap().clone();
    assert!(heads.last().unwrap().to_lowercase().contains("authorization: bearer access-0"), "{heads:?}");
}

#[test]
fn an_invitation_is_accepted_by_its_link_and_logs_in() {
    let (home, (server, _)) = (tempfile::tempdir().unwrap(), server(900));
    let link = format!("{}/invitations/ab12", server.url);
    let args = ["accept", &link, "--name", "Ada", "--password-stdin", "--no-kubeconfig"];
    let welcome = fed(&mut at_home(&home, &args), "a long enough password").with_code(0);
    assert!(welcome.out.contains(EMAIL), "{}", welcome.out);
    assert!(!home.path().join(".kube").exists(), "the kubeconfig is left alone");
    run(&mut at_home(&home, &["whoami"])).with_code(0);
}

#[test]
fn secrets_go_only_where_nobody_listens_and_only_by_standard_input() {
    let home = tempfile::tempdir().unwrap();
    let args = ["login", "--server", "http://shop.example", "--email", EMAIL, "--password-stdin"];
    let plain = fed(&mut at_home(&home, &args), "password").with_code(1);
    assert!(plain.err.contains("https://"), "{}", plain.err);
    let asked = run(&mut at_home(&home, &["login", "--server", "https://127.0.0.1:1", "--email", EMAIL])).with_code(2);
    assert!(asked.err.contains("--password-stdin"), "{}", asked.err);
    let (server, _) = server(900);
    login(&home, &server).with_code(0);
    let empty = fed(&mut at_home(&home, &["secret", "set", "smtp", "-n", "acme"]), "").with_code(2);
    assert!(empty.err.contains("standard input"), "{}", empty.err);
    fed(&mut at_home(&home, &["secret", "set", "smtp", "-n", "acme"]), "hunter2\n").with_code(0);
    let heads = server.requests.lock().unwrap().clone();
    assert!(heads.last().unwrap().starts_with("PUT /v1/namespaces/acme/secrets/smtp "), "{heads:?}");
}

#[test]
fn an_invitation_makes_a_member_and_prints_the_link() {
    let home = tempfile::tempdir().unwrap();
    let server = Fake::start(|method, path| match (method, path) {
        ("POST", "/v1/auth/login") => (200, grant(0, 900)),
        ("PATCH", path) if path.starts_with("/apis/dropmate.dev/v1/namespaces/acme/members/sam-example.com?") => {
            (201, json!({"kind": "Member"}).to_string())
        }
        ("POST", "/v1/namespaces/acme/members/sam-example.com/invitation") => {
            (201, json!({"url": "https://shop/invitations/ab12", "token": "ab12", "expiresAt": "T"}).to_string())
        }
        _ => (404, String::new()),
    });
    login(&home, &server).with_code(0);
    let args = ["user", "invite", "sam@example.com", "--role", "driver", "-n", "acme"];
    run(&mut at_home(&home, &args)).with_code(2);
    let args = [&args[..], &["--driver", "sam"]].concat();
    let invited = run(&mut at_home(&home, &args)).with_code(0);
    assert_eq!(invited.out, "https://shop/invitations/ab12\n");
}

#[test]
fn a_person_is_invited_accepts_works_and_is_locked_out_on_a_real_server() {
    let server = Server::start();
    let (admin, ada) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let kubeconfig = server.data.path().join("admin.kubeconfig");
    let ca = server.data.path().join("tls/ca.crt");
    let (kubeconfig, ca) = (kubeconfig.to_str().unwrap(), ca.to_str().unwrap());
    let operator = |args: &[&str]| run(at_home(&admin, args).args(["--kubeconfig", kubeconfig]));
    operator(&["apply", "-f", examples().to_str().unwrap()]).with_code(0);
    let invited = operator(&["user", "invite", EMAIL, "--role", "manager", "-n", "corner-shop"]).with_code(0);
    let link = invited.out.trim();

    let password = "a long enough passphrase 7\n";
    let args =
        ["accept", link, "--name", "Ada", "--password-stdin", "--ca", ca, "--server", &server.url, "-n", "corner-shop"];
    fed(&mut at_home(&ada, &args), password).with_code(0);
    fed(&mut at_home(&ada, &args), password).with_code(1);
    let me = run(&mut at_home(&ada, &["whoami"])).with_code(0);
    assert!(me.out.contains(EMAIL) && me.out.contains("corner-shop   manager"), "{}", me.out);

    let own = run(&mut at_home(&ada, &["get", "drivers", "-n", "corner-shop"])).with_code(0);
    assert!(own.out.contains("sam"), "{}", own.out);
    let foreign = run(&mut at_home(&ada, &["get", "orders", "-n", "default"])).with_code(1);
    assert!(foreign.err.contains("\"default\" not found"), "{}", foreign.err);
    let by_kubeconfig = ada.path().join(".kube/config");
    run(at_home(&ada, &["get", "drivers"]).arg("--kubeconfig").arg(&by_kubeconfig)).with_code(0);

    fed(&mut at_home(&ada, &["secret", "set", "smtp", "-n", "corner-shop"]), "hunter2").with_code(0);
    let listed = run(&mut at_home(&ada, &["secret", "list", "-n", "corner-shop"])).with_code(0);
    assert!(listed.out.contains("smtp") && !listed.out.contains("hunter2"), "{}", listed.out);
    let audit = run(&mut at_home(&ada, &["audit", "-n", "corner-shop", "-o", "json"])).with_code(0);
    assert!(audit.out.contains("\"secrets\"") && audit.out.contains(EMAIL), "{}", audit.out);
    assert!(!audit.out.contains("hunter2") && !audit.out.contains(link.rsplit('/').next().unwrap()), "{}", audit.out);
    run(&mut at_home(&ada, &["audit", "-A"])).with_code(1);

    let args = ["login", "--server", &server.url, "--ca", ca, "--email", EMAIL, "--password-stdin"];
    fed(&mut at_home(&ada, &args), password).with_code(0);
    assert!(operator(&["user", "list"]).with_code(0).out.contains(EMAIL));
    operator(&["keys", "rotate"]).with_code(0);
    run(&mut at_home(&ada, &["whoami"])).with_code(0);
    operator(&["user", "disable", EMAIL]).with_code(0);
    let out = run(&mut at_home(&ada, &["whoami"]));
    assert_ne!(out.code, 0, "{out:?}");
    fed(&mut at_home(&ada, &args), password).with_code(1);
    operator(&["user", "enable", EMAIL]).with_code(0);
    let reset = operator(&["user", "reset", EMAIL]).with_code(0);
    let args = ["accept", reset.out.trim(), "--password-stdin", "--ca", ca, "--server", &server.url];
    fed(&mut at_home(&ada, &args), "another long passphrase 8\n").with_code(0);
    let args = ["login", "--server", &server.url, "--ca", ca, "--email", EMAIL, "--password-stdin"];
    fed(&mut at_home(&ada, &args), "another long passphrase 8\n").with_code(0);
    run(&mut at_home(&ada, &["logout"])).with_code(0);
}
