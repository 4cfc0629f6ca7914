use std::{
    fs,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use dropmate_agent::lease::DURATION;
use dropmate_api::{Clock, Phase};
use jiff::SignedDuration;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use super::program::{Agent, Server, Witness, create_order, run, wall};

#[tokio::test(flavor = "multi_thread")]
async fn the_program_binds_an_order_tells_so_on_its_admin_port_and_gives_its_lease_back() {
    let server = Server::start().await;
    server.add_drivers(1).await;
    server.add_order("o-1", json!({})).await;
    let agent = server.agent(&["--advertise-address", "dispatch-0:7451"]);
    server.bound("o-1").await;
    agent.ready(200, "[+]dispatch ok: leads").await;
    assert!(agent.get("/livez").unwrap().starts_with("HTTP/1.1 200 "));
    let metrics = agent.get("/metrics").unwrap();
    assert!(metrics.contains("dropmate_dispatch_bound_total 1\n"), "{metrics}");
    assert!(metrics.contains("dropmate_reconcile_total{agent=\"dispatch\""), "{metrics}");
    let lease = server.lease().await;
    assert_eq!(lease.metadata.annotations.unwrap()["dropmate.dev/address"], "dispatch-0:7451");
    assert_eq!(server.leader().await, agent.identity);
    agent.signal("TERM");
    assert_eq!(agent.ended().await, Some(0));
    assert_eq!(server.leader().await, "", "the lease was given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_yet_is_waited_for_and_one_that_is_started_again_is_found_again() {
    let server = Server::start().await;
    server.add_drivers(3).await;
    let agent = server.agent(&[]);
    agent.ready(200, "leads").await;
    let was = server.end().await;
    let late = Agent::start(was.0.path(), &format!("https://{}", was.1), &[]);
    late.ready(503, "[-]api failed").await;
    late.ready(503, "[-]dispatch failed: starting").await;
    let server = Server::again(was, Clock::real(wall())).await;
    server.add_order("o-1", json!({})).await;
    server.bound("o-1").await;
    agent.ready(200, "[+]api ok: answers").await;
    late.ready(200, "[+]api ok: answers").await;
    late.logs("the API answers again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_is_killed_another_takes_over_and_no_order_is_bound_twice() {
    let server = Server::start().await;
    server.add_drivers(20).await;
    let witness = Witness::watch(server.orders());
    let first = server.agent(&[]);
    first.ready(200, "leads").await;
    let second = server.agent(&[]);
    second.ready(200, "stands by").await;
    for n in 0..10 {
        server.add_order(&format!("o-{n}"), json!({})).await;
    }
    server.bound("o-0").await;
    // In the middle of its work.
    first.kill();
    for n in 10..15 {
        server.add_order(&format!("o-{n}"), json!({})).await;
    }
    let killed_at = Instant::now();
    assert_eq!(server.all_bound().await, 15);
    assert!(killed_at.elapsed() < DURATION * 3, "{:?}", killed_at.elapsed());
    assert_eq!(server.leader().await, second.identity);
    second.ready(200, "leads").await;
    witness.saw_each_bound_once(15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stood_still_for_longer_than_its_lease_steps_down_and_no_order_is_bound_twice() {
    let server = Server::start().await;
    server.add_drivers(200).await;
    let witness = Witness::watch(server.orders());
    let old = server.agent(&[]);
    old.ready(200, "leads").await;
    let new = server.agent(&[]);
    new.ready(200, "stands by").await;

    let enough = Arc::new(AtomicBool::new(false));
    let (orders, stop) = (server.orders(), enough.clone());
    let flood = tokio::spawn(async move {
        let mut count = 0;
        while !stop.load(Ordering::SeqCst) && count < 200 {
            create_order(&orders, &format!("o-{count:03}"), json!({})).await;
            count += 1;
            sleep(Duration::from_millis(150)).await;
        }
        count
    });
    server.bound("o-003").await;
    old.signal("STOP");
    let stopped_at = Instant::now();
    new.ready(200, "leads").await;
    assert!(stopped_at.elapsed() > DURATION / 2, "{:?}", stopped_at.elapsed());
    // The flood goes on while both run: the old one still believes that it leads.
    old.signal("CONT");
    old.logs("this process leads no more").await;
    old.ready(200, "stands by").await;
    sleep(Duration::from_secs(1)).await;
    enough.store(true, Ordering::SeqCst);
    let count = flood.await.unwrap();

    assert_eq!(server.all_bound().await, count);
    assert_eq!(server.leader().await, new.identity);
    new.ready(200, "leads").await;
    witness.saw_each_bound_once(count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_business_clock_of_the_server_is_followed() {
    let start = "2026-11-23T08:00:00Z".parse().unwrap();
    let server = Server::start_with(Clock::scaled(wall(), start, 60.0)).await;
    server.add_drivers(2).await;
    let agent = server.agent(&[]);
    // Ten minutes ahead in business time: ten seconds. By any other clock it would take far longer.
    let placed_at = server.clock().business_now() + SignedDuration::from_mins(10);
    server.add_order("o-1", json!({"placedAt": placed_at})).await;
    let bound_at = server.bound("o-1").await.status.unwrap().assignment.unwrap().bound_at.unwrap();
    assert!(bound_at >= placed_at, "{bound_at} is before {placed_at}");
    assert!(agent.get("/readyz").unwrap().contains("leads"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_started_again_at_another_business_time_is_followed() {
    let start = "2026-11-23T08:00:00Z".parse().unwrap();
    let server = Server::start_with(Clock::scaled(wall(), start, 1.0)).await;
    server.add_drivers(2).await;
    let agent = server.agent(&[]);
    server.add_order("o-1", json!({"placedAt": "2026-11-23T12:00:00Z"})).await;
    agent.ready(200, "leads").await;
    sleep(Duration::from_secs(2)).await;
    let order = server.orders().get("o-1").await.unwrap();
    assert_eq!(order.phase(), Phase::Pending, "the agent waits until noon");
    let noon = "2026-11-23T12:00:01Z".parse().unwrap();
    let server = Server::again(server.end().await, Clock::scaled(wall(), noon, 2.0)).await;
    server.bound("o-1").await;
    agent.logs("business clock was set").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_told_and_its_replacement_taken() {
    let server = Server::start().await;
    server.add_drivers(1).await;
    let agent = server.agent(&[]);
    agent.ready(200, "leads").await;
    let csv = server.dir.path().join("tokens.csv");
    let line = |token: &str| {
        let hash = hex::encode(Sha256::digest(token));
        format!("{hash},system:serviceaccount:dropmate-system:dispatch\n")
    };
    fs::write(&csv, line("another")).unwrap();
    agent.ready(503, "--token-file").await;
    agent.logs("the API cannot be used").await;
    fs::write(server.token_file(), "another\n").unwrap();
    agent.ready(200, "leads").await;
    server.add_order("o-1", json!({})).await;
    server.bound("o-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_authority_is_not_trusted_and_told_by_the_flag() {
    let (server, other) = (Server::start().await, Server::start().await);
    fs::copy(other.dir.path().join("tls/ca.crt"), server.dir.path().join("tls/ca.crt")).unwrap();
    let agent = server.agent(&[]);
    let told = agent.logs("--ca-file").await;
    assert!(told.contains("invalid peer certificate"), "{told}");
    agent.ready(503, "[-]api failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_and_files_that_are_wrong_end_it_and_are_told_by_name() {
    let dir = Server::start().await.end().await.0;
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (token, ca, missing) = (file("tokens/dispatch.token"), file("tls/ca.crt"), file("missing"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = ["--server", "https://127.0.0.1:1"];
    for (flags, told) in [
        (vec!["--token-file", &missing], vec!["--token-file", &missing, "No such file"]),
        (vec!["--token-file", &token, "--ca-file", &missing], vec!["--ca-file", &missing]),
        (vec!["--token-file", &token, "--ca-file", &token], vec!["--ca-file", &token, "no certificate"]),
        (
            vec!["--token-file", &token, "--ca-file", &ca, "--admin-listen", &address],
            vec!["--admin-listen", &address, "in use"],
        ),
    ] {
        let ended = run(&[&server[..], &flags].concat());
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(told.iter().all(|part| ended.said.contains(part)), "{told:?} is not in {}", ended.said);
    }
}
