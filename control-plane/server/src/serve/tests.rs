//! Real sockets and tight limits: what a hostile or broken client does, and that the server sees and ends it.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{body::Body, routing::get};
use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::*;

/// Long enough for a loaded machine; every wait ends well before it when all is well.
const PATIENCE: Duration = Duration::from_secs(20);
const REQUEST: &[u8] = b"GET /ok HTTP/1.1\r\nhost: x\r\n\r\n";

struct Fixture {
    address: SocketAddr,
    metrics: Metrics,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

fn limits() -> Limits {
    Limits {
        handshake: Duration::from_millis(300),
        header: Duration::from_millis(300),
        idle: Duration::from_secs(1),
        write_stall: Duration::from_millis(500),
        drain: Duration::from_secs(1),
        ..Limits::default()
    }
}

async fn start(limits: Limits, tls: Option<Arc<ServerConfig>>) -> Fixture {
    let endless = || async {
        let ticks = stream::repeat(()).then(|()| async {
            sleep(Duration::from_millis(50)).await;
            Ok::<_, io::Error>(Bytes::from_static(b"tick"))
        });
        Body::from_stream(ticks)
    };
    let flood =
        || async { Body::from_stream(stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from(vec![0; 65_536])))) };
    let router =
        Router::new().route("/ok", get(|| async { "ok" })).route("/watch", get(endless)).route("/flood", get(flood));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (metrics, shutdown) = (Metrics::new(), CancellationToken::new());
    let ports = vec![Port { listener, tls, router }];
    let running = tokio::spawn(serve(ports, limits, metrics.clone(), shutdown.clone()));
    Fixture { address, metrics, shutdown, running }
}

impl Fixture {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Waits until the server has closed a connection for that reason and holds none any more.
    async fn closed(&self, reason: &str) {
        let seen = async {
            while self.metrics.closed_count(reason) == 0 || self.metrics.connections.get() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let connections = self.metrics.connections.get();
        timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("{connections} connections, none closed for {reason}"));
    }
}

/// Reads to the end; a reset is an end too.
async fn rest(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("the server closes the connection");
    String::from_utf8_lossy(&read).into_owned()
}

fn tls() -> Arc<ServerConfig> {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let private = rustls_pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    Arc::new(config)
}

#[tokio::test]
async fn a_silent_connection_is_closed_before_its_handshake() {
    let fixture = start(limits(), Some(tls())).await;
    let mut silent = fixture.connect().await;
    assert_eq!(rest(&mut silent).await, "");
    fixture.closed("handshake").await;
}

#[tokio::test]
async fn headers_that_dribble_in_are_cut_at_the_deadline() {
    let fixture = start(limits(), None).await;
    let mut slow = fixture.connect().await;
    slow.write_all(b"GET /ok HTTP/1.1\r\n").await.unwrap();
    let started = Instant::now();
    // Until the server has had enough.
    while slow.write_all(b"x: y\r\n").await.is_ok() && started.elapsed() < PATIENCE {
        sleep(Duration::from_millis(50)).await;
    }
    assert!(started.elapsed() < PATIENCE);
    fixture.closed("header").await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_watch_is_not_idle() {
    let fixture = start(limits(), None).await;
    let (mut idle, mut watch) = (fixture.connect().await, fixture.connect().await);
    idle.write_all(REQUEST).await.unwrap();
    watch.write_all(b"GET /watch HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(rest(&mut idle).await.ends_with("ok"));
    assert_eq!(fixture.metrics.closed_count("idle"), 1);
    sleep(limits().idle).await;
    let mut ticks = [0; 4_096];
    assert!(watch.read(&mut ticks).await.unwrap() > 0);
    assert_eq!(fixture.metrics.connections.get(), 1);
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut() {
    let fixture = start(limits(), None).await;
    let mut stuck = fixture.connect().await;
    stuck.write_all(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let gone = async {
        while fixture.metrics.connections.get() == 0 {
            sleep(Duration::from_millis(10)).await;
        }
        while fixture.metrics.connections.get() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("the connection is cut although its client holds it open");
    drop(stuck);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_and_room_is_given_back() {
    let fixture = start(Limits { connections: 2, ..limits() }, None).await;
    let (mut first, _second) = (fixture.connect().await, fixture.connect().await);
    first.write_all(REQUEST).await.unwrap();
    let mut answer = [0; 12];
    first.read_exact(&mut answer).await.unwrap();
    let mut third = fixture.connect().await;
    assert_eq!(rest(&mut third).await, "");
    assert_eq!(fixture.metrics.closed_count("limit"), 1);
    drop(first);
    let again = async {
        loop {
            let mut stream = fixture.connect().await;
            if stream.write_all(REQUEST).await.is_ok() && stream.read_exact(&mut answer).await.is_ok() {
                return;
            }
        }
    };
    timeout(PATIENCE, again).await.expect("a closed connection leaves room for another");
}

#[tokio::test]
async fn a_thousand_headers_are_refused() {
    let fixture = start(limits(), None).await;
    let mut many = fixture.connect().await;
    let headers = "x: y\r\n".repeat(1_000);
    many.write_all(format!("GET /ok HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes()).await.unwrap();
    assert!(rest(&mut many).await.starts_with("HTTP/1.1 431 "));
}

/// Two lengths, a length beside chunks, a folded header, spaces before a colon: whoever passes such a request on may
/// read it differently than we do.
#[tokio::test]
async fn requests_that_can_be_read_in_two_ways_are_refused() {
    let fixture = start(limits(), None).await;
    for smuggled in [
        "GET /ok HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na",
        "GET /ok HTTP/1.1\r\nhost: x\r\ntransfer-encoding: identity, gzip\r\n\r\n",
        "GET /ok HTTP/1.1\r\nhost : x\r\n\r\n",
        "GET /ok HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n",
        "GET /ok HTTP/1.1\r\nhost: x\r\na: b\0c\r\n\r\n",
    ] {
        let mut stream = fixture.connect().await;
        stream.write_all(smuggled.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{smuggled:?} got {answer:?}");
    }
}

#[tokio::test]
async fn shutdown_lets_a_request_end_cuts_what_does_not_and_takes_no_more() {
    let fixture = start(limits(), None).await;
    let (mut watch, _idle) = (fixture.connect().await, fixture.connect().await);
    watch.write_all(b"GET /watch HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    watch.read_exact(&mut head).await.unwrap();
    fixture.shutdown.cancel();
    let started = Instant::now();
    timeout(PATIENCE, fixture.running).await.expect("it ends although a request does not").unwrap();
    assert!(started.elapsed() >= limits().drain, "the open request had its time");
    assert_eq!(fixture.metrics.connections.get(), 0);
    assert!(TcpStream::connect(fixture.address).await.is_err());
}
