use std::{net::SocketAddr, time::Duration};

use axum::Router;
use dropmate_agent::{
    Admin, Standing,
    admin::{bind, serve},
    standing::Stage,
};
use prometheus_client::registry::Registry;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// Longer than anything here may take.
const LONG: Duration = Duration::from_mins(1);

async fn served(routes: Router) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
    let listener = bind(Some("127.0.0.1:0".parse().unwrap()), 0).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    (address, stop.clone(), tokio::spawn(serve(listener, routes, stop)))
}

fn admin(standing: &Standing) -> Router {
    let standing = standing.clone();
    let checks = vec![("agent", Box::new(move || standing.check()) as dropmate_agent::admin::Check)];
    Admin { checks, registry: Registry::default() }.routes()
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = timeout(LONG, stream.read_to_end(&mut answer)).await.expect("the connection ends");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn probes_tell_what_is_missing_and_whether_it_matters() {
    let standing = Standing::default();
    let (address, ..) = served(admin(&standing)).await;
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 "));
    let not_yet = get(address, "/readyz").await;
    assert!(not_yet.starts_with("HTTP/1.1 503 ") && not_yet.contains("[-]agent failed: starting\n"), "{not_yet}");
    standing.set(Stage::StandsBy);
    let ready = get(address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200 ") && ready.contains("[+]agent ok: stands by\n"), "{ready}");
    assert!(get(address, "/metrics").await.contains("# EOF"));
    assert!(get(address, "/other").await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn a_silent_connection_is_closed_and_others_are_served_meanwhile() {
    let (address, ..) = served(admin(&Standing::default())).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    let opened_at = Instant::now();
    assert!(get(address, "/livez").await.ends_with("ok\n"));
    assert_eq!(rest(&mut silent).await, "");
    assert!(!rest(&mut slow).await.contains("200 OK"));
    assert!(opened_at.elapsed() < Duration::from_secs(30), "{:?}", opened_at.elapsed());
}

#[tokio::test]
async fn open_connections_do_not_hold_up_the_end() {
    let (address, stop, serving) = served(admin(&Standing::default())).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: agent\r\n\r\n").await.unwrap();
    idle.read_exact(&mut [0; 12]).await.unwrap();
    stop.cancel();
    timeout(Duration::from_secs(5), serving).await.expect("it ends").unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_taken_port_is_evaded_if_it_is_the_default_and_an_error_if_it_was_asked_for() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let elsewhere = bind(None, address.port()).await.unwrap().local_addr().unwrap();
    assert_ne!(elsewhere, address);
    assert!(elsewhere.ip().is_loopback());
    let refused = bind(Some(address), 0).await.unwrap_err();
    assert!(refused.to_string().contains(&format!("--admin-listen: cannot listen on {address}")), "{refused}");
}
