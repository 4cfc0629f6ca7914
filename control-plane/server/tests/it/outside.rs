//! Tokens of an outside issuer: taken by what it has published, which is fetched in the background.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract::State, routing::get};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use p256::pkcs8::{EncodePrivateKey, LineEnding};
use serde_json::{Value, json};

use crate::{client::clock, server::Server};

/// An issuer on this machine.
struct Issuer {
    url: String,
    /// How often its keys were asked for.
    asked: Arc<AtomicUsize>,
    keys: Arc<Mutex<Vec<Value>>>,
}

#[derive(Clone)]
struct Published {
    url: String,
    asked: Arc<AtomicUsize>,
    keys: Arc<Mutex<Vec<Value>>>,
}

impl Issuer {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, keys) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let published = Published { url: url.clone(), asked: Arc::clone(&asked), keys: Arc::clone(&keys) };
        let discovery = async |State(published): State<Published>| {
            json!({"issuer": published.url, "jwks_uri": format!("{}/keys", published.url)}).to_string()
        };
        let set = async |State(published): State<Published>| {
            published.asked.fetch_add(1, Ordering::SeqCst);
            json!({"keys": *published.keys.lock().unwrap()}).to_string()
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(set))
            .with_state(published);
        tokio::spawn(async move { axum_serve(listener, router).await });
        Self { url, asked, keys }
    }

    /// Publishes a key of that name.
    fn publish(&self, kid: &str, key: &EncodingKey) {
        let mut jwk = Jwk::from_encoding_key(key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        self.keys.lock().unwrap().push(serde_json::to_value(jwk).unwrap());
    }

    fn claims(&self) -> Value {
        let now = clock().system_now().as_second();
        json!({
            "iss": self.url, "aud": "dropmate", "sub": "f3", "exp": now + 300, "iat": now,
            "email": "Ada@Example.com", "email_verified": true,
        })
    }
}

/// One connection after the other, without the features of a server that this needs not.
async fn axum_serve(listener: tokio::net::TcpListener, router: Router) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let io = hyper_util::rt::TokioIo::new(stream);
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        });
    }
}

fn key(byte: u8) -> EncodingKey {
    let secret = p256::SecretKey::from_slice(&[byte; 32]).unwrap();
    EncodingKey::from_ec_pem(secret.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes()).unwrap()
}

fn token(kid: &str, key: &EncodingKey, claims: &Value) -> String {
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(kid.to_owned());
    encode(&header, claims, key).unwrap()
}

/// Who the server says a token is.
async fn who(server: &Server, token: &str) -> (u16, Value) {
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let answer = server.http.post(server.url(path)).bearer_auth(token).json(&json!({})).send().await.unwrap();
    let code = answer.status().as_u16();
    (code, answer.json::<Value>().await.unwrap()["status"]["userInfo"].clone())
}

#[tokio::test]
async fn a_token_of_the_outside_issuer_is_its_verified_address_and_unknown_keys_ask_it_seldom() {
    let issuer = Issuer::start().await;
    issuer.publish("one", &key(1));
    let flags = ["--oidc-issuer", &issuer.url, "--oidc-audience", "dropmate"];
    let server = Server::start_with(tempfile::tempdir().unwrap(), &flags).await;
    let good = token("one", &key(1), &issuer.claims());
    let begun = Instant::now();
    while who(&server, &good).await.0 != 201 {
        assert!(begun.elapsed() < Duration::from_secs(10), "its keys do not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (_, info) = who(&server, &good).await;
    assert_eq!((&info["username"], &info["groups"]), (&json!("ada@example.com"), &json!(["system:authenticated"])));

    let changed = |name: &str, value: Value| {
        let mut claims = issuer.claims();
        claims[name] = value;
        token("one", &key(1), &claims)
    };
    let mut refused = vec![
        changed("aud", json!("vault")),
        changed("iss", json!(format!("{}/", issuer.url))),
        changed("email_verified", json!(false)),
        changed("exp", json!(1)),
        token("one", &key(2), &issuer.claims()),
        good.replacen("eyJ", "eyK", 1),
    ];
    let mut symmetric = Header::new(Algorithm::HS256);
    symmetric.kid = Some("one".to_owned());
    refused.push(encode(&symmetric, &issuer.claims(), &EncodingKey::from_secret(b"x")).unwrap());
    // Keys that nobody knows: anybody can make them up.
    refused.extend((0..50).map(|n| token(&format!("unknown-{n}"), &key(2), &issuer.claims())));
    for token in refused {
        assert_eq!(who(&server, &token).await.0, 401);
    }
    assert_eq!(
        issuer.asked.load(Ordering::SeqCst),
        1,
        "a request makes nobody wait for the issuer, nor the issuer busy"
    );
}

#[tokio::test]
async fn an_issuer_that_is_not_there_keeps_nobody_from_starting() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let flags = ["--oidc-issuer", &url, "--oidc-audience", "dropmate"];
    let server = Server::start_with(tempfile::tempdir().unwrap(), &flags).await;
    let mut claims = json!({"iss": url, "aud": "dropmate"});
    claims["exp"] = json!(clock().system_now().as_second() + 300);
    let begun = Instant::now();
    assert_eq!(who(&server, &token("one", &key(1), &claims)).await.0, 401);
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(server.get("/api/v1/namespaces").await.status(), 200);
}

#[tokio::test]
async fn keys_that_an_issuer_names_elsewhere_inside_are_fetched_only_where_the_operator_allows_it() {
    let inside = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
    let keys_url = format!("http://{}/keys", inside.local_addr().unwrap());
    let issuer = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", issuer.local_addr().unwrap());
    let (asked, connected) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let told = json!({"issuer": url, "jwks_uri": keys_url}).to_string();
    let counted = Arc::clone(&asked);
    let discovery = async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        told
    };
    let discovery = Router::new().route("/.well-known/openid-configuration", get(discovery));
    tokio::spawn(async move { axum_serve(issuer, discovery).await });
    let mut jwk = Jwk::from_encoding_key(&key(1), Algorithm::ES256).unwrap();
    jwk.common.key_id = Some("one".to_owned());
    let set = json!({"keys": [jwk]}).to_string();
    let counted = Arc::clone(&connected);
    let set = Router::new().route(
        "/keys",
        get(async move || {
            counted.fetch_add(1, Ordering::SeqCst);
            set
        }),
    );
    tokio::spawn(async move { axum_serve(inside, set).await });
    let now = clock().system_now().as_second();
    let claims = json!({
        "iss": url, "aud": "dropmate", "sub": "f3", "exp": now + 300, "iat": now,
        "email": "ada@example.com", "email_verified": true,
    });
    let good = token("one", &key(1), &claims);

    let flags = ["--oidc-issuer", &url, "--oidc-audience", "dropmate"];
    let guarded = Server::start_with(tempfile::tempdir().unwrap(), &flags).await;
    let begun = Instant::now();
    // Asked twice, the first answer has been seen to its end.
    while asked.load(Ordering::SeqCst) < 2 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the issuer is not asked");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((who(&guarded, &good).await.0, connected.load(Ordering::SeqCst)), (401, 0));
    guarded.end().await;

    let allowed = [&flags[..], &["--allow-outbound", "127.0.0.2"]].concat();
    let open = Server::start_with(tempfile::tempdir().unwrap(), &allowed).await;
    let begun = Instant::now();
    while who(&open, &good).await.0 != 201 {
        assert!(begun.elapsed() < Duration::from_secs(20), "its keys do not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(connected.load(Ordering::SeqCst) > 0);
}
