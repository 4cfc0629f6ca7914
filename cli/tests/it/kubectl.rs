//! kubectl and dropmate take turns over the same objects. kubectl ≥ 1.27 comes with `make test`.

use crate::support::{Server, examples, order};

const LAST_APPLIED: &str = "jsonpath={.metadata.annotations.kubectl\\.kubernetes\\.io/last-applied-configuration}";

/// As dropmate: who applies under one name takes turns.
const AS_DROPMATE: [&str; 3] = ["apply", "--server-side", "--field-manager=dropmate"];

#[test]
fn what_one_applied_is_unchanged_for_the_other() {
    for first_is_ours in [true, false] {
        let server = Server::start();
        let dir = examples();
        let files = ["-f", dir.to_str().unwrap()];
        let ours = || server.run(&[&["apply"], &files[..]].concat()).with_code(0).out;
        let theirs = || server.kubectl(&[&AS_DROPMATE[..], &files[..]].concat()).with_code(0).out;
        let versions = || {
            let args = [
                "get",
                "orders,drivers,depots,dispatchpolicies",
                "-A",
                "-o",
                "jsonpath={.items[*].metadata.resourceVersion}",
            ];
            server.kubectl(&args).with_code(0).out
        };
        if first_is_ours {
            ours();
        } else {
            theirs();
        }
        let before = versions();
        assert!(!before.is_empty());
        theirs();
        assert!(ours().lines().all(|line| line.ends_with(" unchanged")));
        assert_eq!(versions(), before);
        let diff = ["diff", "--server-side", "--field-manager=dropmate"];
        let diff = server.kubectl(&[&diff[..], &files[..]].concat()).with_code(0);
        assert_eq!(diff.out, "", "{}", diff.err);
        let diff = server.run(&[&["diff"], &files[..]].concat()).with_code(0);
        assert_eq!(diff.out, "");
    }
}

#[test]
fn a_field_that_one_applied_is_removed_by_the_other() {
    let server = Server::start();
    let path = server.data.path().join("o.yaml");
    let file = ["-f", path.to_str().unwrap()];
    let pinned = || server.kubectl(&["get", "order", "o-1", "-o", "jsonpath={.spec.driverName}"]).with_code(0).out;
    std::fs::write(&path, order("o-1") + "  driverName: sam\n").unwrap();
    server.kubectl(&[&AS_DROPMATE[..], &file[..]].concat()).with_code(0);
    assert_eq!(pinned(), "sam");
    std::fs::write(&path, order("o-1")).unwrap();
    assert_eq!(server.run(&[&["apply"], &file[..]].concat()).with_code(0).out, "order.dropmate.dev/o-1 configured\n");
    assert_eq!(pinned(), "");

    std::fs::write(&path, order("o-1") + "  driverName: kim\n").unwrap();
    server.run(&[&["apply"], &file[..]].concat()).with_code(0);
    std::fs::write(&path, order("o-1")).unwrap();
    server.kubectl(&[&AS_DROPMATE[..], &file[..]].concat()).with_code(0);
    assert_eq!(pinned(), "");
}

#[test]
fn what_kubectl_applied_on_the_client_s_side_is_taken_over_whole() {
    let server = Server::start();
    let path = server.data.path().join("o.yaml");
    let file = ["-f", path.to_str().unwrap()];
    std::fs::write(&path, order("o-1") + "  driverName: sam\n  priority: 3\n").unwrap();
    server.kubectl(&[&["apply"], &file[..]].concat()).with_code(0);
    let annotation = || server.kubectl(&["get", "order", "o-1", "-o", LAST_APPLIED]).with_code(0).out;
    assert!(annotation().contains("sam"));

    // One field has left, one has another value: no conflict, and no leftover.
    std::fs::write(&path, order("o-1") + "  priority: 4\n").unwrap();
    let diff = server.run(&[&["diff"], &file[..]].concat()).with_code(1).out;
    assert!(diff.contains("\n-  driverName: sam\n") && diff.contains("\n-  priority: 3\n+  priority: 4\n"), "{diff}");
    assert_eq!(server.run(&[&["apply"], &file[..]].concat()).with_code(0).out, "order.dropmate.dev/o-1 configured\n");
    let spec = server.kubectl(&["get", "order", "o-1", "-o", "jsonpath={.spec.driverName}/{.spec.priority}"]).out;
    assert_eq!(spec, "/4");
    assert_eq!(annotation(), "", "it would not be kept true");
    let owners =
        ["get", "order", "o-1", "--show-managed-fields", "-o", "jsonpath={.metadata.managedFields[*].manager}"];
    assert_eq!(server.kubectl(&owners).with_code(0).out, "dropmate");
    assert_eq!(server.run(&[&["apply"], &file[..]].concat()).with_code(0).out, "order.dropmate.dev/o-1 unchanged\n");
}

#[test]
fn what_was_edited_by_hand_is_a_conflict_told_with_its_owner() {
    let server = Server::start();
    let path = server.data.path().join("o.yaml");
    let file = ["-f", path.to_str().unwrap()];
    std::fs::write(&path, order("o-1") + "  priority: 3\n").unwrap();
    server.run(&[&["apply"], &file[..]].concat()).with_code(0);
    let editor = server.data.path().join("editor");
    std::fs::write(&editor, "#!/bin/sh\nsed -i 's/priority: 3/priority: 7/' \"$1\"\n").unwrap();
    std::fs::set_permissions(&editor, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    server.kubectl_with("KUBE_EDITOR", editor.to_str().unwrap(), &["edit", "order", "o-1"]).with_code(0);

    let refused = server.run(&[&["apply"], &file[..]].concat()).with_code(1);
    let row = refused.err.lines().find(|line| line.contains("kubectl-edit")).unwrap_or_default();
    for part in ["order.dropmate.dev/o-1", "spec.priority", "o.yaml:"] {
        assert!(row.contains(part), "{part} is not in the table:\n{}", refused.err);
    }
    assert!(refused.err.contains("--force-conflicts"), "{}", refused.err);
    server.run(&[&["diff"], &file[..]].concat()).with_code(2);

    let forced = server.run(&[&["apply", "--force-conflicts"], &file[..]].concat()).with_code(0);
    assert_eq!(forced.out, "order.dropmate.dev/o-1 configured\n");
    let priority = server.kubectl(&["get", "order", "o-1", "-o", "jsonpath={.spec.priority}"]).out;
    assert_eq!(priority, "3");
}
