//! `kubectl delete --cascade` at a real server.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::process::Shell;

/// A driver that owns an order.
fn fleet() -> Shell {
    let shell = Shell::open();
    let driver = json!({"apiVersion": "dropmate.dev/v1", "kind": "Driver", "metadata": {"name": "sam"},
        "spec": {"displayName": "Sam"}});
    shell.kubectl_with(&["create", "-f", "-"], &driver.to_string()).ok();
    let uid = shell.kubectl(&["get", "driver", "sam", "-o", "jsonpath={.metadata.uid}"]).ok();
    let mut order = crate::client::order("o1");
    order["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "dropmate.dev/v1", "kind": "Driver", "name": "sam", "uid": uid, "blockOwnerDeletion": true},
    ]);
    shell.kubectl_with(&["create", "-f", "-"], &order.to_string()).ok();
    shell
}

#[test]
fn cascade_orphan_leaves_the_dependent() {
    let shell = fleet();
    shell.kubectl(&["delete", "driver", "sam", "--cascade=orphan"]).ok();
    let owners = shell.kubectl(&["get", "order", "o1", "-o", "jsonpath={.metadata.ownerReferences}"]).ok();
    assert_eq!(owners, "");
}

#[test]
fn cascade_foreground_returns_when_both_are_gone() {
    let shell = fleet();
    shell.kubectl(&["delete", "driver", "sam", "--cascade=foreground", "--timeout=30s"]).ok();
    assert_eq!(shell.kubectl(&["get", "drivers,orders", "-o", "name"]).ok(), "");
}

#[test]
fn cascade_background_has_the_dependent_follow() {
    let shell = fleet();
    shell.kubectl(&["delete", "driver", "sam", "--cascade=background"]).ok();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !shell.kubectl(&["get", "orders", "-o", "name"]).ok().is_empty() {
        assert!(Instant::now() < deadline, "the order stays");
    }
}
