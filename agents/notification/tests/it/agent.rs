//! The whole agent: an order's life brings exactly the messages that it should.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use dropmate_api::common::ConditionStatus;
use dropmate_notification::{
    seam::{Revealed, Vault},
    store::{Store, View},
};
use dropmate_testing::Database;
use serde_json::json;
use tokio::time::sleep;

use super::{
    pipeline::{Service, taken},
    town::{Agent, Town},
};

fn vault() -> Arc<dyn Vault> {
    let service = Service::new(|_, _| (Duration::ZERO, taken()));
    let link = Some("https://shop.example/t/geheim".to_owned());
    *service.revealed.lock().unwrap() = Ok(Revealed { link, pin: Some("123456".to_owned()), unwanted: false });
    Arc::new(service)
}

fn told(messages: &[View]) -> Vec<(&str, &str, &str, &str)> {
    let mut told: Vec<_> = messages
        .iter()
        .map(|view| (view.event.as_str(), view.channel.as_str(), view.recipient.as_str(), view.state.as_str()))
        .collect();
    told.sort_unstable();
    told
}

/// An order's life in a namespace that says nothing about notifications, in two locales.
async fn lives(town: &Town, agent: &Agent) {
    town.add_sam().await;
    town.place("o-en", json!({"name": "Ada", "email": "ada@example.org", "phone": "+14165550101"})).await;
    town.place("o-de", json!({"name": "Bert", "email": "bert@example.org", "locale": "de-AT"})).await;
    town.place("o-no", json!({"name": "Eve", "email": "eve@example.org", "notify": false})).await;
    for (order, channels) in [("o-en", 2), ("o-de", 1), ("o-no", 0)] {
        town.bind(order).await;
        // One at a time, so that nothing is old before it is sent.
        agent.ended(order, channels).await;
        for report in ["depart", "arrive", "pickUp"] {
            town.sam_reports(order, report).await;
        }
        agent.ended(order, 2 * channels).await;
        town.sam_reports(order, "deliver").await;
    }
    let english = agent.ended("o-en", 6).await;
    assert_eq!(
        told(&english),
        [
            ("order.assigned", "email", "ada@example.org", "sent"),
            ("order.assigned", "sms", "+14165550101", "sent"),
            ("order.delivered", "email", "ada@example.org", "sent"),
            ("order.delivered", "sms", "+14165550101", "sent"),
            ("order.out_for_delivery", "email", "ada@example.org", "sent"),
            ("order.out_for_delivery", "sms", "+14165550101", "sent"),
        ]
    );
    assert!(english.iter().all(|view| view.provider == "outbox" && view.attempts == 1), "{english:#?}");
    let german = agent.ended("o-de", 3).await;
    assert_eq!(
        told(&german),
        [
            ("order.assigned", "email", "bert@example.org", "sent"),
            ("order.delivered", "email", "bert@example.org", "sent"),
            ("order.out_for_delivery", "email", "bert@example.org", "sent"),
        ]
    );
    assert!(agent.messages("o-no").await.is_empty());
    let of = |messages: &[View], event: &str| {
        messages.iter().find(|view| view.event == event && view.channel == "email").unwrap().id.clone()
    };
    let (one, other) =
        (agent.full(&of(&english, "order.delivered")).await, agent.full(&of(&german, "order.delivered")).await);
    assert!(one.text.contains("Ada") && other.text.contains("Bert"), "{}\n{}", one.text, other.text);
    assert_eq!((one.view.locale.as_str(), &other.view.locale[..2]), ("en", "de"));
    assert_ne!(one.subject, other.subject, "each in its language");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orders_life_brings_its_messages_in_two_locales() {
    let town = Town::new().await;
    let agent = town.start("one", vault()).await;
    lives(&town, &agent).await;
    let order = town
        .order_when("o-en", |order| {
            let held = order
                .status
                .as_ref()
                .and_then(|status| status.conditions.iter().find(|condition| condition.type_ == "CustomerNotified"));
            // By one of them first.
            held.is_some_and(|held| held.message == "order.delivered by email and sms")
        })
        .await;
    let conditions = order.status.unwrap().conditions;
    let held = conditions.iter().find(|condition| condition.type_ == "CustomerNotified").unwrap();
    assert_eq!((held.status, held.reason.as_str()), (ConditionStatus::True, "OrderDelivered"));
    let mut events = town.events("o-en").await;
    for _ in 0..100 {
        if events.iter().any(|(reason, message)| reason == "Notified" && message.contains("order.delivered")) {
            break;
        }
        sleep(Duration::from_millis(50)).await;
        events = town.events("o-en").await;
    }
    assert!(events.iter().any(|(_, message)| message.contains("order.delivered told to the recipient")), "{events:?}");
    assert!(events.iter().all(|(_, message)| !message.contains("ada@") && !message.contains("+1416")), "{events:?}");
    // Our own condition told nobody anything.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(agent.messages("o-en").await.len(), 6);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_it_is_the_same() {
    let town = Town::new().await;
    let database = Database::create().await;
    Store::migrate_postgres(&database.url()).await.unwrap();
    let agent = town.start_on("one", vault(), Store::postgres(&database.url()).await.unwrap()).await;
    lives(&town, &agent).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_are_killed_lose_nothing_and_plan_nothing_twice() {
    let town = Town::new().await;
    town.add_sam().await;
    let mut life = 0;
    let mut agent = town.start("life-0", vault()).await;
    for n in 0..12 {
        let order = format!("o-{n}");
        town.place(&order, json!({"name": "Ada", "email": format!("ada-{n}@example.org")})).await;
        town.bind(&order).await;
        town.deliver(&order).await;
        if n % 3 == 2 {
            agent.kill(&format!("life-{life}")).await;
            town.forget_lease().await;
            life += 1;
            agent = town.start(&format!("life-{life}"), vault()).await;
        }
    }
    assert_eq!(life, 4, "killed so often");
    let mut ids = BTreeSet::new();
    for n in 0..12 {
        // Assigned and out for delivery may be old before they are sent; delivered is told in any case.
        let messages = agent.ended(&format!("o-{n}"), 3).await;
        assert_eq!(messages.len(), 3, "{messages:#?}");
        let delivered = messages.iter().find(|view| view.event == "order.delivered").unwrap();
        assert_eq!(delivered.state, "sent");
        assert!(messages.iter().all(|view| view.state == "sent" || view.reason == "stale"), "{messages:#?}");
        ids.extend(messages.into_iter().map(|view| view.id));
    }
    assert_eq!(ids.len(), 36);
    assert!(agent.metrics.planned.get() < 36, "the lives before had their part");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_says_who_hears_what_and_its_counts_are_told() {
    let town = Town::new().await;
    town.add_sam().await;
    let policy = json!({
        "builtInRules": "Off", "shop": {"name": "Corner Shop", "phone": "+14165550199"},
        "templates": [{"name": "to-driver", "text": "{{ order.name }}: {{ order.dropoff.address }}"},
                      {"name": "to-shop", "text": "{{ order.name }} is done"}],
        "rules": [
            {"name": "driver", "events": ["order.assigned"], "audience": "Driver", "channel": "Sms", "template": "to-driver"},
            {"name": "shop", "events": ["order.delivered"], "audience": "Shop", "channel": "Sms", "template": "to-shop",
             "when": [{"field": "spec.recipient.name", "operator": "In", "values": ["Ada"]}]},
        ],
    });
    town.make("notificationpolicies", "NotificationPolicy", "default", policy).await;
    let agent = town.start("one", vault()).await;
    for (order, name) in [("o-1", "Ada"), ("o-2", "Bert")] {
        town.place(order, json!({"name": name, "email": "x@example.org"})).await;
        town.bind(order).await;
        agent.ended(order, 1).await;
        town.deliver(order).await;
    }
    assert_eq!(
        told(&agent.ended("o-1", 2).await),
        [("order.assigned", "sms", "+14165550100", "sent"), ("order.delivered", "sms", "+14165550199", "sent")]
    );
    let second = agent.ended("o-2", 1).await;
    assert_eq!(told(&second), [("order.assigned", "sms", "+14165550100", "sent")]);
    assert_eq!(agent.full(&second[0].id).await.text, "o-2: 88 Queens Quay");
    let path = "/apis/dropmate.dev/v1/namespaces/default/notificationpolicies/default";
    let mut policy = json!(null);
    for _ in 0..400 {
        policy = town.ask("GET", path, &json!(null)).await.1;
        if policy["status"]["sent"] == 3 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((&policy["status"]["sent"], &policy["status"]["failed"]), (&json!(3), &json!(0)), "{policy}");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_somebody_was_told_is_told_to_nobody() {
    let town = Town::new().await;
    let policy = json!({
        "builtInRules": "Off", "templates": [{"name": "t", "subject": "s", "text": "{{ event }}"}],
        "rules": [{"name": "all", "events": ["order.*"], "channel": "Email", "template": "t"}],
    });
    town.make("notificationpolicies", "NotificationPolicy", "default", policy).await;
    let agent = town.start("one", vault()).await;
    town.place("o-1", json!({"name": "Ada", "email": "ada@example.org"})).await;
    town.order_when("o-1", |order| {
        order.status.as_ref().is_some_and(|status| {
            status.conditions.iter().any(|held| held.type_ == "CustomerNotified" && held.reason == "OrderCreated")
        })
    })
    .await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(told(&agent.messages("o-1").await), [("order.created", "email", "ada@example.org", "sent")]);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_before_the_first_agent_is_not_told_and_how_far_it_is_is() {
    let town = Town::new().await;
    town.add_sam().await;
    town.place("o-before", json!({"name": "Ada", "email": "ada@example.org"})).await;
    town.bind("o-before").await;
    let agent = town.start("one", vault()).await;
    town.place("o-after", json!({"name": "Ada", "email": "ada@example.org"})).await;
    town.bind("o-after").await;
    agent.ended("o-after", 1).await;
    assert!(agent.messages("o-before").await.is_empty());
    let lease = "/apis/coordination.k8s.io/v1/namespaces/dropmate-system/leases/notification-events";
    let mut told = json!(null);
    for _ in 0..200 {
        told = town.ask("GET", lease, &json!(null)).await.1;
        if told["metadata"]["annotations"]["dropmate.dev/cursor"].is_string() {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let cursor: i64 = told["metadata"]["annotations"]["dropmate.dev/cursor"].as_str().unwrap().parse().unwrap();
    assert!(cursor > 0);
    agent.stop().await;
}
