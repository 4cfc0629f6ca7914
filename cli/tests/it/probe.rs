use std::{net::TcpListener, time::Instant};

use crate::{
    fake::Fake,
    support::{Ended, Server, dropmate, run},
};

/// `dropmate probe` on a machine that knows nothing.
fn probe(args: &[&str]) -> Ended {
    let home = tempfile::tempdir().unwrap();
    run(dropmate().arg("probe").args(args).env("HOME", home.path()).env("DROPMATE_DATA_DIR", home.path()))
}

#[test]
fn a_ready_server_is_trusted_by_the_kubeconfig_or_by_its_authority_and_not_otherwise() {
    let server = Server::start();
    let url = format!("{}/readyz", server.url);
    let ready = server.run(&["probe", &url]).with_code(0);
    assert_eq!(ready.out, "ok\n");
    let ca = server.data.path().join("tls/ca.crt");
    probe(&[&url, "--ca", ca.to_str().unwrap()]).with_code(0);
    let stranger = probe(&[&url]).with_code(2);
    assert!(stranger.err.contains("cannot reach") && stranger.err.contains("certificate"), "{}", stranger.err);
}

#[test]
fn another_status_is_a_no_with_what_the_server_said_and_no_token_is_sent() {
    let server = Server::start();
    let fake = Fake::start(|_, path| (if path == "/readyz" { 503 } else { 200 }, "[-]store failed\n".to_owned()));
    let ended = server.run(&["probe", &format!("{}/readyz", fake.url)]).with_code(1);
    assert_eq!(ended.out, "[-]store failed\n");
    assert!(ended.err.contains("/readyz answered 503"), "{}", ended.err);
    probe(&[&fake.url, "--token", "secret"]).with_code(0);
    let requests = fake.requests.lock().unwrap();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|head| !head.to_lowercase().contains("authorization")), "{requests:?}");
}

#[test]
fn who_cannot_be_reached_or_says_nothing_is_given_up_within_seconds() {
    let nobody = probe(&["http://127.0.0.1:1/readyz"]).with_code(2);
    assert!(nobody.err.contains("cannot reach http://127.0.0.1:1/readyz"), "{}", nobody.err);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let started = Instant::now();
    let ended = probe(&[&format!("http://{}/", silent.local_addr().unwrap())]).with_code(2);
    assert!(ended.err.contains("did not answer within 3 s"), "{}", ended.err);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    let wrong = probe(&["localhost:7450"]).with_code(2);
    assert!(wrong.err.contains("must be a whole address"), "{}", wrong.err);
}
