//! `Depot`: a place orders start from.

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{common::Location, cross, registry::Strategy, validation::Cause};

/// What a depot is.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(crates(kube_core = "::kube_core"))]
#[kube(group = "dropmate.dev", version = "v1", kind = "Depot", plural = "depots", shortname = "dep")]
#[kube(category = "dropmate", category = "all")]
#[kube(namespaced, status = "DepotStatus", derive = "PartialEq")]
#[serde(rename_all = "camelCase")]
pub struct DepotSpec {
    /// Street address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// IANA time zone, the default of the depot's drivers and recipients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Seconds from an order's placement to its readiness where the order has no `readyAt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub preparation_seconds: Option<i64>,
}

/// What was observed of a depot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DepotStatus {
    /// Orders that start here and are not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub open_orders: Option<i32>,
}

/// The strategy of [`Depot`]: rules that no single field's schema can say.
#[derive(Debug)]
pub struct DepotStrategy;

impl Strategy for DepotStrategy {
    fn validate(&self, new: &Value, _old: Option<&Value>) -> Vec<Cause> {
        let mut causes = Vec::new();
        cross::time_zone(&mut causes, new, "spec.timeZone");
        cross::readable::<Depot>(&mut causes, new, "depots");
        causes
    }
}
