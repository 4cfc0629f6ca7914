//! Who did what, at the terminal.

use serde_json::Value;

use crate::support::{Server, dropmate, examples, run};

#[test]
fn the_audit_is_told_newest_first_and_as_programs_want_it() {
    let server = Server::start();
    let ask = |args: &[&str]| {
        let mut command = dropmate();
        run(command.args(args).arg("--kubeconfig").arg(server.data.path().join("admin.kubeconfig")))
    };
    ask(&["apply", "-f", examples().to_str().unwrap()]).with_code(0);
    ask(&["cordon", "sam", "-n", "corner-shop"]).with_code(0);
    let table = ask(&["audit", "-n", "corner-shop", "--object", "driver/sam", "--since", "1h"]).with_code(0);
    let cordoned = table.out.lines().find(|line| line.contains("spec.suspended")).unwrap_or_default();
    assert!(cordoned.contains("operator") && cordoned.contains("Driver/corner-shop/sam"), "{}", table.out);
    let all = ask(&["audit", "-A", "--limit", "3", "-o", "json"]).with_code(0);
    let items: Vec<Value> = serde_json::from_str(&all.out).unwrap();
    assert_eq!(items.len(), 3);
    let none = ask(&["audit", "-A", "--until", "2020-01-01T00:00:00Z", "-o", "yaml"]).with_code(0);
    assert_eq!(none.out.trim(), "[]");
    ask(&["audit", "--object", "/x"]).with_code(1);
    ask(&["audit", "--since", "yesterday"]).with_code(2);
}
