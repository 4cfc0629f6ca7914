//! `DispatchPolicy`: how the dispatch agent decides. In force is the one named `default`, else [`Default`].

use jiff::Timestamp;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{cross, registry::Strategy, validation::Cause};

/// How dispatch is to decide.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(crates(kube_core = "::kube_core"))]
#[kube(
    group = "dropmate.dev",
    version = "v1",
    kind = "DispatchPolicy",
    plural = "dispatchpolicies",
    singular = "dispatchpolicy",
    shortname = "dp"
)]
#[kube(category = "dropmate", category = "all")]
#[kube(namespaced, status = "DispatchPolicyStatus", derive = "PartialEq")]
#[serde(rename_all = "camelCase")]
pub struct DispatchPolicySpec {
    /// Who decides, and how.
    #[serde(default)]
    pub mode: DispatchMode,
    /// An order is released this many seconds before its pickup window opens or its goods are ready; 1800 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 604_800))]
    pub lead_seconds: Option<i64>,
    /// At most this many orders in one trip from one pickup; 3 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_orders_per_trip: Option<i32>,
    /// Weights of the cost terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// An order not bound this many seconds after `dueBy` expires; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 604_800))]
    pub expire_after_due_seconds: Option<i64>,
    /// An order that is not fetched yet is taken from a driver of whom nothing was heard for this many seconds after the
    /// condition `TrackingStale` came up; never when absent: silence alone is no reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 604_800))]
    pub unbind_silent_seconds: Option<i64>,
    /// What tracking may do by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<TrackingPolicy>,
}

/// What tracking may do by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrackingPolicy {
    /// Whether a driver who stays at a stop has arrived without saying so; otherwise the arrival is only proposed.
    #[serde(default)]
    pub auto_arrive: bool,
}

/// Who decides, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DispatchMode {
    /// Suggests in the order's `Unassignable` condition, never binds by itself; obeys `spec.driverName`.
    Manual,
    /// The nearest driver that may take the order.
    Nearest,
    /// Cheapest insertion, loads evened out.
    Balanced,
    /// Cheapest insertion, just in time.
    #[default]
    Plan,
}

/// Weights of the cost terms, per second each; an absent one has its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Objective {
    /// Seconds after the promise; 4 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub lateness: Option<f64>,
    /// Seconds from ready to the door; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub freshness: Option<f64>,
    /// Seconds driven; 0.3 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub driving: Option<f64>,
}

/// What was observed of a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DispatchPolicyStatus {
    /// Whether this policy is in force.
    #[serde(default)]
    pub active: bool,
    /// When dispatch last planned with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_plan_at: Option<Timestamp>,
}

/// The strategy of [`DispatchPolicy`]: rules that no single field's schema can say.
#[derive(Debug)]
pub struct DispatchPolicyStrategy;

impl Strategy for DispatchPolicyStrategy {
    fn validate(&self, new: &Value, _old: Option<&Value>) -> Vec<Cause> {
        let mut causes = Vec::new();
        let weight = |name: &str| cross::at(new, &format!("spec.objective.{name}")).and_then(Value::as_f64);
        let weights: Vec<f64> = ["lateness", "freshness", "driving"].iter().filter_map(|name| weight(name)).collect();
        if weights.len() == 3 && weights.iter().all(|weight| *weight == 0.0) {
            let value = cross::at(new, "spec.objective").cloned().unwrap_or_default();
            cross::invalid(&mut causes, "spec.objective", &value, "must weigh at least one term above 0");
        }
        cross::readable::<DispatchPolicy>(&mut causes, new, "dispatchpolicies");
        causes
    }
}
