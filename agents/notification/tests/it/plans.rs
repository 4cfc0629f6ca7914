//! The planner: which messages an event brings, to whom, when, and what it makes old.

use std::{sync::Arc, time::Duration};

use dropmate_api::{
    Clock, Depot, Driver, Member, Webhook,
    events::cloud::CloudEvent,
    notification::{NotificationPolicy, rules},
};
use dropmate_notification::{
    channel::Channel,
    draft::{Birth, Draft},
    plan::{Planned, Scene, mail, plan},
};
use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use serde_json::{Value, json};

use super::kept::{at, noon};

fn clock() -> Clock {
    Clock::real(Arc::new(noon))
}

#[expect(clippy::needless_pass_by_value, reason = "callers write it down in place")]
fn order(recipient: Value) -> Value {
    let stop = |address: &str| json!({"address": address, "location": {"latitude": 43.65, "longitude": -79.36}});
    json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Order",
        "metadata": {"name": "o-1", "namespace": "acme", "uid": "uid-1"},
        "spec": {"pickup": stop("12 Mill St"), "dropoff": stop("88 Queens Quay"), "recipient": recipient},
        "status": {"phase": "Assigned", "driverName": "sam"},
    })
}

fn ada() -> Value {
    json!({"name": "Ada", "email": "ada@example.org", "phone": "+14165550101"})
}

fn event(type_: &str, time: Timestamp, recipient: Value) -> CloudEvent {
    CloudEvent {
        specversion: "1.0".to_owned(),
        id: "evt_e_42_1".to_owned(),
        source: "/apis/dropmate.dev/v1/namespaces/acme/orders".to_owned(),
        type_: type_.to_owned(),
        subject: "acme/o-1".to_owned(),
        time,
        datacontenttype: "application/json".to_owned(),
        sequence: "42".to_owned(),
        data: json!({"phase": "Assigned", "driverName": "sam", "driver": "sam", "order": order(recipient)}),
    }
}

fn policies(specs: Value) -> Scene {
    let specs: Vec<Value> = serde_json::from_value(specs).unwrap();
    let policies: Vec<NotificationPolicy> = specs
        .into_iter()
        .enumerate()
        .map(|(n, spec)| NotificationPolicy::new(&format!("p-{n}"), serde_json::from_value(spec).unwrap()))
        .collect();
    let object = |kind: &str, name: &str, spec: Value, status: Value| {
        json!({"apiVersion": "dropmate.dev/v1", "kind": kind, "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": 1},
               "spec": spec, "status": status})
    };
    let driver: Driver = serde_json::from_value(object(
        "Driver",
        "sam",
        json!({"displayName": "Sam Smith", "phone": "+14165550100", "timeZone": "Asia/Tokyo"}),
        json!({}),
    ))
    .unwrap();
    let member = |name: &str, user: &str, role: &str, driver: Option<&str>, accepted: bool| -> Member {
        let status = if accepted { json!({"acceptedAt": noon()}) } else { json!({}) };
        let mut spec = json!({"user": user, "role": role});
        if let Some(driver) = driver {
            spec["driverName"] = driver.into();
        }
        serde_json::from_value(object("Member", name, spec, status)).unwrap()
    };
    Scene {
        rules: rules::effective(&policies),
        drivers: vec![Arc::new(driver)],
        members: vec![
            Arc::new(member("a", "boss@example.org", "manager", None, true)),
            Arc::new(member("b", "new@example.org", "manager", None, false)),
            Arc::new(member("c", "sam@example.org", "driver", Some("sam"), true)),
            Arc::new(member("d", "system:serviceaccount:acme:shop", "manager", None, true)),
        ],
        ..Scene::default()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "callers write it down in place")]
fn rule(audience: &str, channel: &str, more: Value) -> Value {
    let mut rule =
        json!({"name": "mine", "events": ["order.*"], "audience": audience, "channel": channel, "template": "t"});
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"builtInRules": "Off", "rules": [rule], "templates": [{"name": "t", "subject": "s", "text": "{{ order.name }}"}],
           "channels": {"http": [{"name": "push", "url": "https://push.example", "to": "Phone", "body": "{\"to\": {{ to }}, \"text\": {{ text }}}"}]}})
}

