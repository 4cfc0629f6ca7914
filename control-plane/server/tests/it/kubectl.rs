//! What the real kubectl does at a real server.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use crate::process::Shell;

const SHOP: &str = r#"
apiVersion: dropmate.dev/v1
kind: Order
metadata: {name: o-1001, namespace: acme}
spec:
  pickup:  {address: "12 Mill St", location: {latitude: 43.6503, longitude: -79.3596}}
  dropoff: {address: "88 Queens Quay", location: {latitude: 43.6405, longitude: -79.3760}}
  recipient: {name: "Ada"}
---
apiVersion: dropmate.dev/v1
kind: Driver
metadata: {name: sam, namespace: acme}
spec:
  displayName: Sam
  vehicle: {type: bicycle}
"#;

fn shop() -> Shell {
    let shell = Shell::open();
    assert_eq!(shell.kubectl(&["create", "namespace", "acme"]).ok(), "namespace/acme created\n");
    let applied = shell.kubectl_with(&["apply", "-f", "-"], SHOP).ok();
    assert_eq!(applied, "order.dropmate.dev/o-1001 created\ndriver.dropmate.dev/sam created\n");
    shell
}

#[test]
fn kubectl_applies_gets_describes_and_deletes() {
    let shell = shop();
    let again = shell.kubectl_with(&["apply", "-f", "-"], SHOP).ok();
    assert_eq!(again, "order.dropmate.dev/o-1001 unchanged\ndriver.dropmate.dev/sam unchanged\n");
    let table = shell.kubectl(&["get", "ord", "-A"]).ok();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAMESPACE", "NAME", "PHASE", "DRIVER", "ETA", "DUE", "AGE"]);
    assert_eq!(lines[1][..3], ["acme", "o-1001", "Pending"]);

    let uid = shell.kubectl(&["get", "order", "o-1001", "-n", "acme", "-o", "jsonpath={.metadata.uid}"]).ok();
    let event = serde_json::json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e1", "namespace": "acme"},
        "type": "Normal", "reason": "Planned", "action": "Planning", "note": "for sam",
        "reportingController": "dropmate.dev/dispatch", "reportingInstance": "x",
        "eventTime": "2026-11-23T06:00:00.000000Z",
        "regarding": {"apiVersion": "dropmate.dev/v1", "kind": "Order", "name": "o-1001", "namespace": "acme", "uid": uid},
    });
    shell.kubectl_with(&["create", "-f", "-"], &event.to_string()).ok();
    let described = shell.kubectl(&["describe", "order", "o-1001", "-n", "acme"]).ok();
    assert!(described.contains("Phase:                   Pending"), "{described}");
    assert!(described.contains("Planned") && described.contains("for sam"), "{described}");

    assert_eq!(shell.kubectl(&["delete", "order", "o-1001", "-n", "acme"]).code, 0);
    let missing = shell.kubectl(&["get", "order", "o-1001", "-n", "acme"]).refused();
    assert_eq!(missing, "Error from server (NotFound): orders.dropmate.dev \"o-1001\" not found\n");
    assert_eq!(shell.kubectl(&["delete", "drivers", "--all", "-n", "acme"]).code, 0);
}

#[test]
fn kubectl_patches_labels_edits_and_waits() {
    let shell = shop();
    let order = |verb: &[&str], rest: &[&str]| {
        let args: Vec<&str> = verb.iter().chain(&["order", "o-1001", "-n", "acme"]).chain(rest).copied().collect();
        shell.kubectl(&args).ok()
    };
    order(&["label"], &["tier=gold"]);
    order(&["annotate"], &["example.com/note=hello"]);
    assert_eq!(order(&["edit"], &[]), "order.dropmate.dev/o-1001 edited\n");
    assert_eq!(order(&["get"], &["-o", "jsonpath={.spec.priority}"]), "9");
    order(&["patch"], &["--type=merge", "-p", "{\"spec\":{\"priority\":3}}"]);
    order(
        &["patch"],
        &[
            "--type=json",
            "-p",
            "[{\"op\":\"test\",\"path\":\"/spec/priority\",\"value\":3},{\"op\":\"replace\",\"path\":\"/spec/priority\",\"value\":4}]",
        ],
    );
    assert_eq!(order(&["get"], &["-o", "jsonpath={.metadata.generation} {.metadata.labels.tier}"]), "4 gold");
    order(&["wait"], &["--for=jsonpath={.status.phase}=Pending", "--timeout=20s"]);
    shell.kubectl(&["label", "namespace", "acme", "team=a"]).ok();
    let selected = shell.kubectl(&["get", "orders", "-A", "-l", "tier in (gold)", "-o", "name"]).ok();
    assert_eq!(selected, "order.dropmate.dev/o-1001\n");
    let by_field = shell.kubectl(&["get", "orders", "-A", "--field-selector", "status.phase=Delivered", "-o", "name"]);
    assert_eq!(by_field.ok(), "");
}

