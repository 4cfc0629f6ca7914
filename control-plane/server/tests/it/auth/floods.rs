//! Many logins at once. Through the router, so that each comes from an address of its own.

use std::net::{IpAddr, Ipv4Addr};

use axum::{Router, body::Body};
use dropmate_control_plane::caller::ClientAddress;
use dropmate_identity::HASHES_AT_ONCE;
use futures::future::join_all;
use http::{Request, Response};
use serde_json::json;
use tokio::time::Instant;
use tower::ServiceExt;

use super::{ADA, GOOD, OTHER, Place, on_both, register};

on_both!(
    a_flood_is_hashed_by_the_queue_and_the_rest_told_to_come_back_while_others_are_served,
    an_unknown_user_takes_as_long_as_a_known_one,
);

async fn login_from(router: &Router, number: u32, email: &str, password: &str) -> Response<Body> {
    let body = json!({"email": email, "password": password}).to_string();
    let request = Request::post("/v1/auth/login").header("content-type", "application/json");
    let mut request = request.body(Body::from(body)).unwrap();
    let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
    request.extensions_mut().insert(ClientAddress(address));
    router.clone().oneshot(request).await.unwrap()
}

async fn a_flood_is_hashed_by_the_queue_and_the_rest_told_to_come_back_while_others_are_served(at: Place) {
    // Made once: it is much work, and a flood over sockets does not do it either.
    let router = &at.a.plane.router();
    let flood =
        join_all((0..400).map(|n| async move { login_from(router, n, &format!("{n}@example.com"), GOOD).await }));
    let others = async {
        let mut slowest = std::time::Duration::ZERO;
        for _ in 0..20 {
            let started = Instant::now();
            assert_eq!(at.a.get("/v1/clock").await.status(), 200);
            slowest = slowest.max(started.elapsed());
        }
        slowest
    };
    let (answers, slowest) = tokio::join!(flood, others);
    let (mut looked_at, mut put_off) = (0, 0);
    for answer in answers {
        match answer.status().as_u16() {
            401 => looked_at += 1,
            429 => {
                assert!(answer.headers().contains_key("retry-after"));
                put_off += 1;
            }
            // A machine that is busy with more than this may not get to its database in time.
            503 => put_off += 1,
            other => panic!("{other}"),
        }
    }
    // How many of those who wait have their turn in time, the machine says; what it cannot do is put off, not queued.
    assert!(looked_at >= HASHES_AT_ONCE, "{looked_at} looked at, {put_off} put off");
    assert!(put_off > 0, "{looked_at} looked at, {put_off} put off");
    // A machine may be busy with more than this; without the queue it would be tens of seconds.
    assert!(slowest < std::time::Duration::from_secs(5), "another route took {slowest:?}");
}

async fn an_unknown_user_takes_as_long_as_a_known_one(at: Place) {
    register(&at.a, ADA).await;
    let router = at.a.plane.router();
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for n in 0..9 {
        for (email, times) in [(ADA, &mut known), ("eve@example.com", &mut unknown)] {
            let started = Instant::now();
            assert_eq!(login_from(&router, n, email, OTHER).await.status(), 401);
            times.push(started.elapsed());
        }
    }
    let [known, unknown] = [known, unknown].map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    assert!(unknown * 2 > known && known * 2 > unknown, "known {known:?}, unknown {unknown:?}");
}
