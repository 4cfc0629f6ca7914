use std::process::Stdio;

use crate::support::{Server, examples, order, run};

#[test]
fn the_examples_work_as_they_are_and_applying_them_again_changes_nothing() {
    let server = Server::start();
    let dir = examples();
    let dir = dir.to_str().unwrap();

    let first = server.run(&["apply", "-f", dir]).with_code(0);
    let created: Vec<&str> = first.out.lines().collect();
    assert_eq!(created[0], "namespace/corner-shop created");
    assert!(created.iter().all(|line| line.ends_with(" created")), "{created:?}");
    assert!(created.contains(&"order.dropmate.dev/o-1001 created"), "{created:?}");

    let second = server.run(&["apply", "-f", dir]).with_code(0);
    assert!(second.out.lines().all(|line| line.ends_with(" unchanged")), "{}", second.out);
    assert_eq!(second.out.lines().count(), created.len());
}

#[test]
fn a_changed_field_is_configured_and_a_field_taken_out_is_removed() {
    let server = Server::start();
    let with = order("o-1") + "  priority: 5\n  driverName: sam\n";
    server.apply("o.yaml", with.as_bytes(), &[]).with_code(0);

    let without = order("o-1") + "  priority: 6\n";
    let ended = server.apply("o.yaml", without.as_bytes(), &[]).with_code(0);
    assert_eq!(ended.out, "order.dropmate.dev/o-1 configured\n");

    let live: serde_json::Value =
        serde_json::from_str(&server.run(&["get", "order", "o-1", "-o", "json"]).out).unwrap();
    assert_eq!(live["spec"]["priority"], 6);
    assert_eq!(live["spec"].get("driverName"), None);
}

#[test]
fn fields_that_others_set_stay() {
    let server = Server::start();
    server.apply("o.yaml", order("o-1").as_bytes(), &[]).with_code(0);
    server
        .kubectl(&["patch", "order", "o-1", "--type", "merge", "-p", r#"{"spec":{"driverName":"sam"}}"#])
        .with_code(0);
    let ended = server.apply("o.yaml", order("o-1").as_bytes(), &[]).with_code(0);
    assert_eq!(ended.out, "order.dropmate.dev/o-1 unchanged\n");
    let pinned = server.kubectl(&["get", "order", "o-1", "-o", "jsonpath={.spec.driverName}"]).with_code(0);
    assert_eq!(pinned.out, "sam");
}

#[test]
fn namespaces_go_in_before_what_lives_in_them_wherever_they_stand() {
    let server = Server::start();
    let text = order("o-1").replace("namespace: default", "namespace: acme")
        + "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: acme}\n";
    let ended = server.apply("all.yaml", text.as_bytes(), &[]).with_code(0);
    assert_eq!(ended.out, "namespace/acme created\norder.dropmate.dev/o-1 created\n");
}

#[test]
fn a_missing_namespace_is_made_on_request() {
    let server = Server::start();
    let text = order("o-1").replace("  namespace: default\n", "");
    let refused = server.apply("o.yaml", text.as_bytes(), &["-n", "new"]).with_code(1);
    assert!(refused.err.contains("--create-namespace"), "{}", refused.err);
    server.apply("o.yaml", text.as_bytes(), &["-n", "new", "--create-namespace"]).with_code(0);
    server.run(&["get", "order", "o-1", "-n", "new"]).with_code(0);
}

#[test]
fn a_dry_run_checks_everything_and_keeps_nothing() {
    let server = Server::start();
    let ended = server.apply("o.yaml", order("o-1").as_bytes(), &["--dry-run=server"]).with_code(0);
    assert_eq!(ended.out, "order.dropmate.dev/o-1 created (server dry run)\n");
    server.run(&["get", "order", "o-1"]).with_code(1);
    let wrong = order("o-1") + "  priority: high\n";
    server.apply("o.yaml", wrong.as_bytes(), &["--dry-run=server"]).with_code(1);
}

#[test]
fn a_pipe_is_read_as_it_comes() {
    let server = Server::start();
    let text = (0..50).map(|index| order(&format!("o-{index}"))).collect::<Vec<_>>().join("---\n");
    let mut child = server
        .dropmate(&["apply", "-f", "-", "-o", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["objects"].as_array().unwrap().len(), 50);
    assert_eq!(server.run(&["get", "orders", "-o", "name"]).out.lines().count(), 50);
}

#[test]
fn delete_waits_until_everything_of_a_manifest_is_gone() {
    let server = Server::start();
    let text = order("o-1").replace("namespace: default", "namespace: acme")
        + "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: acme}\n";
    server.apply("all.yaml", text.as_bytes(), &[]).with_code(0);
    let mut command = server.dropmate(&["delete", "-f", "all.yaml"]);
    let ended = run(command.current_dir(server.data.path())).with_code(0);
    assert_eq!(ended.out, "order.dropmate.dev/o-1 deleted\nnamespace/acme deleted\n");
    server.run(&["get", "order", "o-1", "-n", "acme"]).with_code(1);
    server.run(&["delete", "order", "o-1"]).with_code(1);
}
