//! Who is let in, what they may, and what the server tells about itself.

use std::{fs, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::ListParams,
    config::{Config, KubeConfigOptions, Kubeconfig},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Server, outcome};

const ORDERS: &str = "/apis/dropmate.dev/v1/namespaces/default/orders";

#[tokio::test]
async fn the_first_kubeconfig_lets_a_real_client_in() {
    let server = Server::start().await;
    let kubeconfig = Kubeconfig::read_from(server.plane.kubeconfig().unwrap()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(Client::try_from(config).unwrap());
    let listed = namespaces.list(&ListParams::default()).await.unwrap();
    let names: Vec<_> = listed.items.iter().filter_map(|namespace| namespace.metadata.name.as_deref()).collect();
    assert_eq!(names, ["default", "dropmate-system"]);
}

#[tokio::test]
async fn without_a_good_token_everything_but_the_probes_is_401() {
    let server = Server::start().await;
    for path in [ORDERS, "/apis", "/api/v1", "/openapi/v3", "/nothing"] {
        let answer = server.http.get(server.url(path)).send().await.unwrap();
        assert!(answer.headers().contains_key("www-authenticate"), "{path}");
        assert_eq!(outcome(answer).await, (401, "Unauthorized".to_owned()), "{path}");
        let answer = server.http.get(server.url(path)).bearer_auth("guess").send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
    }
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(server.http.get(server.url(path)).send().await.unwrap().status(), 200, "{path}");
    }
}

#[tokio::test]
async fn errors_under_v1_are_problems() {
    let server = Server::start().await;
    let refused = server.http.get(server.url("/v1/clock")).send().await.unwrap();
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert_eq!(refused.json::<Value>().await.unwrap()["status"], 401);
    let missing = server.get("/v1/nothing").await;
    assert_eq!(missing.headers()["content-type"], "application/problem+json");
    assert_eq!(missing.status(), 404);
    assert_eq!(outcome(server.get("/nothing").await).await, (404, "NotFound".to_owned()));
}

#[tokio::test]
async fn what_the_table_does_not_give_is_forbidden_in_kubernetes_words() {
    let server = Server::start().await;
    let refused = server.call("dispatch", Method::POST, ORDERS).json(&json!({})).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    let status: Value = refused.json().await.unwrap();
    assert_eq!(
        status["message"],
        "orders.dropmate.dev is forbidden: User \"system:serviceaccount:dropmate-system:dispatch\" cannot create \
         resource \"orders\" in API group \"dropmate.dev\" in the namespace \"default\""
    );
    assert_eq!(status["details"], json!({ "group": "dropmate.dev", "kind": "orders" }));
    let refused = server.call("operator", Method::POST, &format!("{ORDERS}/o1/binding")).json(&json!({})).send().await;
    let status: Value = refused.unwrap().json().await.unwrap();
    assert_eq!(
        status["message"],
        "orders.dropmate.dev \"o1\" is forbidden: User \"operator\" cannot create resource \"orders/binding\" in API \
         group \"dropmate.dev\" in the namespace \"default\""
    );
}

#[tokio::test]
async fn in_process_callers_pass_the_same_table() {
    let server = Server::start().await;
    let as_simulation = server.plane.in_process("system:serviceaccount:dropmate-system:simulation");
    let namespaces: Api<Namespace> = Api::all(Client::new(as_simulation, "default"));
    assert_eq!(namespaces.list(&ListParams::default()).await.unwrap().items.len(), 2);
    let refused = namespaces.delete("default", &kube::api::DeleteParams::default()).await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 403));
}

#[tokio::test]
async fn a_request_keeps_its_id_and_counts_in_the_metrics() {
    let server = Server::start().await;
    let request = server.call("operator", Method::GET, ORDERS).header("x-request-id", "deploy-7");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "deploy-7");
    answer.bytes().await.unwrap();
    let counted = "dropmate_server_requests_total{verb=\"list\",kind=\"Order\",code=\"200\"} 1";
    let seen = async {
        while !server.metrics().await.contains(counted) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), seen).await.expect("the request is counted");
}

#[tokio::test]
async fn the_clock_says_both_times() {
    let server = Server::start().await;
    let clock: Value = server.get("/v1/clock").await.json().await.unwrap();
    assert_eq!(clock["speed"], 1.0);
    assert_eq!(clock["systemNow"].as_str().unwrap()[..19], clock["businessNow"].as_str().unwrap()[..19]);
}

#[tokio::test]
async fn a_token_taken_out_of_the_file_ends_its_open_watch() {
    let server = Server::start().await;
    let path = format!("{ORDERS}?watch=true&timeoutSeconds=120");
    let mut watch = server.call("tracking", Method::GET, &path).send().await.unwrap();
    assert_eq!(watch.status(), StatusCode::OK);
    let file = server.dir.path().join("tokens.csv");
    let lines = fs::read_to_string(&file).unwrap();
    let kept: String =
        lines.lines().filter(|line| !line.ends_with(":tracking")).flat_map(|line| [line, "\n"]).collect();
    fs::write(&file, kept).unwrap();
    let ended = async { while watch.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("the watch ends");
    assert_eq!(server.call("tracking", Method::GET, ORDERS).send().await.unwrap().status(), 401);
    assert_eq!(server.get(ORDERS).await.status(), 200);
}

#[tokio::test]
async fn shutdown_ends_watches_and_leaves_nothing_behind() {
    let server = Server::start().await;
    let mut watch = server.get(&format!("{ORDERS}?watch=true&timeoutSeconds=120")).await;
    let started = tokio::time::Instant::now();
    server.stop.cancel();
    while watch.chunk().await.unwrap_or_default().is_some() {}
    server.running.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "it does not wait for the watch's own end");
}
