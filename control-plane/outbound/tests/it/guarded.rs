//! The client against real sockets: what may not be reached is not even connected to.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    http::{StatusCode, header},
    routing::{any, get, post},
};
use dropmate_outbound::{Call, CallError, Client, Guard, Limits, Lookups, Trust, checked};
use reqwest::Method;
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const LIMITS: Limits = Limits { connect: Duration::from_secs(2), total: Duration::from_secs(3), answer_bytes: 1024 };

/// A server that counts who connects to it, at an address of this machine.
struct Inside {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Inside {
    async fn listen(at: &str) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await;
                });
            }
        });
        Self { address, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(routes: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address
}

fn client(guard: Guard) -> Client {
    Client::new(guard, &Trust::machine(), LIMITS).unwrap()
}

fn to(url: &str) -> Call {
    Call::new(Method::POST, checked(url, true).unwrap()).body("{}")
}

#[rstest]
#[case("http://127.0.0.1:{port}/")]
#[case("http://localhost:{port}/")]
#[case("http://2130706433:{port}/")]
#[case("http://0x7f000001:{port}/")]
#[case("http://0177.0.0.1:{port}/")]
#[case("http://127.1:{port}/")]
#[case("http://0.0.0.0:{port}/")]
#[case("http://[::ffff:127.0.0.1]:{port}/")]
#[case("http://[::ffff:7f00:1]:{port}/")]
#[case("http://[::]:{port}/")]
#[case("http://127。0。0。1:{port}/")]
#[tokio::test]
async fn this_machine_is_not_connected_to_however_it_is_written(#[case] url: &str) {
    let inside = Inside::listen("127.0.0.1:0").await;
    let url = url.replace("{port}", &inside.address.port().to_string());
    let refused = client(Guard::default()).call(to(&url)).await.unwrap_err();
    assert!(matches!(refused, CallError::Refused(_)), "{url}: {refused}");
    assert_eq!(inside.connections(), 0);
    if url.starts_with("http://[::]") {
        // That is the machine's IPv6, where this server does not listen.
        return;
    }
    // The same address is there for whom it is allowed: the test would see a connection.
    let open =
        client(Guard::new(["127.0.0.0/8".parse().unwrap(), "::/0".parse().unwrap(), "0.0.0.0/0".parse().unwrap()]));
    assert_eq!(open.call(to(&url)).await.unwrap().body, "secret");
    assert_eq!(inside.connections(), 1);
}

#[tokio::test]
async fn a_name_that_is_public_at_first_and_private_then_is_never_followed_inside() {
    let inside = Inside::listen("127.0.0.1:0").await;
    let port = inside.address.port();
    let lookups = Lookups::default();
    // 127.0.0.9 plays the public host: it is the only one that is allowed.
    let public = Inside::listen(&format!("127.0.0.9:{port}")).await;
    lookups.set("rebinds.example", &[&["127.0.0.9"], &["127.0.0.1"], &["127.0.0.9", "127.0.0.1"], &["127.0.0.1"]]);
    let guard = Guard::new(["127.0.0.9/32".parse().unwrap()]).resolving(Arc::new(lookups));
    let url = format!("http://rebinds.example:{port}/");
    assert_eq!(client(guard.clone()).call(to(&url)).await.unwrap().status, 200);
    let rebound = client(guard.clone()).call(to(&url)).await.unwrap_err();
    assert!(matches!(rebound, CallError::Refused(_)), "{rebound}");
    assert_eq!(client(guard.clone()).call(to(&url)).await.unwrap().status, 200, "only the address that is good");
    assert!(matches!(client(guard).call(to(&url)).await, Err(CallError::Refused(_))));
    assert_eq!((inside.connections(), public.connections()), (0, 2));
}

#[rstest]
#[case(StatusCode::MOVED_PERMANENTLY)]
#[case(StatusCode::FOUND)]
#[case(StatusCode::SEE_OTHER)]
#[case(StatusCode::TEMPORARY_REDIRECT)]
#[case(StatusCode::PERMANENT_REDIRECT)]
#[tokio::test]
async fn a_redirect_is_an_answer_and_not_a_way(#[case] status: StatusCode) {
    let inside = Inside::listen("127.0.0.1:0").await;
    let location = format!("http://{}/", inside.address);
    let redirect = any(move || async move { (status, [(header::LOCATION, location)], "") });
    let public = serve(Router::new().route("/", redirect)).await;
    let open = client(Guard::new(["127.0.0.0/8".parse().unwrap()]));
    let answer = open.call(to(&format!("http://{public}/"))).await.unwrap();
    assert_eq!(answer.status, status);
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn a_host_that_is_named_by_the_operator_may_be_here_but_leads_to_no_metadata() {
    let inside = Inside::listen("127.0.0.1:0").await;
    let port = inside.address.port();
    let lookups = Lookups::default();
    lookups.set("osrm.internal", &[&["127.0.0.1"], &["169.254.169.254"]]);
    lookups.set("other.internal", &[&["127.0.0.1"]]);
    let guard = Guard::default().naming("osrm.internal").resolving(Arc::new(lookups));
    let named = format!("http://osrm.internal:{port}/");
    assert_eq!(client(guard.clone()).call(to(&named)).await.unwrap().status, 200);
    let taken_over = client(guard.clone()).call(to(&named)).await.unwrap_err();
    assert!(taken_over.to_string().contains("link-local"), "{taken_over}");
    assert!(matches!(
        client(guard).call(to(&format!("http://other.internal:{port}/"))).await,
        Err(CallError::Refused(_))
    ));
    assert_eq!(inside.connections(), 1);
}

#[tokio::test]
async fn an_answer_is_read_so_far_and_waited_for_so_long() {
    let stall = async || {
        tokio::time::sleep(Duration::from_mins(1)).await;
        "late"
    };
    let routes = Router::new()
        .route("/large", post(async || vec![b'x'; 1 << 20]))
        .route("/stall", post(stall))
        .route("/here", get(async || "here"));
    let address = serve(routes).await;
    let open = client(Guard::new(["127.0.0.1/32".parse().unwrap()]));
    let large = open.call(to(&format!("http://{address}/large"))).await.unwrap();
    assert_eq!((large.body.len(), large.cut), (1024, true));
    let started = Instant::now();
    let stalled = open.call(to(&format!("http://{address}/stall"))).await.unwrap_err();
    assert!(stalled.in_doubt() && stalled.to_string().contains("not in time"), "{stalled}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn whether_anything_was_sent_is_known() {
    let open = client(Guard::new(["127.0.0.1/32".parse().unwrap()]));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = open.call(to(&format!("http://{closed}/"))).await.unwrap_err();
    assert!(matches!(refused, CallError::Connect(_)), "{refused}");
    // Takes the request and hangs up.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
        }
    });
    let lost = open.call(to(&format!("http://{address}/"))).await.unwrap_err();
    assert!(lost.in_doubt(), "{lost}");
}

