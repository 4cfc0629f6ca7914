//! Who did what, and who tried.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    client::{ORDERS, order, text},
    server::Server,
};

const AUDIT: &str = "/v1/namespaces/default/audit";

async fn items(server: &Server, path: &str) -> Vec<Value> {
    let answer = server.get(path).await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.json::<Value>().await.unwrap()["items"].as_array().unwrap().clone()
}

fn told(items: &[Value]) -> Vec<String> {
    let line = |item: &Value| {
        let what = if item["outcome"].is_null() { text(&item["change"]) } else { text(&item["outcome"]) };
        format!(
            "{} {} {}/{} {what}",
            text(&item["actor"]),
            text(&item["verb"]),
            text(&item["object"]["kind"]),
            text(&item["object"]["name"])
        )
    };
    items.iter().map(line).collect()
}

#[tokio::test]
async fn changes_and_refusals_are_told_together_newest_first() {
    let server = Server::start().await;
    let path = format!("{ORDERS}/o1");
    server.call("operator", Method::POST, ORDERS).json(&order("o1")).send().await.unwrap();
    let merge = server.call("operator", Method::PATCH, &path).header("content-type", "application/merge-patch+json");
    let merge = merge.header("x-request-id", "deploy-7").header("user-agent", "curl/8");
    merge.body(json!({"spec": {"priority": 7}}).to_string()).send().await.unwrap();
    let refused =
        server.call("dispatch", Method::DELETE, &format!("{path}?gracePeriodSeconds=0")).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);

    let items = items(&server, &format!("{AUDIT}?object=order/o1")).await;
    let dispatch = "system:serviceaccount:dropmate-system:dispatch";
    assert_eq!(
        told(&items),
        [
            format!("{dispatch} delete Order/o1 denied"),
            "operator update Order/o1 modified".to_owned(),
            "operator create Order/o1 created".to_owned(),
        ]
    );
    assert_eq!((&items[0]["code"], &items[0]["address"]), (&json!(403), &json!("127.0.0.1")));
    assert_eq!((text(&items[1]["requestId"]), text(&items[1]["client"])), ("deploy-7", "curl/8"));
    assert_eq!(items[1]["changes"], json!([{"field": "spec.priority", "old": 0, "new": 7}]));
    assert!(!format!("{items:?}").contains("gracePeriod"), "a query is nobody's business");
}

#[tokio::test]
async fn strangers_are_counted_by_address_and_the_operator_s_reads_are_told() {
    let server = Server::start().await;
    for number in 0..20 {
        let path = format!("{ORDERS}/o{number}");
        let stranger = server.http.get(server.url(&path)).bearer_auth("a-guess").send().await.unwrap();
        assert_eq!(stranger.status(), 401);
    }
    server.get(ORDERS).await;
    let items = items(&server, "/v1/audit").await;
    let strangers: Vec<_> = items.iter().filter(|item| item["code"] == 401).collect();
    assert_eq!(strangers.len(), 1, "one row at once, the others by their number when the minute ends: {items:?}");
    assert!(!format!("{items:?}").contains("a-guess"));
    let reads = told(&items).iter().filter(|line| *line == "operator list Order/ read").count();
    assert_eq!(reads, 1, "{items:?}");
}

#[tokio::test]
async fn the_audit_comes_in_pages_and_misses_nothing() {
    let server = Server::start().await;
    for number in 0..6 {
        server.call("operator", Method::POST, ORDERS).json(&order(&format!("o{number}"))).send().await.unwrap();
        server.call("dispatch", Method::DELETE, &format!("{ORDERS}/o{number}")).send().await.unwrap();
    }
    let whole = told(&items(&server, &format!("{AUDIT}?object=orders&limit=200")).await);
    let whole: Vec<_> = whole.into_iter().filter(|line| !line.ends_with(" read")).collect();
    assert_eq!(whole.len(), 12, "{whole:?}");
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page: Value = server.get(&format!("{AUDIT}?object=orders&limit=5{after}")).await.json().await.unwrap();
        paged.extend(told(page["items"].as_array().unwrap()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(paged, whole);
    let of_dispatch = "system:serviceaccount:dropmate-system:dispatch";
    assert_eq!(items(&server, &format!("{AUDIT}?actor={of_dispatch}")).await.len(), 6);
    assert!(items(&server, &format!("{AUDIT}?object=orders&to=2020-01-01T00:00:00Z")).await.is_empty());
    assert!(items(&server, "/v1/namespaces/elsewhere/audit").await.iter().all(|item| item["outcome"] == "read"));
}

#[tokio::test]
async fn who_may_not_read_the_audit_is_refused_and_noted_and_nonsense_is_told() {
    let server = Server::start().await;
    for path in [AUDIT, "/v1/audit"] {
        let refused = server.call("dispatch", Method::GET, path).send().await.unwrap();
        assert_eq!(refused.status(), 403, "{path}");
    }
    let denied = told(&items(&server, "/v1/audit").await);
    assert!(
        denied.contains(&"system:serviceaccount:dropmate-system:dispatch list audit/ denied".to_owned()),
        "{denied:?}"
    );
    for nonsense in ["limit=0", "limit=201", "from=yesterday", "after=x", "object=/o1", "colour=blue"] {
        let answer = server.get(&format!("{AUDIT}?{nonsense}")).await;
        assert_eq!(answer.status(), 400, "{nonsense}");
        let problem: Value = answer.json().await.unwrap();
        let field = nonsense.split_once('=').unwrap().0;
        assert!(text(&problem["detail"]).contains(field), "{problem}");
    }
}
