//! The API through kube-rs, in process.

use dropmate_api::{Driver, Order};
use futures::{StreamExt, TryStreamExt, pin_mut};
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use kube::{
    Api, Resource,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::{
        WatchStreamExt,
        events::{EventType, Recorder},
        finalizer::{Event as Finalizer, finalizer},
        watcher,
    },
};
use serde_json::json;

use crate::client::{self, DRIVERS, ORDERS, driver, order};

#[tokio::test]
async fn kube_rs_creates_reads_changes_and_deletes() {
    let api = client::Api::start().await;
    let orders: Api<Order> = Api::default_namespaced(api.client());
    let wanted: Order = serde_json::from_value(order("o1")).unwrap();
    let created = orders.create(&PostParams::default(), &wanted).await.unwrap();
    assert_eq!(created.spec.recipient.name, "Ada");
    let patch = Patch::Merge(json!({"spec": {"priority": 2}}));
    let patched = orders.patch("o1", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.metadata.generation, Some(2));
    assert_eq!(
        orders.list(&ListParams::default().fields("status.phase=Pending")).await.unwrap().items,
        std::slice::from_ref(&patched)
    );
    let mut replaced = patched;
    replaced.spec.hold = true;
    assert!(orders.replace("o1", &PostParams::default(), &replaced).await.unwrap().spec.hold);
    let refused = orders.replace("o1", &PostParams::default(), &created).await.unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.code == 409 && status.reason == "Conflict"),
        "{refused}"
    );
    assert!(orders.delete("o1", &DeleteParams::default()).await.unwrap().is_right());
    assert!(orders.get_opt("o1").await.unwrap().is_none());
}

#[tokio::test]
async fn a_watcher_sees_the_state_and_then_the_changes() {
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let api = client::Api::start().await;
        api.post(ORDERS, &order("o1")).await.ok();
        let orders: Api<Order> = Api::all(api.client());
        let stream = watcher(orders, config).applied_objects();
        pin_mut!(stream);
        assert_eq!(stream.try_next().await.unwrap().unwrap().metadata.name.as_deref(), Some("o1"));
        api.post(ORDERS, &order("o2")).await.ok();
        assert_eq!(stream.next().await.unwrap().unwrap().metadata.name.as_deref(), Some("o2"));
    }
}

#[tokio::test]
async fn a_finalizer_of_kube_rs_comes_and_goes() {
    let api = client::Api::start().await;
    api.post(DRIVERS, &driver("sam")).await.ok();
    let drivers: Api<Driver> = Api::default_namespaced(api.client());
    {
        let held = drivers.get("sam").await.unwrap();
        finalizer(&drivers, "example.com/hold", held.into(), |event| async move {
            assert!(matches!(event, Finalizer::Apply(_)));
            Ok::<_, std::convert::Infallible>(kube::runtime::controller::Action::await_change())
        })
        .await
        .unwrap();
        drivers.delete("sam", &DeleteParams::default()).await.unwrap();
    }
    let held = drivers.get("sam").await.unwrap();
    assert!(held.metadata.deletion_timestamp.is_some());
    finalizer(&drivers, "example.com/hold", held.into(), |_| async {
        Ok::<_, std::convert::Infallible>(kube::runtime::controller::Action::await_change())
    })
    .await
    .unwrap();
    assert!(drivers.get_opt("sam").await.unwrap().is_none());
}

#[tokio::test]
async fn an_event_written_by_a_recorder_is_read_in_the_core_group() {
    let api = client::Api::start().await;
    api.post(ORDERS, &order("o1")).await.ok();
    let orders: Api<Order> = Api::default_namespaced(api.client());
    let held = orders.get("o1").await.unwrap();
    let recorder = Recorder::new(api.client(), "dispatch".into());
    let event = kube::runtime::events::Event {
        type_: EventType::Normal,
        reason: "Bound".into(),
        note: Some("to sam".into()),
        action: "Binding".into(),
        secondary: None,
    };
    recorder.publish(&event, &held.object_ref(&())).await.unwrap();
    recorder.publish(&event, &held.object_ref(&())).await.unwrap();
    let events: Api<Event> = Api::default_namespaced(api.client());
    let uid = held.metadata.uid.unwrap();
    let about = ListParams::default().fields(&format!("involvedObject.name=o1,involvedObject.uid={uid}"));
    let found = events.list(&about).await.unwrap().items;
    assert_eq!(found.len(), 1, "the second report of the same event raises the count of its series");
    let ObjectReference { kind, name, .. } = &found[0].involved_object;
    assert_eq!((kind.as_deref(), name.as_deref()), (Some("Order"), Some("o1")));
    assert_eq!(found[0].message.as_deref(), Some("to sam"));
    assert_eq!(found[0].series.as_ref().and_then(|series| series.count), Some(2));
}

#[tokio::test]
async fn kube_rs_applies_and_hears_of_conflicts() {
    let api = client::Api::start().await;
    let drivers: Api<Driver> = Api::default_namespaced(api.client());
    let (a, b) = (PatchParams::apply("a"), PatchParams::apply("b"));
    let made = drivers.patch("sam", &a, &Patch::Apply(driver("sam"))).await.unwrap();
    assert_eq!(made.spec.display_name, "sam");
    let again = drivers.patch("sam", &a, &Patch::Apply(driver("sam"))).await.unwrap();
    assert_eq!(again.metadata.resource_version, made.metadata.resource_version);
    let mut other = driver("sam");
    other["spec"] = json!({"displayName": "Samuel"});
    let refused = drivers.patch("sam", &b, &Patch::Apply(&other)).await.unwrap_err();
    let kube::Error::Api(status) = &refused else { panic!("{refused}") };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(status.details.as_ref().unwrap().causes[0].field, ".spec.displayName");
    let taken = drivers.patch("sam", &b.force(), &Patch::Apply(&other)).await.unwrap();
    assert_eq!(taken.spec.display_name, "Samuel");
    let managers: Vec<Option<String>> =
        taken.metadata.managed_fields.unwrap().into_iter().map(|entry| entry.manager).collect();
    assert_eq!(managers, [Some("a".to_owned()), Some("b".to_owned())]);
}
