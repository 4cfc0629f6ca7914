//! After a day of work: which manager owns which part of a status, and that others' parts do not collide with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dropmate_api::{DispatchPolicy, Driver, Order};
use dropmate_control_plane::ControlPlane;
use dropmate_simulation::{
    drivers,
    town::{self, Size},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::day::{DISPATCH, SIMULATION, clock};

const ORDERS: usize = 12;
/// Longer than anything here may take.
const LONG: Duration = Duration::from_hours(1);

/// What one manager owns of the statuses of a kind, by `MANAGER OPERATION SUBRESOURCE`.
type Owned = BTreeMap<String, BTreeSet<String>>;

/// The paths in a tree of `managedFields`, lists by the keys of their items.
fn paths(fields: &Value, before: &str, found: &mut BTreeSet<String>) {
    for (name, inner) in fields.as_object().into_iter().flatten() {
        let here = match name.split_once(':') {
            Some(("f", field)) => format!("{before}.{field}"),
            Some((_, key)) => format!("{before}[{key}]"),
            None => continue,
        };
        // What an item of a list holds is the item's owner's.
        if inner.as_object().is_none_or(serde_json::Map::is_empty) || name.starts_with("k:") {
            found.insert(here);
        } else {
            paths(inner, &here, found);
        }
    }
}

fn note(owned: &mut Owned, entries: &[ManagedFieldsEntry]) {
    for entry in entries {
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        let who = [part(&entry.manager), part(&entry.operation), part(&entry.subresource)].join(" ");
        let Some(fields) = &entry.fields_v1 else { continue };
        let mut found = BTreeSet::new();
        paths(&fields.0["f:status"], ".status", &mut found);
        if !found.is_empty() {
            owned.entry(who.trim().to_owned()).or_default().extend(found);
        }
    }
}

fn of_dispatch(paths: &[&str]) -> Owned {
    [("dispatch Apply status".to_owned(), paths.iter().map(|path| (*path).to_owned()).collect())].into()
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = timeout(LONG, async {
        loop {
            match look().await {
                Some(found) => return found,
                None => sleep(Duration::from_secs(1)).await,
            }
        }
    });
    found.await.unwrap_or_else(|_| panic!("{what}: it never came so"))
}

fn is_true(order: &Order, type_: &str) -> bool {
    let conditions = order.status.as_ref().map(|status| &status.conditions[..]).unwrap_or_default();
    json!(conditions).as_array().unwrap().iter().any(|held| held["type"] == type_ && held["status"] == "True")
}

#[tokio::test(start_paused = true)]
async fn after_a_day_dispatch_owns_its_parts_of_the_statuses_and_nothing_else() {
    let clock = clock(60.0);
    let plane = ControlPlane::in_memory(clock.clone()).await;
    let client = |user: &str| Client::new(plane.in_process(user), "default");
    let (operator, shutdown) = (client("operator"), CancellationToken::new());
    let town = town::generate(7, &Size { drivers: 4, seconds_between_orders: 150.0, ..Size::default() });
    town::build(&operator, &town).await.unwrap();
    let policies: Api<DispatchPolicy> = Api::namespaced(operator.clone(), &town.namespace);
    let policy = json!({"apiVersion": "dropmate.dev/v1", "kind": "DispatchPolicy", "metadata": {"name": "default"},
        "spec": {"mode": "Nearest"}});
    policies.create(&PostParams::default(), &serde_json::from_value(policy).unwrap()).await.unwrap();
    let (drivers, orders): (Api<Driver>, Api<Order>) =
        (Api::namespaced(operator.clone(), &town.namespace), Api::namespaced(operator.clone(), &town.namespace));

    let config = dropmate_dispatch::Config::new(clock.clone(), "a");
    let dispatch = tokio::spawn(dropmate_dispatch::run(client(DISPATCH), config, shutdown.clone()));
    let phones = drivers::Config { seed: 7, fail_share: 0.0 };
    let phones = tokio::spawn(drivers::run(client(SIMULATION), clock.clone(), phones, shutdown.clone()));
    let placed = town::run_orders(operator, clock.clone(), town, Some(ORDERS), shutdown.clone()).await.unwrap();
    assert_eq!(placed, ORDERS);
    let all = until("all are delivered", async || {
        let all = orders.list(&ListParams::default()).await.unwrap().items;
        all.iter().all(|order| order.phase().is_terminal()).then_some(all)
    })
    .await;
    // And one that nobody may take.
    let mut frozen = all[0].clone();
    frozen.metadata = kube::core::ObjectMeta { name: Some("frozen".to_owned()), ..Default::default() };
    frozen.status = None;
    frozen.spec.placed_at = Some(clock.business_now());
    frozen.spec.due_by = None;
    frozen.spec.requirements = serde_json::from_value(json!({"skills": ["frozen"]})).unwrap();
    orders.create(&PostParams::default(), &frozen).await.unwrap();
    until("nobody may take it", async || {
        Some(orders.get("frozen").await.unwrap()).filter(|order| is_true(order, "Unassignable"))
    })
    .await;

    let (mut of_orders, mut of_drivers, mut of_policies) = (Owned::new(), Owned::new(), Owned::new());
    for order in orders.list(&ListParams::default()).await.unwrap() {
        note(&mut of_orders, order.managed_fields());
    }
    for driver in drivers.list(&ListParams::default()).await.unwrap() {
        note(&mut of_drivers, driver.managed_fields());
    }
    note(&mut of_policies, policies.get("default").await.unwrap().managed_fields());
    let unassignable = r#".status.conditions[{"type":"Unassignable"}]"#;
    assert_eq!(of_orders, of_dispatch(&[unassignable]), "facts are nobody's");
    assert_eq!(of_drivers, of_dispatch(&[".status.activeOrders", ".status.route"]));
    assert_eq!(of_policies, of_dispatch(&[".status.active", ".status.lastPlanAt"]));

    // Somebody else applies another part.
    let late = json!({"type": "Late", "status": "True", "reason": "Snow", "message": "", "lastTransitionTime": clock.business_now()});
    let part = |status: Value| json!({"apiVersion": "dropmate.dev/v1", "kind": "Order", "status": status});
    let apply = async |status: Value| {
        orders.patch_status("frozen", &PatchParams::apply("ops"), &Patch::Apply(part(status))).await
    };
    apply(json!({"eta": clock.business_now(), "conditions": [late]})).await.unwrap();
    let mut mine = late.clone();
    mine["type"] = json!("Unassignable");
    mine["status"] = json!("False");
    let refused = apply(json!({"conditions": [mine]})).await.unwrap_err().to_string();
    assert!(refused.contains("conflicts with \"dispatch\" with subresource \"status\""), "{refused}");

    // Dispatch goes on writing its own.
    let skills = json!({"spec": {"skills": ["frozen"]}});
    for driver in drivers.list(&ListParams::default()).await.unwrap() {
        drivers.patch(&driver.name_any(), &PatchParams::default(), &Patch::Merge(&skills)).await.unwrap();
    }
    let order = until("somebody may take it", async || {
        Some(orders.get("frozen").await.unwrap()).filter(|order| !is_true(order, "Unassignable"))
    })
    .await;
    assert!(is_true(&order, "Late") && order.status.as_ref().unwrap().eta.is_some(), "{:?}", order.status);
    let mut owned = Owned::new();
    note(&mut owned, order.managed_fields());
    let mut expected = of_dispatch(&[unassignable]);
    let ops = [r#".status.conditions[{"type":"Late"}]"#, ".status.eta"].map(str::to_owned);
    expected.insert("ops Apply status".to_owned(), ops.into());
    assert_eq!(owned, expected);

    shutdown.cancel();
    dispatch.await.unwrap().unwrap();
    phones.await.unwrap().unwrap();
}
