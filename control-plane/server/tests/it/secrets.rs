//! Secrets: written, listed, deleted, and told to nobody.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::Server;

const SECRETS: &str = "/v1/namespaces/default/secrets";

async fn put(server: &Server, path: &str, body: &Value) -> (u16, String) {
    let answer = server.call("operator", Method::PUT, path).json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn names(server: &Server, path: &str) -> Vec<String> {
    let list: Value = server.get(path).await.json().await.unwrap();
    list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_secret_is_written_and_listed_and_never_told() {
    let server = Server::start().await;
    let path = format!("{SECRETS}/smtp");
    assert_eq!(put(&server, &path, &json!({"value": "geheim-1"})).await, (201, String::new()));
    assert_eq!(put(&server, &path, &json!({"value": "geheim-2"})).await, (200, String::new()));
    let list: Value = server.get(SECRETS).await.json().await.unwrap();
    let item = &list["items"][0];
    assert_eq!((&item["name"], &item["updatedBy"]), (&json!("smtp"), &json!("operator")));
    assert!(item["createdAt"].is_string() && item["updatedAt"].is_string());
    assert!(!list.to_string().contains("geheim"));
    assert_eq!(server.get(&path).await.status(), 405, "there is no reading it");
    let delete = || server.call("operator", Method::DELETE, &path).send();
    assert_eq!(delete().await.unwrap().status(), 204);
    assert_eq!(delete().await.unwrap().status(), 404);
    assert_eq!(names(&server, SECRETS).await, [""; 0]);
}

#[tokio::test]
async fn the_notification_agent_alone_is_told_a_value() {
    let server = Server::start().await;
    assert_eq!(put(&server, &format!("{SECRETS}/smtp"), &json!({"value": "geheim-1"})).await.0, 201);
    let path = "/v1/internal/secrets?namespace=default&name=smtp";
    let told = server.call("notification", Method::GET, path).send().await.unwrap();
    assert_eq!((told.status().as_u16(), &told.headers()["cache-control"]), (200, &"no-store".parse().unwrap()));
    assert_eq!(told.json::<Value>().await.unwrap(), json!({"value": "geheim-1"}));
    for other in ["operator", "dispatch", "tracking"] {
        let refused = server.call(other, Method::GET, path).send().await.unwrap();
        assert_eq!(refused.status(), 403, "{other}");
        assert!(!refused.text().await.unwrap().contains("geheim"), "{other}");
    }
    for (none, code) in [("namespace=default&name=none", 404), ("namespace=other&name=smtp", 404), ("name=smtp", 400)] {
        let path = format!("/v1/internal/secrets?{none}");
        let answer = server.call("notification", Method::GET, &path).send().await.unwrap();
        assert_eq!(answer.status(), code, "{none}");
    }
}

#[tokio::test]
async fn what_is_no_secret_is_refused_without_repeating_it() {
    let server = Server::start().await;
    let path = format!("{SECRETS}/smtp");
    let large = "x".repeat(64 * 1024);
    assert_eq!(put(&server, &path, &json!({"value": large})).await.0, 201, "the largest");
    assert_eq!(put(&server, &path, &json!({"value": format!("{large}x")})).await.0, 413);
    for wrong in [
        json!({"value": 81_264_112}),
        json!({"valeu": "81264112"}),
        json!("81264112"),
        json!({"value": "a", "more": "81264112"}),
    ] {
        let (code, told) = put(&server, &path, &wrong).await;
        assert_eq!(code, 400, "{told}");
        assert!(told.contains("value") && !told.contains("81264112"), "{told}");
    }
    assert_eq!(put(&server, &format!("{SECRETS}/Not_a_name"), &json!({"value": "a"})).await.0, 400);
    assert_eq!(put(&server, "/v1/namespaces/nowhere/secrets/a", &json!({"value": "a"})).await.0, 404);
    assert_eq!(server.get("/v1/namespaces/nowhere/secrets").await.status(), 404);
    let other = server.call("dispatch", Method::GET, SECRETS).send().await.unwrap();
    assert_eq!(other.status(), 403);
}

#[tokio::test]
async fn a_namespace_takes_its_secrets_with_it() {
    let server = Server::start().await;
    let namespaces = "/api/v1/namespaces";
    let secrets = "/v1/namespaces/acme/secrets";
    let make = async || {
        let body = crate::client::namespace("acme");
        let request = server.call("operator", Method::POST, namespaces).json(&body);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(make().await, 201);
    assert_eq!(put(&server, &format!("{secrets}/smtp"), &json!({"value": "a"})).await.0, 201);
    let gone = server.call("operator", Method::DELETE, &format!("{namespaces}/acme")).send().await.unwrap();
    assert!(gone.status().is_success());
    for _ in 0..100 {
        if make().await == 201 {
            assert_eq!(names(&server, secrets).await, [""; 0]);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the namespace does not go");
}