#[tokio::test]
async fn a_certificate_is_believed_only_if_it_is_for_that_name_and_from_somebody_who_is_trusted() {
    let made = rcgen::generate_simple_self_signed(["hook.example".to_owned()]).unwrap();
    let chain = vec![made.cert.der().clone()];
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            });
        }
    });
    let lookups = Lookups::default();
    lookups.set("hook.example", &[&["127.0.0.1"]]);
    lookups.set("other.example", &[&["127.0.0.1"]]);
    let guard = Guard::new(["127.0.0.1/32".parse().unwrap()]).resolving(Arc::new(lookups));
    let trust = Trust::only(made.cert.pem().as_bytes()).unwrap();
    let ours = Client::new(guard.clone(), &trust, LIMITS).unwrap();
    assert_eq!(ours.call(to(&format!("https://hook.example:{port}/"))).await.unwrap().status, 204);
    let another_name = ours.call(to(&format!("https://other.example:{port}/"))).await.unwrap_err();
    assert!(matches!(another_name, CallError::Connect(_)), "{another_name}");
    let stranger = client(guard).call(to(&format!("https://hook.example:{port}/"))).await.unwrap_err();
    assert!(matches!(stranger, CallError::Connect(_)), "{stranger}");
}

#[tokio::test]
async fn who_answers_and_then_breaks_off_or_stalls_has_answered() {
    let open = client(Guard::new(["127.0.0.1/32".parse().unwrap()]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 100\r\n\r\nso far").await;
            if request[..read].starts_with(b"POST /stall") {
                kept.push(stream);
            }
        }
    });
    for path in ["hangs-up", "stall"] {
        let answer = open.call(to(&format!("http://{address}/{path}"))).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..], answer.cut), (202, &b"so far"[..], true), "{path}");
    }
}

#[rstest]
#[case("https://example.org/hook?a=b", true, true)]
#[case("http://example.org/hook", true, false)]
#[case("ftp://example.org/", false, false)]
#[case("https://", false, false)]
#[case("https://user:secret@example.org/", false, false)]
#[case("https://example.org/#x", false, false)]
#[case("file:///etc/passwd", false, false)]
#[case("example.org", false, false)]
fn only_urls_that_can_be_called_are_taken(#[case] url: &str, #[case] plain: bool, #[case] secure: bool) {
    assert_eq!((checked(url, true).is_ok(), checked(url, false).is_ok()), (plain, secure));
}
