//! What operators in kube-rs are made of, in process: a controller with finalizer, children and events; stores, streamed
//! lists, conditions to wait for, entries, leases, discovery.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use dropmate_api::{Driver, Order};
use futures::{StreamExt, TryStreamExt, future::join_all, pin_mut};
use k8s_openapi::{
    api::{
        coordination::v1::{Lease, LeaseSpec},
        core::v1::{Event, Namespace},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Discovery, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
    core::PartialObjectMeta,
    runtime::{
        Controller, WatchStreamExt,
        controller::Action,
        events::{EventType, Recorder},
        finalizer::{Error as FinalizerError, Event as Finalizer, finalizer},
        reflector,
        reflector::ObjectRef,
        wait::{await_condition, conditions},
        watcher,
    },
};
use serde_json::json;
use tokio::sync::oneshot;

use crate::client::{self, DRIVERS, ORDERS, driver, order};

/// How long anything that a controller does by itself may take.
const PATIENCE: Duration = Duration::from_secs(20);

async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let coming = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, coming).await.is_ok(), "{what}");
}

struct Context {
    client: Client,
    recorder: Recorder,
}

/// Keeps a Lease of its name for every driver, tells so in the driver's status, and takes it away with the driver.
async fn reconcile(driver: Arc<Driver>, context: Arc<Context>) -> Result<Action, FinalizerError<kube::Error>> {
    let drivers: Api<Driver> = Api::default_namespaced(context.client.clone());
    let leases: Api<Lease> = Api::default_namespaced(context.client.clone());
    finalizer(&drivers, "example.com/lease", driver, |event| async {
        match event {
            Finalizer::Apply(driver) => {
                let name = driver.name_any();
                let lease = json!({
                    "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": {"name": name, "ownerReferences": [driver.controller_owner_ref(&())]},
                    "spec": {"holderIdentity": driver.spec.display_name},
                });
                leases.patch(&name, &PatchParams::apply("controller").force(), &Patch::Apply(lease)).await?;
                let status = json!({"status": {"activeOrders": 1}});
                drivers.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
                let event = kube::runtime::events::Event {
                    type_: EventType::Normal,
                    reason: "Leased".into(),
                    note: Some("has a lease".into()),
                    action: "Leasing".into(),
                    secondary: None,
                };
                context.recorder.publish(&event, &driver.object_ref(&())).await?;
                Ok(Action::await_change())
            }
            Finalizer::Cleanup(driver) => {
                leases.delete(&driver.name_any(), &DeleteParams::default()).await?;
                Ok(Action::await_change())
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_controller_keeps_children_and_cleans_up_behind_its_finalizer() {
    let api = client::Api::start().await;
    let client = api.client();
    let drivers: Api<Driver> = Api::default_namespaced(client.clone());
    let leases: Api<Lease> = Api::default_namespaced(client.clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let recorder = Recorder::new(client.clone(), "controller".into());
    let context = Arc::new(Context { client: client.clone(), recorder });
    let running = tokio::spawn(
        Controller::new(drivers.clone(), watcher::Config::default().streaming_lists())
            .owns(leases.clone(), watcher::Config::default())
            .graceful_shutdown_on(async {
                let _ = stopped.await;
            })
            .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(50)), context)
            // A lost race is tried again.
            .for_each(|_| async {}),
    );

    api.post(DRIVERS, &driver("sam")).await.ok();
    until("the lease is there", || async { leases.get_opt("sam").await.unwrap().is_some() }).await;
    until("the status says so", || async {
        drivers.get("sam").await.unwrap().status.is_some_and(|status| status.active_orders == Some(1))
    })
    .await;
    assert_eq!(drivers.get("sam").await.unwrap().finalizers(), ["example.com/lease"]);
    let first = leases.get("sam").await.unwrap();
    leases.delete("sam", &DeleteParams::default()).await.unwrap();
    until("the lease comes back", || async {
        leases.get_opt("sam").await.unwrap().is_some_and(|lease| lease.uid() != first.uid())
    })
    .await;
    drivers
        .patch("sam", &PatchParams::default(), &Patch::Merge(json!({"spec": {"displayName": "Samuel"}})))
        .await
        .unwrap();
    until("the change is followed", || async {
        let lease = leases.get_opt("sam").await.unwrap();
        lease.and_then(|lease| lease.spec).is_some_and(|spec| spec.holder_identity.as_deref() == Some("Samuel"))
    })
    .await;
    let events: Api<Event> = Api::default_namespaced(client);
    assert!(!events.list(&ListParams::default().fields("reason=Leased")).await.unwrap().items.is_empty());
    drivers.delete("sam", &DeleteParams::default()).await.unwrap();
    until("the driver goes", || async { drivers.get_opt("sam").await.unwrap().is_none() }).await;
    assert!(leases.get_opt("sam").await.unwrap().is_none());
    stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE, running).await.expect("the controller ends").unwrap();
}

#[tokio::test]
async fn a_store_is_filled_by_pages_or_by_a_streamed_list_and_follows_changes() {
    for config in [watcher::Config::default().page_size(3), watcher::Config::default().streaming_lists()] {
        let api = client::Api::start().await;
        for number in 0..8 {
            api.post(ORDERS, &order(&format!("o{number}"))).await.ok();
        }
        let (reader, writer) = reflector::store::<Order>();
        let orders: Api<Order> = Api::all(api.client());
        let stream = watcher(orders, config).default_backoff().reflect(writer).applied_objects();
        let following = tokio::spawn(stream.for_each(|_| async {}));
        tokio::time::timeout(PATIENCE, reader.wait_until_ready()).await.expect("the store is filled").unwrap();
        assert_eq!(reader.len(), 8);
        api.merge(&format!("{ORDERS}/o3"), &json!({"spec": {"priority": 5}})).await.ok();
        api.delete(&format!("{ORDERS}/o4"), &json!(null)).await.ok();
        let held = |name: &str| reader.get(&ObjectRef::new(name).within("default"));
        until("the store follows", || async {
            held("o4").is_none() && held("o3").is_some_and(|order| order.spec.priority == 5)
        })
        .await;
        following.abort();
    }
}

#[tokio::test]
async fn metadata_alone_is_listed_and_watched() {
    let api = client::Api::start().await;
    api.post(ORDERS, &order("o1")).await.ok();
    let orders: Api<Order> = Api::default_namespaced(api.client());
    assert_eq!(orders.get_metadata("o1").await.unwrap().name_any(), "o1");
    assert_eq!(orders.list_metadata(&ListParams::default()).await.unwrap().items.len(), 1);
    let labels = json!({"metadata": {"labels": {"tier": "gold"}}});
    let patched = orders.patch_metadata("o1", &PatchParams::default(), &Patch::Merge(labels)).await.unwrap();
    assert_eq!(patched.labels()["tier"], "gold");
    let orders: Api<PartialObjectMeta<Order>> = Api::default_namespaced(api.client());
    let stream = watcher(orders, watcher::Config::default().streaming_lists()).applied_objects();
    pin_mut!(stream);
    let first = stream.try_next().await.unwrap().unwrap();
    assert_eq!(first.labels()["tier"], "gold");
}

#[tokio::test]
async fn conditions_are_waited_for() {
    let api = client::Api::start().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(api.client());
    let established = await_condition(definitions, "orders.dropmate.dev", conditions::is_crd_established());
    tokio::time::timeout(PATIENCE, established).await.expect("our kinds are served").unwrap();
    let made = api.post(ORDERS, &order("o1")).await.ok();
    let orders: Api<Order> = Api::default_namespaced(api.client());
    let uid = made["metadata"]["uid"].as_str().unwrap().to_owned();
    let waiting = tokio::spawn(async move { await_condition(orders, "o1", conditions::is_deleted(&uid)).await });
    api.delete(&format!("{ORDERS}/o1"), &json!(null)).await.ok();
    tokio::time::timeout(PATIENCE, waiting).await.expect("the order goes").unwrap().unwrap();
}

#[tokio::test]
async fn entries_are_made_and_changed_and_a_stale_one_is_refused() {
    let api = client::Api::start().await;
    let drivers: Api<Driver> = Api::default_namespaced(api.client());
    let wanted: Driver = serde_json::from_value(driver("sam")).unwrap();
    let write = PostParams::default();
    let mut made = drivers.entry("sam").await.unwrap().or_insert(|| wanted.clone());
    made.commit(&write).await.unwrap();
    let mut stale = drivers.entry("sam").await.unwrap().or_insert(|| wanted.clone());
    let mut fresh =
        drivers.entry("sam").await.unwrap().and_modify(|driver| driver.spec.suspended = true).or_insert(|| wanted);
    fresh.commit(&write).await.unwrap();
    stale.get_mut().spec.display_name = "Late".into();
    let refused = stale.commit(&write).await.unwrap_err();
    assert!(refused.to_string().contains("save"), "{refused}");
    let held = drivers.get("sam").await.unwrap();
    assert_eq!((held.spec.suspended, held.spec.display_name.as_str()), (true, "sam"));
}

#[tokio::test]
async fn collections_are_deleted_by_selector_and_dry_runs_delete_nothing() {
    let api = client::Api::start().await;
    for number in 0..6 {
        let mut body = order(&format!("o{number}"));
        body["metadata"]["labels"] = json!({"half": (number % 2).to_string()});
        api.post(ORDERS, &body).await.ok();
    }
    let orders: Api<Order> = Api::default_namespaced(api.client());
    let half = ListParams::default().labels("half=1");
    orders.delete_collection(&DeleteParams::default().dry_run(), &half).await.unwrap();
    assert_eq!(orders.list(&ListParams::default()).await.unwrap().items.len(), 6);
    let gone = orders.delete_collection(&DeleteParams::default(), &half).await.unwrap();
    assert_eq!(gone.left().unwrap().items.len(), 3);
    let left: Vec<String> =
        orders.list(&ListParams::default()).await.unwrap().items.iter().map(ResourceExt::name_any).collect();
    assert_eq!(left, ["o0", "o2", "o4"]);
}

#[tokio::test]
async fn one_of_many_candidates_takes_a_lease_and_one_takes_it_over() {
    let api = client::Api::start().await;
    let leases: Api<Lease> = Api::namespaced(api.client(), "dropmate-system");
    let lease = |holder: usize| Lease {
        metadata: ObjectMeta { name: Some("leader".into()), ..ObjectMeta::default() },
        spec: Some(LeaseSpec { holder_identity: Some(holder.to_string()), ..LeaseSpec::default() }),
    };
    let write = PostParams::default();
    let made = join_all((0..8).map(|holder| {
        let (leases, lease, write) = (leases.clone(), lease(holder), write.clone());
        async move { leases.create(&write, &lease).await }
    }))
    .await;
    assert_eq!(made.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let reasons: BTreeSet<String> = made
        .into_iter()
        .filter_map(Result::err)
        .map(|error| match error {
            kube::Error::Api(status) => status.reason.clone(),
            other => other.to_string(),
        })
        .collect();
    assert_eq!(reasons, BTreeSet::from(["AlreadyExists".to_owned()]));
    let held = leases.get("leader").await.unwrap();
    let taken = join_all((10..18).map(|holder| {
        let (leases, mut held, write) = (leases.clone(), held.clone(), write.clone());
        held.spec.as_mut().unwrap().holder_identity = Some(holder.to_string());
        async move { leases.replace("leader", &write, &held).await }
    }))
    .await;
    let winners: Vec<Lease> = taken.into_iter().filter_map(Result::ok).collect();
    let [winner] = winners.as_slice() else { panic!("{winners:?}") };
    assert_eq!(leases.get("leader").await.unwrap().spec, winner.spec);
}

#[tokio::test]
async fn kinds_are_discovered_in_both_ways_and_used_without_types() {
    let api = client::Api::start().await;
    for discovery in [
        Discovery::new(api.client()).run().await.unwrap(),
        Discovery::new(api.client()).run_aggregated().await.unwrap(),
    ] {
        let groups: BTreeSet<&str> = discovery.groups().map(kube::discovery::ApiGroup::name).collect();
        let expected = "apiextensions.k8s.io authentication.k8s.io coordination.k8s.io dropmate.dev events.k8s.io";
        assert_eq!(groups, expected.split(' ').chain([""]).collect::<BTreeSet<_>>());
        let group = discovery.get("dropmate.dev").unwrap();
        let (resource, capabilities) = group.recommended_kind("Driver").unwrap();
        assert!(capabilities.supports_operation("deletecollection"));
        let drivers: Api<DynamicObject> = Api::default_namespaced_with(api.client(), &resource);
        let body: DynamicObject = serde_json::from_value(driver("sam")).unwrap();
        drivers.create(&PostParams::default(), &body).await.unwrap();
        assert_eq!(drivers.get("sam").await.unwrap().data["spec"]["displayName"], "sam");
        drivers.delete("sam", &DeleteParams::default()).await.unwrap();
    }
    let namespaces: Api<Namespace> = Api::all(api.client());
    let made: Namespace = serde_json::from_value(client::namespace("acme")).unwrap();
    namespaces.create(&PostParams::default(), &made).await.unwrap();
    assert!(namespaces.delete("acme", &DeleteParams::default()).await.unwrap().is_left());
    until("the namespace goes", || async { namespaces.get_opt("acme").await.unwrap().is_none() }).await;
}
