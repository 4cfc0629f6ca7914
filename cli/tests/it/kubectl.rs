//! kubectl and dropmate take turns over the same objects. kubectl ≥ 1.27 comes with `make test`.

use crate::support::{Server, examples, order};

const LAST_APPLIED: &str = "jsonpath={.metadata.annotations.kubectl\\.kubernetes\\.io/last-applied-configuration}";

/// An order with everything that encoders disagree about.
fn tricky() -> String {
    order("o-1")
        .replace("43.6503", "43.0")
        .replace("recipient:\n    name: Ada", "recipient:\n    name: \"<Ada> & Böb \\u2028 \\\"x\\\"\"")
        + "  priority: 0x10\n  items:\n    - {name: \"1\", quantity: 2, weightKilograms: 0.0000001}\n"
}

#[test]
fn both_write_the_same_annotation() {
    let server = Server::start();
    let applied = |with: &str| {
        let text = tricky();
        std::fs::write(server.data.path().join("o.yaml"), &text).unwrap();
        let path = server.data.path().join("o.yaml");
        let args = ["apply", "-f", path.to_str().unwrap()];
        if with == "kubectl" { server.kubectl(&args) } else { server.run(&args) }.with_code(0);
        let found = server.kubectl(&["get", "order", "o-1", "-o", LAST_APPLIED]).with_code(0).out;
        server.kubectl(&["delete", "order", "o-1"]).with_code(0);
        found
    };
    assert_eq!(applied("dropmate"), applied("kubectl"));
}

#[test]
fn what_one_applied_is_unchanged_for_the_other() {
    for first_is_ours in [true, false] {
        let server = Server::start();
        let dir = examples();
        let args = ["apply", "-f", dir.to_str().unwrap()];
        let (ours, theirs) = if first_is_ours {
            let ours = server.run(&args).with_code(0).out;
            (ours, server.kubectl(&args).with_code(0).out)
        } else {
            let theirs = server.kubectl(&args).with_code(0).out;
            (server.run(&args).with_code(0).out, theirs)
        };
        let (first, second) = if first_is_ours { (ours, theirs) } else { (theirs, ours) };
        assert!(first.lines().all(|line| line.ends_with(" created")), "{first}");
        assert!(second.lines().all(|line| line.ends_with(" unchanged")), "{second}");
        assert_eq!(first.replace(" created", " unchanged"), second);
    }
}

#[test]
fn a_field_that_one_applied_is_removed_by_the_other() {
    let server = Server::start();
    let path = server.data.path().join("o.yaml");
    let args = ["apply", "-f", path.to_str().unwrap()];
    std::fs::write(&path, order("o-1") + "  driverName: sam\n").unwrap();
    server.kubectl(&args).with_code(0);
    std::fs::write(&path, order("o-1")).unwrap();
    assert_eq!(server.run(&args).with_code(0).out, "order.dropmate.dev/o-1 configured\n");
    assert_eq!(server.kubectl(&["get", "order", "o-1", "-o", "jsonpath={.spec.driverName}"]).out, "");
}