#[test]
fn kubectl_watches() {
    let shell = shop();
    let mut watch = shell.command(&["get", "orders", "-n", "acme", "-w"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().starts_with("NAME"));
    assert!(lines.next().unwrap().starts_with("o-1001"));
    shell.kubectl_with(&["apply", "-f", "-"], &SHOP.replace("o-1001", "o-1002")).ok();
    assert!(lines.next().unwrap().starts_with("o-1002"));
    shell.kubectl(&["delete", "order", "o-1001", "-n", "acme"]).ok();
    assert!(lines.next().unwrap().starts_with("o-1001"));
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn kubectl_knows_what_is_served_and_explains_it() {
    let shell = Shell::open();
    let resources = shell.kubectl(&["api-resources", "--no-headers"]).ok();
    for plural in ["orders", "drivers", "depots", "dispatchpolicies", "namespaces", "events", "leases"] {
        assert!(resources.lines().any(|line| line.starts_with(plural)), "{plural} in {resources}");
    }
    let explained = shell.kubectl(&["explain", "order.spec.pickup.window"]).ok();
    assert!(explained.contains("When the stop may be served") && explained.contains("earliest"), "{explained}");
    assert!(shell.kubectl(&["version"]).ok().contains("Server Version: v1.36"));
}

#[test]
fn kubectl_deletes_a_namespace_with_all_that_is_in_it() {
    let shell = shop();
    shell.kubectl(&["delete", "namespace", "acme", "--timeout=60s"]).ok();
    assert_eq!(shell.kubectl(&["get", "orders,drivers", "-A", "-o", "name"]).ok(), "");
    let missing = shell.kubectl_with(&["create", "-f", "-"], SHOP).refused();
    assert!(missing.contains("namespaces \"acme\" not found"), "{missing}");
}

#[test]
fn bad_input_gets_an_error_that_names_the_place_and_the_rest_goes_in() {
    let shell = Shell::open();
    shell.kubectl(&["create", "namespace", "acme"]).ok();
    let cases = [
        ("recipient: {name: \"Ada\"}", "recipient: {name: \"Ada\"}\n  bogus: 1", "unknown field \"spec.bogus\""),
        ("latitude: 43.6503", "latitude: 91", "spec.pickup.location.latitude"),
        ("latitude: 43.6503", "latitude: north", "spec.pickup.location.latitude in body must be of type number"),
        (
            "longitude: -79.3760}}",
            "longitude: -79.3760}, window: {earliest: \"2026-11-23T12:00:00Z\", latest: \"2026-11-23T11:00:00Z\"}}",
            "spec.dropoff.window.latest",
        ),
    ];
    for (good, bad, place) in cases {
        assert!(SHOP.contains(good));
        let refused = shell.kubectl_with(&["apply", "-f", "-"], &SHOP.replace(good, bad));
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains(place), "{place} in {refused:?}");
        assert!(refused.out.starts_with("driver.dropmate.dev/sam "), "{refused:?}");
    }
    let large = SHOP.replace("12 Mill St", &"x".repeat(4 * 1024 * 1024));
    let file = shell.home.path().join("large.yaml");
    std::fs::write(&file, large).unwrap();
    let refused = shell.kubectl(&["create", "-f", file.to_str().unwrap()]).refused();
    assert!(
        refused.contains("Request entity too large: limit is 3145728"),
        "{}",
        &refused[refused.len().saturating_sub(200)..]
    );
    assert_eq!(shell.kubectl(&["get", "orders", "-A", "-o", "name"]).ok(), "");
}
