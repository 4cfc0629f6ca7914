//! What every replica does by itself: the first namespaces, and those that are deleted.

use http::StatusCode;
use serde_json::Value;

use super::{Two, migrated, replicas, two, until};
use crate::client::{namespace, order, text};
use dropmate_store::Key;

#[tokio::test]
async fn replicas_that_start_side_by_side_make_the_first_namespaces_once() {
    let database = migrated().await;
    let all = replicas(&database, 3).await;
    let listed = all[0].get("/api/v1/namespaces").await.ok();
    let items = listed["items"].as_array().unwrap();
    let names: Vec<_> = items.iter().map(|item| text(&item["metadata"]["name"])).collect();
    assert_eq!(names, ["default", "dropmate-system"]);
    for name in names {
        let key = Key { resource: "namespaces".to_owned(), namespace: String::new(), name: name.to_owned() };
        assert_eq!(all[1].plane.store().history(&key, 0, 10).await.unwrap().len(), 1, "{name} was written once");
        let path = format!("/api/v1/namespaces/{name}");
        let (one, other) = (all[1].get(&path).await.ok(), all[2].get(&path).await.ok());
        assert_eq!(one, other);
    }
}

#[tokio::test]
async fn a_namespace_deleted_at_one_is_emptied_once_and_goes_although_both_see_to_it() {
    const ORDERS: usize = 20;
    let Two { a, b, _database } = two().await;
    a.post("/api/v1/namespaces", &namespace("shop")).await.ok();
    let path = "/apis/dropmate.dev/v1/namespaces/shop/orders";
    for index in 0..ORDERS {
        let at = if index % 2 == 0 { &a } else { &b };
        at.post(path, &order(&format!("o{index}"))).await.ok();
    }
    a.delete("/api/v1/namespaces/shop", &Value::Null).await.ok();
    let refused = b.post(path, &order("late")).await;
    assert!([403, 404].contains(&refused.refusal().0), "{}", refused.body);
    until("the namespace goes", async || b.get("/api/v1/namespaces/shop").await.code == StatusCode::NOT_FOUND).await;
    for at in [&a, &b] {
        assert_eq!(at.get("/api/v1/namespaces/shop").await.refusal().0, 404);
        assert!(at.get("/apis/dropmate.dev/v1/orders").await.ok()["items"].as_array().unwrap().is_empty());
    }
    for index in 0..ORDERS {
        let name = format!("o{index}");
        let key = Key { resource: "orders.dropmate.dev".to_owned(), namespace: "shop".to_owned(), name };
        let history = b.plane.store().history(&key, 0, 10).await.unwrap();
        let deleted: Vec<_> = history.iter().map(|entry| entry.event.deleted).collect();
        assert_eq!(deleted, [false, true], "o{index}");
    }
    b.post("/api/v1/namespaces", &namespace("shop")).await.ok();
    a.post(path, &order("new")).await.ok();
}
