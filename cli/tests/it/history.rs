use std::{thread, time::Duration};

use serde_json::Value;

use crate::support::{Server, order};

#[test]
fn who_changed_what_is_told_line_by_line() {
    let server = Server::start();
    server.apply("o.yaml", (order("o-1") + "  priority: 3\n").as_bytes(), &[]).with_code(0);
    let patch = ["patch", "order", "o-1", "--type", "merge", "-p", r#"{"spec":{"priority":4,"hold":true}}"#];
    server.kubectl(&patch).with_code(0);
    server.run(&["delete", "order", "o-1"]).with_code(0);

    let told = server.run(&["history", "order", "o-1"]).with_code(0).out;
    let lines: Vec<Vec<&str>> =
        told.lines().map(|line| line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    assert_eq!(lines[0], ["REVISION", "AT", "USER", "CLIENT", "CHANGE"]);
    assert_eq!((lines[1][2], lines[1][4]), ("operator", "created"));
    assert!(lines[1][3].starts_with("dropmate/"), "{told}");
    assert!(lines[2][3].starts_with("kubectl"), "{told}");
    assert!(lines[2][4].contains("spec.priority: 3 → 4") && lines[2][4].contains("spec.hold: false → true"), "{told}");
    assert_eq!(lines[3][4], "deleted");
    assert_eq!(lines.len(), 4);

    let items: Value =
        serde_json::from_str(&server.run(&["history", "order/o-1", "-o", "json"]).with_code(0).out).unwrap();
    assert_eq!(items[1]["revision"], lines[2][0]);
    let missing = server.run(&["history", "order", "nobody"]).with_code(1);
    assert!(missing.err.contains("\"nobody\" not found"), "{}", missing.err);
    server.run(&["history", "namespace", "default"]).with_code(0);
}

#[test]
fn objects_are_shown_as_they_were() {
    let server = Server::start();
    server.apply("o.yaml", (order("o-1") + "  priority: 3\n").as_bytes(), &[]).with_code(0);
    let clock: Value = serde_json::from_str(&server.kubectl(&["get", "--raw", "/v1/clock"]).with_code(0).out).unwrap();
    let then = clock["systemNow"].as_str().unwrap();
    thread::sleep(Duration::from_millis(20));
    server.apply("o.yaml", ((order("o-1") + "  priority: 4\n---\n") + &order("o-2")).as_bytes(), &[]).with_code(0);
    server.run(&["delete", "order", "o-1"]).with_code(0);

    assert_eq!(server.run(&["get", "orders", "--at", then, "-o", "name"]).with_code(0).out, "order.dropmate.dev/o-1\n");
    assert_eq!(server.run(&["get", "orders", "--at", "0s", "-o", "name"]).with_code(0).out, "order.dropmate.dev/o-2\n");
    let object: Value =
        serde_json::from_str(&server.run(&["get", "order", "o-1", "--at", then, "-o", "json"]).with_code(0).out)
            .unwrap();
    assert_eq!((&object["spec"]["priority"], &object["kind"]), (&Value::from(3), &Value::from("Order")));
    let history: Value = serde_json::from_str(&server.run(&["history", "order", "o-1", "-o", "json"]).out).unwrap();
    let revision = history[1]["revision"].as_str().unwrap();
    let table = server.run(&["get", "order", "o-1", "--at", revision]).with_code(0).out;
    assert!(table.starts_with("NAME ") && table.lines().count() == 2, "{table}");
    assert_eq!(server.run(&["get", "orders", "-o", "name"]).out, "order.dropmate.dev/o-2\n");

    let absent = server.run(&["get", "order", "o-2", "--at", then]).with_code(1);
    assert!(absent.err.contains("orders \"o-2\" not found at that time"), "{}", absent.err);
    for at in ["2020-01-01T00:00:00Z", "1h ago"] {
        let gone = server.run(&["get", "orders", "--at", at]).with_code(1);
        assert!(gone.err.contains("the oldest is 20"), "{}", gone.err);
    }
    server.run(&["get", "orders", "--at", "yesterday"]).with_code(2);
}
