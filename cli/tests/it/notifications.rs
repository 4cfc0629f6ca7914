//! `dropmate notifications` and `dropmate webhooks` against a server whose notification agent is away: what works without
//! it, and what is said where it does not.

use std::process::Stdio;

use crate::support::{Server, examples, run};

const NS: &[&str] = &["-n", "corner-shop"];

fn with(args: &[&'static str]) -> Vec<&'static str> {
    [args, NS].concat()
}

#[test]
fn a_manager_reads_the_words_before_anybody_gets_them() {
    let server = Server::start();
    server.run(&["apply", "-f", examples().to_str().unwrap()]).with_code(0);

    // The example says it in its own words, for whoever has a phone.
    let shown = server.run(&with(&["notifications", "preview", "order.out_for_delivery"])).with_code(0).out;
    assert!(shown.contains("Corner Shop: Sam is on the way with 3 pieces, at about "), "{shown}");
    assert!(shown.contains("PIN for the driver: 123456. https://dropmate.example/t/"), "{shown}");
    assert!(shown.contains("Subject: Corner Shop: your order sample-1001 is on its way"), "{shown}");
    let french =
        ["notifications", "preview", "order.out_for_delivery", "--rule", "out-for-delivery-sms", "--locale", "fr-CA"];
    let shown = server.run(&with(&french)).with_code(0).out;
    assert!(shown.contains("Corner Shop : Sam est en route") && !shown.contains("Subject"), "{shown}");
    let html = server.run(&with(&["notifications", "preview", "order.delivered", "--html"])).with_code(0).out;
    assert!(html.starts_with("<!doctype html>") && html.contains("href=\"https://dropmate.example/t/"), "{html}");

    // Of an order that has nobody to tell, nothing is sent: the answer is no.
    let of_order = ["notifications", "preview", "order.assigned", "--order", "o-1001"];
    let none = server.run(&with(&of_order)).with_code(1);
    assert!(none.out.contains("assigned-email: not sent: the recipient has no e-mail address"), "{}", none.out);
    let wrong = server.run(&with(&["notifications", "preview", "order.deliverd"])).with_code(1);
    assert!(wrong.err.contains("order.delivered"), "{}", wrong.err);
}

#[test]
fn a_policy_is_tried_from_its_file_and_refused_with_its_line() {
    let server = Server::start();
    server.run(&["apply", "-f", examples().to_str().unwrap()]).with_code(0);
    let file = server.data.path().join("policy.yaml");
    let write = |text: &str| {
        let head = "apiVersion: dropmate.dev/v1\nkind: NotificationPolicy\nmetadata: {name: mine, namespace: corner-shop}\nspec:\n";
        let rule = "  rules: [{name: mine, events: [order.returned], channel: Sms, template: t}]\n";
        std::fs::write(&file, format!("{head}{rule}  templates:\n  - name: t\n    text: |\n{text}")).unwrap();
    };
    let try_it = || {
        let mut command = server.dropmate(&["notifications", "preview", "order.returned", "-n", "corner-shop", "-f"]);
        run(command.arg(&file).stdin(Stdio::null()))
    };
    write("      {{ order.name }} is back: {{ attempt.reason }}\n");
    let shown = try_it().with_code(0).out;
    assert!(shown.contains("=== mine (sms en to recipient <+14165550100> policy mine, 1 segment)"), "{shown}");
    assert!(shown.contains("sample-1001 is back: nobody home"), "{shown}");
    let listed = server.run(&with(&["get", "notificationpolicies", "-o", "name"])).with_code(0).out;
    assert_eq!(listed, "notificationpolicy.dropmate.dev/default\n", "a preview applies nothing");

    write("      Hello\n      {{ order.nome }}\n");
    let refused = try_it().with_code(1).err;
    assert!(refused.contains("line 2: there is no order.nome; order has"), "{refused}");
    let mut apply = server.dropmate(&["apply", "-f"]);
    let refused = run(apply.arg(&file)).with_code(1).err;
    assert!(refused.contains("policy.yaml:") && refused.contains("there is no order.nome"), "{refused}");
}

#[test]
fn without_the_agent_webhooks_are_listed_and_the_rest_says_who_is_away() {
    let server = Server::start();
    server.run(&["apply", "-f", examples().to_str().unwrap()]).with_code(0);
    let listed = server.run(&with(&["webhooks", "list"])).with_code(0).out;
    let line = listed.lines().nth(1).unwrap();
    assert!(line.starts_with("shop-backend") && line.contains("suspended"), "{listed}");
    let enabled = server.run(&with(&["webhooks", "enable", "shop-backend"])).with_code(0).out;
    assert_eq!(enabled, "webhook/shop-backend was not disabled\n");
    for args in [
        &["webhooks", "test", "shop-backend"][..],
        &["webhooks", "replay", "shop-backend", "--since", "1h"],
        &["notifications", "list"],
        &["notifications", "retry", "--failed"],
    ] {
        let away = server.run(&with(args));
        assert!(away.code != 0 && away.err.contains("the notification agent does not run"), "{args:?}: {away:?}");
    }
    let missing = server.run(&with(&["webhooks", "test", "nobody"])).with_code(1);
    assert!(missing.err.contains("webhooks.dropmate.dev \"nobody\" not found"), "{}", missing.err);
    server.run(&with(&["notifications", "retry"])).with_code(2);
    server.run(&with(&["notifications", "retry", "msg_1", "--failed"])).with_code(2);
}
