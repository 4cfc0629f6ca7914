//! Answers as rows and columns, as metadata alone, and in forms that there are none of.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::client::{Answer, Api, ORDERS, order};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

async fn get_as(api: &Api, path: &str, accept: &str) -> Answer {
    api.request(Request::get(path).header("accept", accept).body(Body::empty()).unwrap()).await
}

/// What stands in the column of that name, row by row.
fn column(table: &Value, name: &str) -> Vec<Value> {
    let columns = table["columnDefinitions"].as_array().unwrap();
    let index = columns.iter().position(|column| column["name"] == name).unwrap();
    table["rows"].as_array().unwrap().iter().map(|row| row["cells"][index].clone()).collect()
}

#[tokio::test]
async fn orders_are_listed_as_a_table_page_by_page() {
    let api = Api::start().await;
    for name in ["o1", "o2", "o3"] {
        api.post(ORDERS, &order(name)).await.ok();
    }
    let first = get_as(&api, &format!("{ORDERS}?limit=2"), TABLE).await.ok();
    assert_eq!((&first["kind"], column(&first, "Name")), (&json!("Table"), vec![json!("o1"), json!("o2")]));
    assert_eq!(column(&first, "Phase"), [json!("Pending"), json!("Pending")]);
    assert_eq!(column(&first, "Driver"), [Value::Null, Value::Null]);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = get_as(&api, &format!("{ORDERS}?limit=2&continue={token}"), TABLE).await.ok();
    assert_eq!(column(&second, "Name"), [json!("o3")]);
}

#[tokio::test]
async fn a_row_carries_as_much_of_its_object_as_is_asked_for() {
    let api = Api::start().await;
    api.post(ORDERS, &order("o1")).await.ok();
    let object = async |include: &str| {
        let table = get_as(&api, &format!("{ORDERS}/o1?includeObject={include}"), TABLE).await;
        table.ok()["rows"][0]["object"].clone()
    };
    assert_eq!(object("Object").await["kind"], "Order");
    assert_eq!(object("Metadata").await["kind"], "PartialObjectMetadata");
    assert_eq!(object("None").await, Value::Null);
    let refused = get_as(&api, &format!("{ORDERS}/o1?includeObject=Half"), TABLE).await;
    assert_eq!(refused.refusal().0, 400);
}

#[tokio::test]
async fn metadata_alone_is_given_to_clients_that_want_no_more() {
    let api = Api::start().await;
    api.post(ORDERS, &order("o1")).await.ok();
    let list = get_as(&api, ORDERS, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").await.ok();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["metadata"]["name"], "o1");
    assert!(list["items"][0].get("spec").is_none());
}

#[tokio::test]
async fn a_form_that_there_is_none_of_is_refused() {
    let api = Api::start().await;
    let refused = get_as(&api, ORDERS, "text/html").await;
    assert_eq!(refused.refusal().0, 406);
}

#[tokio::test]
async fn an_event_is_selected_by_what_it_is_about_in_both_groups() {
    let api = Api::start().await;
    for name in ["o1", "o2"] {
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("{name}.1")}, "reason": "Bound",
            "involvedObject": {"kind": "Order", "name": name, "namespace": "default"}, "message": "Bound to sam",
        });
        api.post("/api/v1/namespaces/default/events", &event).await.ok();
    }
    for (path, field, message) in [
        ("/api/v1/namespaces/default/events", "involvedObject.name", "message"),
        ("/apis/events.k8s.io/v1/namespaces/default/events", "regarding.name", "note"),
    ] {
        let list = api.get(&format!("{path}?fieldSelector={field}%3Do2")).await.ok();
        let found: Vec<&Value> =
            list["items"].as_array().unwrap().iter().map(|item| &item["metadata"]["name"]).collect();
        assert_eq!(found, ["o2.1"], "{path}");
        assert_eq!(list["items"][0][message], "Bound to sam");
        let table = get_as(&api, &format!("{path}?fieldSelector={field}%3Do2"), TABLE).await.ok();
        assert_eq!(column(&table, "Object"), [json!("order/o2")]);
    }
}
