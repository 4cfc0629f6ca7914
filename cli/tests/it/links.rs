//! `dropmate link`: the customer's link at the terminal.

use serde_json::Value;

use crate::support::Server;

const ORDER: &str = "apiVersion: dropmate.dev/v1\nkind: Order\nmetadata: {name: o1, namespace: default}\nspec:\n  \
    pickup: {address: 12 Mill St, location: {latitude: 43.65, longitude: -79.35}}\n  \
    dropoff: {address: 88 Queens Quay, location: {latitude: 43.64, longitude: -79.37}}\n  recipient: {name: Ada}\n";

#[test]
fn a_link_is_printed_and_taken_back() {
    let server = Server::start();
    server.apply("o1.yaml", ORDER.as_bytes(), &[]).with_code(0);
    let first = server.run(&["link", "o1"]).with_code(0);
    assert!(first.out.starts_with(&format!("{}/t/", server.url)), "{}", first.out);
    assert_eq!(first.out.lines().count(), 1, "for scripts: {}", first.out);
    assert!(first.err.contains("two hours after"), "{}", first.err);
    let again = server.run(&["link", "order/o1", "-o", "json"]).with_code(0);
    let again: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(again["url"], first.out.trim());
    let revoked = server.run(&["link", "o1", "--revoke"]).with_code(0);
    assert_eq!(revoked.out, "the links to order/o1 were revoked\n");
    let next = server.run(&["link", "o1"]).with_code(0);
    assert_ne!(next.out, first.out);
    let refused = server.run(&["link", "nothing"]).with_code(1);
    assert!(refused.err.contains("nothing"), "{}", refused.err);
}