fn drafts(scene: &Scene, event: &CloudEvent) -> Vec<Draft> {
    plan(event, scene, &clock()).drafts
}

#[rstest]
#[case("order.assigned", &["assigned-email", "assigned-sms"])]
#[case("order.out_for_delivery", &["out-for-delivery-email", "out-for-delivery-sms"])]
#[case("order.arriving", &["arriving-email", "arriving-sms"])]
#[case("order.delivered", &["delivered-email", "delivered-sms"])]
#[case("order.attempt_failed", &["failed-email", "failed-sms"])]
#[case("order.delayed", &["delayed-email", "delayed-sms"])]
#[case("order.created", &[])]
#[case("order.updated", &[])]
#[case("delivery.updated", &[])]
fn an_empty_namespace_already_tells(#[case] type_: &str, #[case] rules: &[&str]) {
    let scene = policies(json!([]));
    let planned = drafts(&scene, &event(type_, noon(), ada()));
    assert_eq!(planned.iter().map(|draft| draft.rule.as_str()).collect::<Vec<_>>(), rules);
    for draft in &planned {
        assert_eq!((draft.audience, draft.revision, &draft.birth), ("recipient", 42, &Birth::Planned));
        assert!(draft.content.wants_link, "every message to a customer carries the link");
        assert!(draft.queue == format!("{}@acme", draft.channel.name()) && draft.not_before == noon());
    }
    // By the addresses that there are.
    let by_phone = drafts(&scene, &event(type_, noon(), json!({"name": "Ada", "phone": "+14165550101"})));
    assert!(by_phone.iter().all(|draft| draft.channel == Channel::Sms) && by_phone.len() == rules.len() / 2);
    assert!(drafts(&scene, &event(type_, noon(), json!({"name": "Ada"}))).is_empty());
    let mut no = ada();
    no["notify"] = json!(false);
    assert!(drafts(&scene, &event(type_, noon(), no)).is_empty());
}

#[test]
fn the_same_event_brings_the_same_messages_whoever_plans_it() {
    let (scene, event) = (policies(json!([])), event("order.delivered", noon(), ada()));
    let (one, other) = (drafts(&scene, &event), drafts(&scene, &event));
    assert_eq!(one, other);
    assert_eq!(one[0].key, "evt_e_42_1/recipient/email/ada@example.org/delivered-email");
    assert_ne!(one[0].id(), one[1].id());
}

#[rstest]
#[case("Recipient", "Email", &["ada@example.org"])]
#[case("Recipient", "Sms", &["+14165550101"])]
#[case("Driver", "Sms", &["+14165550100"])]
#[case("Driver", "Email", &["sam@example.org"])]
// Whose address nobody has confirmed, and who is a program, is not written to.
#[case("Manager", "Email", &["boss@example.org"])]
#[case("Manager", "Sms", &[])]
#[case("Shop", "Email", &[])]
fn who_is_told(#[case] audience: &str, #[case] channel: &str, #[case] to: &[&str]) {
    let scene = policies(json!([rule(audience, channel, json!({}))]));
    let planned = drafts(&scene, &event("order.assigned", noon(), ada()));
    assert_eq!(planned.iter().map(|draft| draft.to.as_str()).collect::<Vec<_>>(), to);
    assert!(planned.iter().all(|draft| draft.content.text == "o-1" && !draft.content.wants_link));
}

#[test]
fn a_request_has_its_own_queue_and_body() {
    let scene = policies(json!([rule("Recipient", "Http", json!({"http": "push"}))]));
    let planned = drafts(&scene, &event("order.assigned", noon(), ada()));
    let draft = &planned[0];
    assert_eq!(
        (draft.to.as_str(), draft.queue.as_str(), draft.http.as_str()),
        ("+14165550101", "http/acme/p-0/push", "push")
    );
    let body: Value = serde_json::from_str(draft.content.payload.as_deref().unwrap()).unwrap();
    assert_eq!(body, json!({"to": "+14165550101", "text": "o-1"}));
}

