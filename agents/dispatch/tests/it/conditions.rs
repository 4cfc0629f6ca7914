use dropmate_api::{Condition, Order, common::ConditionStatus};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::city::City;

fn condition<'a>(order: &'a Order, type_: &str) -> Option<&'a Condition> {
    order.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == type_)
}

fn is_true(order: &Order, type_: &str) -> bool {
    condition(order, type_).is_some_and(|condition| condition.status == ConditionStatus::True)
}

#[tokio::test(start_paused = true)]
async fn an_order_nobody_may_take_says_which_limit_failed() {
    let city = City::new().await;
    city.add_driver("sam", 0.1).await;
    let _agent = city.start("a");
    city.add_order("o-1", json!({"requirements": {"skills": ["frozen"]}})).await;
    let order = city.order_when("o-1", |order| is_true(order, "Unassignable")).await;
    let unassignable = condition(&order, "Unassignable").unwrap();
    assert_eq!(unassignable.reason, "Skills");
    assert!(!unassignable.message.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_condition_goes_when_a_driver_comes_who_may() {
    let city = City::new().await;
    let _agent = city.start("a");
    city.add_order("o-1", json!({"requirements": {"skills": ["frozen"]}})).await;
    city.order_when("o-1", |order| is_true(order, "Unassignable")).await;
    city.apply_driver("sam", json!({"displayName": "Sam", "skills": ["frozen"]})).await;
    city.bound("o-1").await;
    city.order_when("o-1", |order| !is_true(order, "Unassignable")).await;
}

#[tokio::test(start_paused = true)]
async fn conditions_of_others_are_kept() {
    let city = City::new().await;
    let _agent = city.start("a");
    city.add_order("o-1", json!({})).await;
    let orders: Api<Order> = city.orders.clone();
    city.order_when("o-1", |order| is_true(order, "Unassignable")).await;
    // Another agent adds its own while ours stands.
    let mut conditions = city.order("o-1").await.status.unwrap().conditions;
    conditions.push(Condition {
        type_: "Late".into(),
        status: ConditionStatus::True,
        reason: "Slow".into(),
        message: "Ten minutes late".into(),
        last_transition_time: city.plane.clock().business_now(),
        observed_generation: None,
    });
    let patch = json!({"status": {"conditions": conditions}});
    orders.patch_status("o-1", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    city.add_driver("sam", 0.1).await;
    let order = city.order_when("o-1", |order| !is_true(order, "Unassignable")).await;
    assert!(is_true(&order, "Late"), "{:?}", order.status.unwrap().conditions);
}
