//! The event by which an endpoint is tried out.

use jiff::Timestamp;
use serde_json::json;

/// Its type.
pub const TEST: &str = "webhook.test";

/// The event as it is sent; `id` is the delivery's, so that each try is another.
pub fn event(id: &str, namespace: &str, name: &str, at: Timestamp) -> String {
    json!({
        "specversion": "1.0",
        "id": id,
        "source": "dropmate",
        "type": TEST,
        "subject": format!("{namespace}/{name}"),
        "time": at,
        "datacontenttype": "application/json",
        "data": {"message": "This is a test. Nothing has happened."},
    })
    .to_string()
}
