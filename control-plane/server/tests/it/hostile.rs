//! Hostile input, through the whole gateway: each gets the right 4xx, and the server goes on.

use std::{
    io::Write,
    iter,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use reqwest::{Method, header::HeaderValue};

use crate::server::{Server, outcome, trusting};

const ORDERS: &str = "/apis/dropmate.dev/v1/namespaces/default/orders";
const LIMIT: usize = 3 * 1024 * 1024;

#[tokio::test]
async fn a_body_one_byte_too_large_is_413() {
    let server = Server::start().await;
    let too_large = (413, "RequestEntityTooLarge".to_owned());
    assert_eq!(server.create("application/json", vec![b' '; LIMIT + 1]).await, too_large);
    assert_eq!(server.create("application/json", vec![b' '; LIMIT]).await.0, 400);
    // HTTP/1.1, where the client is still sending when the answer is decided.
    let http1 = trusting(server.dir.path()).http1_only().build().unwrap();
    let request = http1.post(server.url(ORDERS)).bearer_auth(server.token("operator"));
    let answer = request.header("content-type", "application/json").body(vec![b' '; 4 * 1024 * 1024]).send().await;
    assert_eq!(outcome(answer.unwrap()).await, too_large);
}

#[tokio::test]
async fn a_gzip_bomb_is_413_and_an_honest_gzip_is_read() {
    let server = Server::start().await;
    let pack = |bytes: &[u8]| {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    };
    let send = async |body: Vec<u8>| {
        let request = server.call("operator", Method::POST, "/api/v1/namespaces");
        let request = request.header("content-type", "application/json").header("content-encoding", "gzip");
        outcome(request.body(body).send().await.unwrap()).await.0
    };
    assert_eq!(send(pack(&vec![b' '; 16 * 1024 * 1024])).await, 413);
    let namespace = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"packed"}}"#;
    assert_eq!(send(pack(namespace.as_bytes())).await, 201);
}

#[tokio::test]
async fn large_answers_are_packed_for_who_takes_gzip() {
    let server = Server::start().await;
    let request = server.call("operator", Method::GET, "/openapi/v3/apis/dropmate.dev/v1");
    let answer = request.header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(answer.headers().get("content-encoding").map(HeaderValue::as_bytes), Some(&b"gzip"[..]));
}

#[tokio::test]
async fn deep_nesting_and_alias_bombs_are_400() {
    let server = Server::start().await;
    let deep = "[".repeat(1_000_000);
    assert_eq!(server.create("application/json", deep.clone()).await.0, 400);
    assert_eq!(server.create("application/yaml", deep).await.0, 400);
    let levels = (1..12).map(|level| {
        let alias = format!("*a{}", level - 1);
        format!("a{level}: &a{level} [{}]", [alias.as_str(); 10].join(", "))
    });
    let bomb: Vec<String> = iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x, x]".to_owned()).chain(levels).collect();
    let bomb = bomb.join("\n");
    let started = Instant::now();
    assert_eq!(server.create("application/yaml", bomb).await.0, 400);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn selectors_and_limits_beyond_reason_are_bounded() {
    let server = Server::start().await;
    let values: Vec<String> = (0..10_000).map(|n| format!("v{n}")).collect();
    let selector = format!("{ORDERS}?labelSelector=a+in+({})", values.join(","));
    // Longer than a line of HTTP/1.1 may be, and than the headers of HTTP/2.
    match server.call("operator", Method::GET, &selector).send().await {
        Ok(answer) => assert!(answer.status().is_client_error() || answer.status().is_success()),
        Err(error) => assert!(error.is_request(), "{error:?}"),
    }
    let answer = server.get(&format!("{ORDERS}?limit=1000000000")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(server.get(ORDERS).await.status(), 200, "the server goes on");
}

#[tokio::test]
async fn a_thousand_headers_are_431() {
    let server = Server::start().await;
    let mut request = server.call("operator", Method::GET, ORDERS);
    for n in 0..1_000 {
        request = request.header(format!("x-{n}"), "y");
    }
    assert_eq!(request.send().await.unwrap().status(), 431);
}
