//! `Webhook`: where a shop's own program hears of events, signed as Standard Webhooks say.

use jiff::Timestamp;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    common::Condition,
    cross,
    notification::{address, known},
    registry::Strategy,
    validation::Cause,
};

/// Where events are sent to.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(crates(kube_core = "::kube_core"))]
#[kube(group = "dropmate.dev", version = "v1", kind = "Webhook", plural = "webhooks", shortname = "wh")]
#[kube(category = "dropmate", category = "all")]
#[kube(namespaced, status = "WebhookStatus", derive = "PartialEq")]
#[serde(rename_all = "camelCase")]
pub struct WebhookSpec {
    /// Where to: `https://…`; `http://…` only where the operator allows it.
    #[schemars(length(min = 1, max = 2048))]
    pub url: String,
    /// The events: `order.delivered`, `order.*`, `*`; none is every event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub events: Vec<String>,
    /// The secret of the namespace that signs: `whsec_…`, several with a space between them while it is changed.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Nothing is sent while true; what happens in the meantime waits.
    #[serde(default)]
    pub suspended: bool,
}

/// What was observed of a webhook.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookStatus {
    /// The generation that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When something was sent last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt_at: Option<Timestamp>,
    /// When it was taken last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<Timestamp>,
    /// Since when nothing was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// Attempts in a row that failed.
    #[serde(default)]
    pub failures: i64,
    /// Since when nothing is sent any more. Ends with a new generation of the spec, or with `dropmate webhooks enable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Timestamp>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<String>,
    /// Conditions by type: `Disabled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The strategy of [`Webhook`].
#[derive(Debug)]
pub struct WebhookStrategy;

impl Strategy for WebhookStrategy {
    fn validate(&self, new: &Value, _old: Option<&Value>) -> Vec<Cause> {
        let mut causes = Vec::new();
        let text = |path: &str| cross::at(new, path).and_then(Value::as_str);
        if let Some(Err(detail)) = text("spec.url").map(address::url) {
            cross::invalid(&mut causes, "spec.url", &new["spec"]["url"], &detail);
        }
        let events = cross::at(new, "spec.events").and_then(|events| Vec::<String>::deserialize(events).ok());
        known::check(&mut causes, "spec.events", &events.unwrap_or_default(), &known::of_webhooks());
        if let Some(name) = text("spec.secretName") {
            address::secret(&mut causes, "spec.secretName", name);
        }
        cross::readable::<Webhook>(&mut causes, new, "webhooks");
        causes
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn causes(spec: &Value) -> Vec<Cause> {
        let webhook =
            json!({"apiVersion": "dropmate.dev/v1", "kind": "Webhook", "metadata": {"name": "w"}, "spec": spec});
        WebhookStrategy.validate(&webhook, None)
    }

    #[test]
    fn a_webhook_that_can_be_served_is_taken() {
        for events in [
            json!([]),
            json!(["order.delivered", "driver.silent"]),
            json!(["order.*", "notification.failed"]),
            json!(["*"]),
        ] {
            let spec =
                json!({"url": "https://shop.example/hooks?from=dropmate", "events": events, "secretName": "hook-key"});
            assert_eq!(causes(&spec), [], "{events}");
        }
    }

    #[rstest]
    #[case(json!({"url": "shop.example/hooks", "secretName": "s"}), "spec.url", "https://")]
    #[case(json!({"url": "https://user:pw@shop.example", "secretName": "s"}), "spec.url", "secret")]
    #[case(json!({"url": "https://shop.example", "secretName": "S p"}), "spec.secretName", "lower case")]
    #[case(json!({"url": "https://shop.example", "secretName": "s", "events": ["order.deliverd"]}), "spec.events[0]", "order.delivered")]
    #[case(json!({"url": "https://shop.example", "secretName": "s", "events": ["*", "*"]}), "spec.events[1]", "Duplicate")]
    #[case(json!({"url": "https://shop.example", "secretName": "s", "events": ["driver.location"]}), "spec.events[0]", "/v1/stream")]
    #[case(json!({"url": "https://shop.example", "secretName": "s", "events": ["ord*"]}), "spec.events[0]", "order.*")]
    fn what_can_never_be_served_is_named_with_the_way_out(#[case] spec: Value, #[case] field: &str, #[case] way: &str) {
        let causes = causes(&spec);
        assert_eq!(causes.iter().map(|cause| cause.field.as_str()).collect::<Vec<_>>(), [field]);
        assert!(causes[0].message.contains(way), "{}", causes[0].message);
    }
}