#[test]
fn delays_and_quiet_hours_move_the_time_and_a_template_that_fails_is_seen() {
    let times = |more: Value, audience: &str, happened: i64| {
        let scene = policies(json!([rule(audience, "Sms", more)]));
        let planned = drafts(&scene, &event("order.delivered", at(happened), ada()));
        planned[0].not_before.duration_since(noon()).as_secs()
    };
    assert_eq!(times(json!({}), "Recipient", 0), 0);
    assert_eq!(times(json!({"delaySeconds": 600}), "Recipient", 0), 600);
    assert_eq!(times(json!({"delaySeconds": 600}), "Recipient", -400), 200, "from when it happened");
    assert_eq!(times(json!({"delaySeconds": 600}), "Recipient", 3600), 600, "a phone's clock is ahead");
    let quiet = json!({"quietHours": {"start": "11:00", "end": "13:00"}});
    assert_eq!(times(quiet.clone(), "Recipient", 0), 3600, "in UTC, where nobody says another zone");
    assert_eq!(times(quiet, "Driver", 0), 0, "it is nine in the evening in Tokyo");
    let night = json!({"quietHours": {"start": "20:00", "end": "07:00"}});
    assert_eq!(times(night, "Driver", 0), 10 * 3600, "and seven in the morning is ten hours ahead");
}

#[test]
fn zones_come_from_the_recipient_then_the_depot_then_the_namespace() {
    let quiet = json!([{"quietHours": {"start": "08:00", "end": "10:00"}}]);
    let wait = |recipient: Value, depot: Option<&str>, namespace: Option<&str>| {
        let mut scene = policies(quiet.clone());
        scene.time_zone = namespace.map(str::to_owned);
        if let Some(zone) = depot {
            let depot = json!({"apiVersion": "dropmate.dev/v1", "kind": "Depot", "metadata": {"name": "main"}, "spec": {"timeZone": zone}});
            scene.depots = vec![Arc::new(serde_json::from_value::<Depot>(depot).unwrap())];
        }
        let mut event = event("order.delivered", noon(), recipient);
        event.data["order"]["spec"]["pickup"]["depotName"] = json!("main");
        plan(&event, &scene, &clock()).drafts[0].not_before.duration_since(noon()).as_secs() / 3600
    };
    let in_zone = |zone: &str| json!({"name": "Ada", "email": "ada@example.org", "timeZone": zone});
    let anywhere = json!({"name": "Ada", "email": "ada@example.org"});
    // Noon in UTC is eight in Santiago (UTC-3: nine), five in Toronto... only the zones below are within the hours.
    assert_eq!(wait(anywhere.clone(), None, None), 0);
    assert_eq!(wait(in_zone("Etc/GMT+3"), Some("UTC"), Some("UTC")), 1);
    assert_eq!(wait(anywhere.clone(), Some("Etc/GMT+4"), Some("UTC")), 2);
    assert_eq!(wait(anywhere, None, Some("Etc/GMT+3")), 1);
}

#[test]
fn what_comes_days_late_is_written_down_and_not_sent() {
    let scene = policies(json!([]));
    let birth = |type_: &str, hours: i64| {
        let then = noon() - SignedDuration::from_hours(hours);
        drafts(&scene, &event(type_, then, ada()))[0].birth.clone()
    };
    assert_eq!(birth("order.delivered", 23), Birth::Planned);
    assert_eq!(birth("order.delivered", 24), Birth::Suppressed("expired"));
    assert_eq!(birth("order.arriving", 1), Birth::Planned);
    assert_eq!(birth("order.arriving", 2), Birth::Suppressed("expired"));
}

#[rstest]
#[case("order.delivered", &["order.arriving", "order.assigned", "order.delayed", "order.eta_changed", "order.offered", "order.out_for_delivery"])]
#[case("order.arriving", &["order.arriving", "order.assigned", "order.out_for_delivery"])]
#[case("order.out_for_delivery", &["order.assigned", "order.out_for_delivery"])]
#[case("order.unassigned", &["order.arriving", "order.assigned", "order.out_for_delivery"])]
#[case("order.assigned", &["order.assigned", "order.offered"])]
#[case("order.eta_changed", &["order.eta_changed"])]
#[case("order.created", &[])]
fn what_an_event_makes_old(#[case] type_: &str, #[case] old: &[&str]) {
    let Planned { stale, .. } = plan(&event(type_, noon(), ada()), &policies(json!([])), &clock());
    let mut classes: Vec<&str> = stale.iter().map(|stale| stale.class).collect();
    classes.sort_unstable();
    assert_eq!(classes, old);
    assert!(stale.iter().all(|stale| stale.uid == "uid-1" && stale.revision == 42 && stale.by == type_));
}

