//! A sample order, for previews and for trying templates before they are used.

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use super::{
    Audience, ShopContact,
    facts::{Facts, Told},
};

/// Whose the sample order is.
pub const NAME: &str = "sample-1001";
/// Who carries it.
pub const DRIVER: &str = "Sam Rivera";

/// An order with everything a template can name, as it is at the event.
pub fn order(event: &str, at: Timestamp) -> Value {
    let minutes = |minutes: i64| (at + SignedDuration::from_mins(minutes)).to_string();
    let phase = match event {
        "order.created" | "order.updated" => "Pending",
        "order.ready" | "order.unassigned" | "order.unassignable" | "order.offer_declined" | "order.offer_expired" => {
            "Ready"
        }
        "order.offered" => "Offered",
        "order.assigned" => "Assigned",
        "order.pickup_enroute" => "EnRouteToPickup",
        "order.pickup_arrived" => "AtPickup",
        "order.dropoff_arrived" => "AtDropoff",
        "order.delivered" => "Delivered",
        "order.attempt_failed" => "AttemptFailed",
        "order.return_started" => "Returning",
        "order.returned" => "Returned",
        "order.cancelled" => "Cancelled",
        "order.expired" => "Expired",
        _ => "OutForDelivery",
    };
    let mut order = json!({
        "apiVersion": crate::API_VERSION, "kind": "Order",
        "metadata": {"name": NAME, "namespace": "sample", "labels": {"channel": "web"}},
        "spec": {
            "pickup": {"address": "12 Mill St", "location": {"latitude": 43.6503, "longitude": -79.3596},
                "instructions": "Ring at the back door", "window": {"earliest": minutes(-60), "latest": minutes(-10)}},
            "dropoff": {"address": "88 Queens Quay", "location": {"latitude": 43.6405, "longitude": -79.3760},
                "instructions": "Third floor", "window": {"earliest": minutes(10), "latest": minutes(70)}},
            "recipient": {"name": "Ada Example", "phone": "+14165550100", "email": "ada@example.com"},
            "items": [{"name": "Sourdough bread", "quantity": 2, "reference": "SKU-1"}, {"name": "Apple juice", "quantity": 1}],
            "dueBy": minutes(45), "priority": 5, "proof": {"dropoff": ["pin"]},
        },
        "status": {"phase": phase, "driverName": "sam", "eta": minutes(25)},
    });
    match event {
        "order.delivered" => {
            order["status"]["stops"] = json!({"dropoff": {"state": "Completed", "completedAt": at.to_string()}});
        }
        "order.attempt_failed" | "order.return_started" | "order.returned" => {
            order["status"]["attempts"] =
                json!([{"reason": "nobody home", "note": "Tried twice", "at": at.to_string(), "stop": "dropoff"}]);
        }
        _ => {}
    }
    order
}

/// The fullest and the barest order there is, told to its recipient: a template must bear both.
pub(crate) fn extremes() -> &'static [Facts; 2] {
    static EXTREMES: LazyLock<[Facts; 2]> = LazyLock::new(made);
    &EXTREMES
}

/// The names that a template may use, as the fullest order has them.
pub(crate) fn vocabulary() -> &'static Value {
    static VOCABULARY: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(&extremes()[0]).unwrap_or_default());
    &VOCABULARY
}

fn made() -> [Facts; 2] {
    // Any day does.
    let at = Timestamp::from_second(1_777_636_800).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut full = order("order.attempt_failed", at);
    full["status"]["phase"] = json!("Delivered");
    full["status"]["stops"] = json!({"dropoff": {"completedAt": at.to_string()}});
    // Letters that a body of JSON, a form or HTML must bear.
    full["spec"]["recipient"]["name"] = json!("Ada \"<Ex&mple>\" 'O\\Neil' 100%");
    let bare = json!({"metadata": {"name": NAME}, "spec": {}, "status": {"phase": "Pending"}});
    let whole = ShopContact {
        name: Some("Corner Shop".to_owned()),
        email: Some("shop@example.com".to_owned()),
        phone: Some("+14165550199".to_owned()),
        locale: None,
    };
    let blank = ShopContact::default();
    [(&full, Some(DRIVER), &whole), (&bare, None, &blank)].map(|(order, driver, shop)| {
        let told = Told {
            event: "order.delivered",
            at,
            namespace: "sample",
            order,
            driver,
            shop,
            audience: Audience::Recipient,
            locale: "en",
            zone: &TimeZone::UTC,
        };
        Facts { to: "+14165550100".to_owned(), key: "msg_sample".to_owned(), ..Facts::of_order(&told) }
    })
}
