//! The orders that the benchmarks write.

use bytes::Bytes;
use serde_json::{Value, json};

/// Where they are.
pub(crate) const ORDERS: &str = "/apis/dropmate.dev/v1/namespaces/default/orders";

/// An order as a shop would send it.
pub(crate) fn order(name: &str) -> Value {
    json!({
        "apiVersion": "dropmate.dev/v1",
        "kind": "Order",
        "metadata": {"name": name, "labels": {"shop": "corner", "round": "evening"}},
        "spec": {
            // Held, so that nobody but the benchmark changes it.
            "hold": true,
            "pickup": {
                "address": "12 Mill St", "location": {"latitude": 43.6503, "longitude": -79.3596}, "serviceSeconds": 60,
            },
            "dropoff": {
                "address": "25 The Esplanade, apartment 1204",
                "location": {"latitude": 43.6468, "longitude": -79.3747},
                "serviceSeconds": 240,
                "contact": {"name": "Front desk", "phone": "+14165550144"},
                "instructions": "Ring at the front desk; the lift needs a key.",
            },
            "recipient": {"name": "Grace", "phone": "+14165550131"},
            "items": [
                {"name": "Groceries", "quantity": 2, "weightKilograms": 6.5},
                {"name": "Water 6 x 1.5 l", "quantity": 1, "weightKilograms": 9.2, "reference": "SKU-4471"},
            ],
        },
    })
}

/// Its text.
pub(crate) fn text(order: &Value) -> Bytes {
    Bytes::from(order.to_string())
}
