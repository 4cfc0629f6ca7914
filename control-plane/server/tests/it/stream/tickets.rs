//! What browsers show instead of a token, and from where.

use serde_json::Value;

use super::{Shop, ask};

async fn ticket(shop: &Shop, token: &str, origin: Option<&str>) -> String {
    let mut request = shop.server.http.post(shop.server.url("/v1/stream/tickets")).bearer_auth(token);
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let answer = request.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["cache-control"]), (201, &"no-store".parse().unwrap()));
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["expiresIn"], 30);
    body["ticket"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_opens_one_stream_from_where_it_was_asked_for() {
    let shop = Shop::open().await;
    let (operator, own) = (shop.token("operator"), shop.server.plane.url().unwrap().to_owned());
    let open = async |ticket: &str, origin: Option<&str>| {
        let headers: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
        ask(&shop.server, &format!("namespace=acme&ticket={ticket}"), &headers).await
    };
    for origin in [None, Some(own.as_str())] {
        let ticket = ticket(&shop, &operator, origin).await;
        let mut stream = open(&ticket, origin).await.expect("it opens a stream");
        assert_eq!(stream.next().await["type"], "hello");
        assert_eq!(open(&ticket, origin).await.map(|_| ()), Err(401), "once");
    }
    let ticket = ticket(&shop, &operator, Some(&own)).await;
    assert_eq!(open(&ticket, None).await.map(|_| ()), Err(401), "from elsewhere");
    assert_eq!(open(&ticket, Some(&own)).await.map(|_| ()), Err(401), "which uses it up");
    let file = std::fs::read(shop.server.dir.path().join("identity.db")).unwrap();
    let wal = std::fs::read(shop.server.dir.path().join("identity.db-wal")).unwrap_or_default();
    for secret in [ticket.as_bytes(), operator.as_bytes()] {
        assert!(![&file, &wal].iter().any(|bytes| bytes.windows(secret.len()).any(|piece| piece == secret)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_good_for_what_its_owner_may_and_ends_with_them() {
    let shop = Shop::open().await;
    let token = shop.member("runs", "manager").await;
    let elsewhere = ticket(&shop, &token, None).await;
    let refused = ask(&shop.server, &format!("namespace=bolt&ticket={elsewhere}"), &[]).await;
    assert_eq!(refused.map(|_| ()), Err(404));
    let here = ticket(&shop, &token, None).await;
    let mut stream = ask(&shop.server, &format!("namespace=acme&ticket={here}"), &[]).await.unwrap();
    assert_eq!(stream.next().await["type"], "hello");
    let late = ticket(&shop, &token, None).await;
    let path = "/v1/namespaces/acme/serviceaccounts/runs/tokens";
    shop.server.call("operator", reqwest::Method::DELETE, path).send().await.unwrap().error_for_status().unwrap();
    assert_eq!(stream.closed().await, 4401);
    assert_eq!(ask(&shop.server, &format!("namespace=acme&ticket={late}"), &[]).await.map(|_| ()), Err(401));
    let none = shop.server.http.post(shop.server.url("/v1/stream/tickets")).send().await.unwrap();
    assert_eq!(none.status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--public-url", "https://shop.example", "--allowed-origins", "https://board.example"];
    let shop = Shop::at(crate::server::Server::start_with(dir, &flags).await).await;
    let bearer = format!("Bearer {}", shop.token("operator"));
    let from = async |origin: &str| {
        let headers = [("authorization", bearer.as_str()), ("origin", origin)];
        ask(&shop.server, "namespace=acme", &headers).await.unwrap()
    };
    for good in ["https://shop.example", "https://board.example", shop.server.plane.url().unwrap()] {
        assert_eq!(from(good).await.next().await["type"], "hello", "{good}");
    }
    for bad in ["https://evil.example", "https://shop.example.evil.example", "http://shop.example", "null"] {
        assert_eq!(from(bad).await.closed().await, 4403, "{bad}");
    }
}
