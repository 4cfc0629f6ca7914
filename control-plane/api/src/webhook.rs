//! `Webhook`: where a shop's own program hears of events, signed as Standard Webhooks say.

use jiff::Timestamp;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{common::Condition, cross, registry::Strategy, validation::Cause};

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
        cross::readable::<Webhook>(&mut causes, new, "webhooks");
        causes
    }
}