#[test]
fn endpoints_get_the_event_to_the_byte_in_the_order_of_each_object() {
    let webhook = |name: &str, events: Value, status: Value| -> Arc<Webhook> {
        Arc::new(
            serde_json::from_value(json!({
                "apiVersion": "dropmate.dev/v1", "kind": "Webhook",
                "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": 1},
                "spec": {"url": "https://shop.example", "secretName": "s", "events": events}, "status": status,
            }))
            .unwrap(),
        )
    };
    let disabled = json!({"disabledAt": noon(), "observedGeneration": 1});
    let scene = Scene {
        webhooks: vec![
            webhook("all", json!([]), json!({})),
            webhook("off", json!(["order.*"]), disabled),
            webhook("other", json!(["driver.*"]), json!({})),
        ],
        ..Scene::default()
    };
    let event = event("order.created", noon() - SignedDuration::from_hours(24 * 30), ada());
    let planned = drafts(&scene, &event);
    assert_eq!(planned.iter().map(|draft| draft.to.as_str()).collect::<Vec<_>>(), ["all", "off"]);
    let (first, second) = (&planned[0], &planned[1]);
    assert_eq!(first.key, "evt_e_42_1/webhook/uid-all");
    assert_eq!((first.queue.as_str(), first.lane.as_str()), ("webhook/uid-all", "uid-all/uid-1"));
    let body: CloudEvent = serde_json::from_str(first.content.payload.as_deref().unwrap()).unwrap();
    assert_eq!(body, event);
    assert_eq!((&first.birth, &second.birth), (&Birth::Planned, &Birth::Suppressed("disabled")));
    let driver = CloudEvent {
        id: "evt_e_43_0".to_owned(),
        type_: "driver.silent".to_owned(),
        subject: "acme/sam".to_owned(),
        data: json!({"driver": {"metadata": {"name": "sam", "uid": "uid-sam"}}}),
        ..event
    };
    let planned = drafts(&scene, &driver);
    assert_eq!(planned.iter().map(|draft| draft.to.as_str()).collect::<Vec<_>>(), ["all", "other"]);
    assert_eq!((planned[0].order.as_str(), planned[0].lane.as_str()), ("", "uid-all/uid-sam"));
}

#[test]
fn limits_are_the_policys() {
    let scene = policies(json!([{"limits": {"perRecipientPerHour": 6, "perMinute": 120}}]));
    let draft = &drafts(&scene, &event("order.delivered", noon(), ada()))[0];
    let told: Vec<_> = draft.quotas.iter().map(|quota| (quota.key.as_str(), quota.burst, quota.every)).collect();
    assert_eq!(
        told,
        [
            ("namespace/acme", 120, Duration::from_millis(500)),
            ("recipient/acme/email/ada@example.org", 6, Duration::from_mins(10)),
        ]
    );
}

#[test]
fn a_mail_about_an_account_waits_for_its_link_and_not_longer_than_that_is_good() {
    let asked = |expires: i64| mail::Mail {
        seq: 1,
        id: "m-1".to_owned(),
        kind: "invitation".to_owned(),
        email: "new@example.org".to_owned(),
        locale: Some("de".to_owned()),
        namespace: Some("acme".to_owned()),
        role: Some("dispatcher".to_owned()),
        by: None,
        at: noon(),
        expires_at: at(expires),
    };
    let draft = mail::plan(&asked(3600), &clock());
    assert_eq!((draft.key.as_str(), draft.mail.as_str(), draft.namespace.as_str()), ("mail/m-1", "m-1", "acme"));
    assert!(draft.content.wants_link && draft.content.subject.is_some());
    assert_eq!(draft.life, Duration::from_hours(1));
    assert_eq!(mail::plan(&asked(-1), &clock()).birth, Birth::Suppressed("expired"));
}
