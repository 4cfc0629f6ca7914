//! What draining a driver means for each order: a plain function over what is bound.

use dropmate_api::{
    Order, Phase,
    order::{Custody, binding::bound_driver},
};

/// Phases that nothing follows: a finished order still names its driver.
const FINISHED: [Phase; 5] = [Phase::Delivered, Phase::Returned, Phase::Cancelled, Phase::Failed, Phase::Expired];

/// What is bound to a driver.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// To be taken away.
    pub(super) unbind: Vec<Bound>,
    /// The driver is at the pickup or has the goods.
    pub(super) stay: Vec<Bound>,
}

/// An order that is bound to the driver.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) name: String,
    phase: Phase,
    /// A person pinned it to this driver.
    pinned: bool,
}

/// The field selector for what a driver is bound to and not done with.
pub(super) fn selector(driver: &str) -> String {
    let mut terms = vec![format!("status.driverName={driver}")];
    terms.extend(FINISHED.iter().map(|phase| format!("status.phase!={phase:?}")));
    terms.join(",")
}

impl Plan {
    /// Adds a page of orders. Those of other drivers and finished ones are no part of it.
    pub(super) fn add(&mut self, driver: &str, orders: &[Order]) {
        for order in orders {
            let status = order.status.clone().unwrap_or_default();
            if bound_driver(&status) != Some(driver) || order.phase().is_terminal() {
                continue;
            }
            let bound = Bound {
                name: order.metadata.name.clone().unwrap_or_default(),
                phase: order.phase(),
                pinned: order.spec.driver_name.as_deref() == Some(driver),
            };
            // After a failed attempt at the door the phase may be Assigned with the goods in the vehicle: nobody else
            // could have the order then.
            let fetched = status.custody != Custody::Sender;
            if !fetched && matches!(bound.phase, Phase::Assigned | Phase::EnRouteToPickup) {
                self.unbind.push(bound);
            } else {
                self.stay.push(bound);
            }
        }
    }

    /// The refusal that names what could not be taken away in time.
    pub(super) fn left_after(&self, driver: &str, timeout: &str) -> String {
        let left: Vec<String> =
            self.unbind.iter().map(|order| format!("order/{} ({:?})", order.name, order.phase)).collect();
        let left = if left.is_empty() { "the orders could not be listed".to_owned() } else { left.join(", ") };
        format!("driver/{driver} is cordoned but not drained after {timeout}; left: {left}")
    }
}

impl Bound {
    /// What is said when it was taken away.
    pub(super) fn unbound(&self, driver: &str, remark: &str) -> String {
        let pinned = if self.pinned {
            format!(
                "; it is pinned to {driver} (spec.driverName): no other driver gets it until the pin is removed, \
                 and {driver} gets it again once uncordoned"
            )
        } else {
            String::new()
        };
        format!("order/{} unbound{remark}{pinned}", self.name)
    }

    /// What is said when it goes on.
    pub(super) fn stays(&self) -> String {
        format!("order/{} stays ({:?})", self.name, self.phase)
    }
}

#[cfg(test)]
mod tests {
    use dropmate_api::{order::binding::unbind, order::settle, subresource::Unbinding};
    use serde_json::{Value, json};

    use super::*;

    /// An order bound to sam, with more facts.
    fn order(name: &str, facts: &Value) -> Order {
        let stop = json!({"address": "1 Main St", "location": {"latitude": 43.0, "longitude": -79.0}});
        let mut status = json!({"releasedAt": "2026-01-05T10:00:00Z", "assignment": {"driverName": "sam"}});
        for (key, value) in facts.as_object().unwrap() {
            status[key] = value.clone();
        }
        let mut order: Order = serde_json::from_value(json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": name, "namespace": "acme"},
            "spec": {"pickup": stop, "dropoff": stop, "recipient": {"name": "Ada"}}, "status": status,
        }))
        .unwrap();
        settle(&mut order, "2026-01-05T10:00:00Z".parse().unwrap());
        order
    }

    fn orders() -> Vec<Order> {
        let failed = json!([{"reason": "nobody home", "at": "2026-01-05T10:00:00Z", "stop": "dropoff", "driverName": "sam", "decision": "Retry"}]);
        vec![
            order("assigned", &json!({})),
            order("on-the-way", &json!({"stops": {"pickup": {"state": "EnRoute"}}})),
            order("at-pickup", &json!({"stops": {"pickup": {"state": "Arrived"}}})),
            order("fetched", &json!({"custody": "Driver", "stops": {"pickup": {"state": "Completed"}}})),
            order("again", &json!({"custody": "Driver", "attempts": failed})),
            order("delivered", &json!({"custody": "Recipient"})),
            order("of-kim", &json!({"assignment": {"driverName": "kim"}})),
        ]
    }

    fn names(bound: &[Bound]) -> Vec<&str> {
        bound.iter().map(|bound| bound.name.as_str()).collect()
    }

    #[test]
    fn what_was_not_picked_up_is_taken_away_and_what_was_stays() {
        let mut plan = Plan::default();
        plan.add("sam", &orders());
        assert_eq!(names(&plan.unbind), ["assigned", "on-the-way"]);
        assert_eq!(names(&plan.stay), ["at-pickup", "fetched", "again"]);
    }

    #[test]
    fn the_server_would_accept_every_unbinding() {
        let mut plan = Plan::default();
        plan.add("sam", &orders());
        for bound in &plan.unbind {
            let order = orders().into_iter().find(|order| order.metadata.name.as_ref() == Some(&bound.name)).unwrap();
            unbind(&order, &Unbinding::default(), "2026-01-05T10:00:00Z".parse().unwrap()).unwrap();
        }
    }

    #[test]
    fn no_phase_is_selected_that_nothing_follows() {
        assert!(FINISHED.iter().all(|phase| phase.is_terminal()));
        assert_eq!(
            selector("sam"),
            "status.driverName=sam,status.phase!=Delivered,status.phase!=Returned,status.phase!=Cancelled,\
             status.phase!=Failed,status.phase!=Expired"
        );
    }

    #[test]
    fn a_pin_is_told_with_what_it_means() {
        let mut pinned = order("o-1", &json!({}));
        pinned.spec.driver_name = Some("sam".to_owned());
        let mut plan = Plan::default();
        plan.add("sam", &[pinned]);
        let told = plan.unbind[0].unbound("sam", "");
        assert!(told.starts_with("order/o-1 unbound; it is pinned to sam (spec.driverName)"), "{told}");
    }

    #[test]
    fn what_is_left_is_named() {
        let mut plan = Plan::default();
        plan.add("sam", &orders());
        let told = plan.left_after("sam", "1m");
        assert!(told.ends_with("left: order/assigned (Assigned), order/on-the-way (EnRouteToPickup)"), "{told}");
    }
}
