use serde_json::Value;

use crate::support::{Server, order};

#[test]
fn what_would_change_is_shown_line_by_line_and_nothing_changes() {
    let server = Server::start();
    server.apply("o.yaml", (order("o-1") + "  priority: 3\n").as_bytes(), &[]).with_code(0);
    let version = || server.kubectl(&["get", "order", "o-1", "-o", "jsonpath={.metadata.resourceVersion}"]).out;
    let before = version();

    let same = server.diff("o.yaml", &(order("o-1") + "  priority: 3\n"), &[]).with_code(0);
    assert_eq!((same.out.as_str(), same.err.as_str()), ("", ""));
    let other = server.diff("o.yaml", &(order("o-1") + "  priority: 4\n"), &[]).with_code(1);
    let lines: Vec<&str> = other.out.lines().collect();
    assert_eq!(lines[..2], ["--- live/default/order.dropmate.dev/o-1", "+++ manifest/default/order.dropmate.dev/o-1"]);
    let changed: Vec<&str> = lines[2..].iter().filter(|line| line.starts_with(['-', '+'])).copied().collect();
    assert_eq!(changed, ["-  priority: 3", "+  priority: 4"]);
    assert!(!other.out.contains("managedFields") && !other.out.contains("resourceVersion"), "{}", other.out);
    assert_eq!(other.err, "");
    assert_eq!(version(), before);
}

#[test]
fn a_field_taken_out_is_shown_as_removed_and_what_others_set_stays_unshown() {
    let server = Server::start();
    server.apply("o.yaml", (order("o-1") + "  priority: 3\n").as_bytes(), &[]).with_code(0);
    let hold = ["patch", "order", "o-1", "--type", "merge", "-p", r#"{"spec":{"hold":true}}"#];
    server.kubectl(&hold).with_code(0);
    let diff = server.diff("o.yaml", &order("o-1"), &[]).with_code(1).out;
    let changed: Vec<&str> = diff.lines().skip(2).filter(|line| line.starts_with(['-', '+'])).collect();
    assert_eq!(changed, ["-  priority: 3", "+  priority: 0"], "0 is the default");
}

#[test]
fn a_new_object_is_shown_whole_also_in_a_namespace_that_is_new_itself() {
    let server = Server::start();
    let text = order("o-1").replace("namespace: default", "namespace: acme")
        + "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: acme}\n";
    let diff = server.diff("all.yaml", &text, &[]).with_code(1);
    assert!(diff.out.contains("--- /dev/null\n+++ manifest/acme/order.dropmate.dev/o-1\n"), "{}", diff.out);
    assert!(diff.out.contains("\n+kind: Namespace\n"), "{}", diff.out);
    server.run(&["get", "namespace", "acme"]).with_code(1);
    server.diff("o.yaml", &order("o-1").replace("namespace: default", "namespace: nowhere"), &[]).with_code(2);
}

#[test]
fn a_bad_manifest_leaves_open_what_would_change() {
    let server = Server::start();
    let text = order("good") + "---\n" + &order("bad").replace("43.6405", "91");
    let ended = server.diff("o.yaml", &text, &[]).with_code(2);
    assert!(ended.err.contains("o.yaml:") && ended.err.contains("spec.dropoff.location.latitude"), "{}", ended.err);
    assert!(ended.out.contains("+  name: good"), "{}", ended.out);
}

#[test]
fn differences_come_as_json_for_programs() {
    let server = Server::start();
    server.apply("o.yaml", order("o-1").as_bytes(), &[]).with_code(0);
    let text = order("o-1") + "  hold: true\n---\n" + &order("o-2");
    let told: Value = serde_json::from_str(&server.diff("o.yaml", &text, &["-o", "json"]).with_code(1).out).unwrap();
    let objects = told["objects"].as_array().unwrap();
    let changes: Vec<_> =
        objects.iter().map(|object| (object["object"].as_str().unwrap(), object["change"].as_str().unwrap())).collect();
    assert_eq!(changes, [("order.dropmate.dev/o-1", "configured"), ("order.dropmate.dev/o-2", "created")]);
    assert!(objects[0]["diff"].as_str().unwrap().contains("+  hold: true"), "{told}");
}
