//! Forged and stale tokens, as one table: each is refused as no token is, and makes the server call nobody.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD as BASE64},
};
use dropmate_identity::{Identity, Options, Sealer, Subject, UserClaims};
use dropmate_testing::sqlite_row;
use jiff::SignedDuration;
use p256::{
    SecretKey,
    ecdsa::{Signature, SigningKey, signature::Signer},
    pkcs8::DecodePrivateKey,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    client::clock,
    server::Server,
    service_accounts::{ACCOUNTS, make, token_of},
};

const ACCOUNT: &str = "system:serviceaccount:default:pipeline";

/// A port that counts who comes.
struct Trap {
    url: String,
    came: Arc<AtomicUsize>,
}

impl Trap {
    fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let came = Arc::new(AtomicUsize::new(0));
        let counter = came.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            for _ in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { url, came }
    }
}

/// What a forger who has stolen everything could work with.
struct Forge {
    key: SigningKey,
    kid: String,
    public: Value,
    issuer: String,
    now: i64,
    account_uid: String,
}

fn part(json: &Value) -> String {
    BASE64.encode(json.to_string())
}

fn sign(key: &SigningKey, header: &str, claims: &str) -> String {
    let signed = format!("{header}.{claims}");
    let signature: Signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(signature.to_bytes()))
}

/// One value of an object changed; null takes it out.
fn with(mut object: Value, name: &str, value: Value) -> Value {
    let fields = object.as_object_mut().unwrap();
    if value.is_null() {
        fields.remove(name)
    } else {
        fields.insert(name.to_owned(), value)
    };
    object
}

impl Forge {
    async fn of(server: &Server, account_uid: &str) -> Self {
        let file = server.dir.path().join("identity.db");
        let (kid, sealed) = sqlite_row(&file, "SELECT kid, private FROM keys").await;
        let pem = sealer(server).open(&format!("the signing key {kid}"), &sealed).unwrap();
        let secret = SecretKey::from_pkcs8_pem(std::str::from_utf8(&pem).unwrap()).unwrap();
        let set = server.http.get(server.url("/.well-known/jwks.json")).send().await.unwrap();
        let set: Value = set.json().await.unwrap();
        Self {
            key: SigningKey::from(secret),
            kid,
            public: set["keys"][0].clone(),
            issuer: server.plane.url().unwrap().to_owned(),
            now: clock().system_now().as_second(),
            account_uid: account_uid.to_owned(),
        }
    }

    fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "at+jwt", "kid": self.kid})
    }

    fn person(&self) -> Value {
        json!({
            "iss": self.issuer, "aud": "dropmate", "sub": "6f1c", "sid": "s1", "jti": "j1", "iat": self.now,
            "exp": self.now + 900, "email": "ada@example.com", "name": "Ada", "email_verified": true,
        })
    }

    fn account(&self) -> Value {
        json!({
            "iss": self.issuer, "aud": "dropmate", "sub": ACCOUNT, "sa_uid": self.account_uid, "jti": "j1",
            "iat": self.now, "exp": self.now + 3_600,
        })
    }

    fn of_header(&self, name: &str, value: Value) -> String {
        sign(&self.key, &part(&with(self.header(), name, value)), &part(&self.person()))
    }

    fn of_claim(&self, name: &str, value: Value) -> String {
        sign(&self.key, &part(&self.header()), &part(&with(self.person(), name, value)))
    }

    fn of_account(&self, name: &str, value: Value) -> String {
        sign(&self.key, &part(&self.header()), &part(&with(self.account(), name, value)))
    }

    fn good(&self) -> String {
        sign(&self.key, &part(&self.header()), &part(&self.person()))
    }

    /// Signed by another key, under that header.
    fn by_a_stranger(&self, header: &Value) -> String {
        sign(&stranger(), &part(header), &part(&self.person()))
    }

    /// Signed with a secret that is public.
    fn by_hmac(&self, secret: &[u8]) -> String {
        use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
        let mut header = Header::new(Algorithm::HS256);
        (header.typ, header.kid) = (Some("at+jwt".to_owned()), Some(self.kid.clone()));
        encode(&header, &self.person(), &EncodingKey::from_secret(secret)).unwrap()
    }

    fn headers(&self, trap: &str) -> Vec<(&'static str, String)> {
        let url = |path: &str| json!(format!("{trap}/{path}"));
        let stranger_key =
            json!({"kty": "EC", "crv": "P-256", "x": BASE64.encode([1; 32]), "y": BASE64.encode([2; 32])});
        let with_jwk = with(self.header(), "jwk", stranger_key);
        let point = |name: &str| BASE64.decode(self.public[name].as_str().unwrap()).unwrap();
        let raw = [&[4][..], &point("x"), &point("y")].concat();
        let none = format!("{}.{}.", part(&json!({"alg": "none", "typ": "at+jwt"})), part(&self.person()));
        let twice = format!(r#"{{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"{}"}}"#, self.kid);
        vec![
            ("alg none without a signature", none),
            ("alg none with a signature", self.of_header("alg", json!("none"))),
            ("alg NONE", self.of_header("alg", json!("NONE"))),
            ("alg in lower case", self.of_header("alg", json!("es256"))),
            ("alg missing", self.of_header("alg", Value::Null)),
            ("alg ES384", self.of_header("alg", json!("ES384"))),
            ("alg RS256", self.of_header("alg", json!("RS256"))),
            ("alg EdDSA", self.of_header("alg", json!("EdDSA"))),
            ("HS256 with the public key", self.by_hmac(&raw)),
            ("HS256 with the published JWK", self.by_hmac(self.public.to_string().as_bytes())),
            ("HS256 with nothing", self.by_hmac(b"")),
            ("another key under our kid", self.by_a_stranger(&self.header())),
            ("another key under its own kid", self.by_a_stranger(&with(self.header(), "kid", json!("mine")))),
            ("jwk in the header", self.by_a_stranger(&with_jwk)),
            ("jku", self.by_a_stranger(&with(self.header(), "jku", url("jwks.json")))),
            ("jku under a good signature", self.of_header("jku", url("jwks.json"))),
            ("x5u", self.by_a_stranger(&with(self.header(), "x5u", url("cert.pem")))),
            ("x5c", self.by_a_stranger(&with(self.header(), "x5c", json!(["MIIB"])))),
            ("kid missing", self.of_header("kid", Value::Null)),
            ("kid empty", self.of_header("kid", json!(""))),
            ("kid a path", self.of_header("kid", json!("../../../../dev/null"))),
            ("kid SQL", self.of_header("kid", json!("' UNION SELECT 'x' --"))),
            ("kid a URL", self.of_header("kid", url("key"))),
            ("kid a number", self.of_header("kid", json!(0))),
            ("kid a list", self.of_header("kid", json!([self.kid]))),
            ("typ JWT", self.of_header("typ", json!("JWT"))),
            ("typ missing", self.of_header("typ", Value::Null)),
            ("typ in upper case", self.of_header("typ", json!("AT+JWT"))),
            ("typ of an id token", self.of_header("typ", json!("id+jwt"))),
            ("crit", self.of_header("crit", json!(["exp"]))),
            ("cty, a JWT inside", self.of_header("cty", json!("JWT"))),
            ("zip", self.of_header("zip", json!("DEF"))),
            ("a header member twice", sign(&self.key, &BASE64.encode(twice), &part(&self.person()))),
            ("a header that is a list", sign(&self.key, &part(&json!([])), &part(&self.person()))),
        ]
    }

    fn claims(&self, trap: &str) -> Vec<(&'static str, String)> {
        let text = self.person().to_string();
        let twice = text.replacen('{', &format!(r#"{{"exp":{},"#, self.now + 100), 1);
        let nested = sign(&self.key, &part(&self.header()), &BASE64.encode(self.good()));
        vec![
            ("another issuer", self.of_claim("iss", json!(trap))),
            ("our issuer with a slash", self.of_claim("iss", json!(format!("{}/", self.issuer)))),
            ("no issuer", self.of_claim("iss", Value::Null)),
            ("another audience", self.of_claim("aud", json!("vault"))),
            ("audiences as a list", self.of_claim("aud", json!(["dropmate", "vault"]))),
            ("no audience", self.of_claim("aud", Value::Null)),
            ("expired", with_times(self, -1_000, -100)),
            ("expires now", with_times(self, -900, 0)),
            ("no exp", self.of_claim("exp", Value::Null)),
            ("exp a text", self.of_claim("exp", json!("4000000000"))),
            ("exp a fraction", self.of_claim("exp", json!(self.now as f64 + 100.5))),
            ("exp without end", self.of_claim("exp", json!(i64::MAX))),
            ("exp too large for a number", self.of_claim("exp", json!(u64::MAX))),
            ("exp below zero", self.of_claim("exp", json!(-1))),
            ("a person's for an hour", with_times(self, 0, 3_600)),
            ("from the future", with_times(self, 60, 600)),
            ("expires before it begins", with_times(self, 4, 2)),
            ("no iat", self.of_claim("iat", Value::Null)),
            ("iat long ago and far", self.of_claim("iat", json!(i64::MIN))),
            ("no sid", self.of_claim("sid", Value::Null)),
            ("an empty sid", self.of_claim("sid", json!(""))),
            ("sid a list", self.of_claim("sid", json!(["s1"]))),
            ("an empty sub", self.of_claim("sub", json!(""))),
            ("no sub", self.of_claim("sub", Value::Null)),
            ("no jti", self.of_claim("jti", Value::Null)),
            ("an empty jti", self.of_claim("jti", json!(""))),
            ("no address", self.of_claim("email", Value::Null)),
            ("the operator's name as address", self.of_claim("email", json!("operator"))),
            ("an account's name as address", self.of_claim("email", json!(format!("{ACCOUNT}@x")))),
            ("verified a text", self.of_claim("email_verified", json!("true"))),
            ("a person with an account's uid", self.of_claim("sa_uid", json!(self.account_uid))),
            ("a person as an account", self.of_claim("sub", json!(ACCOUNT))),
            ("a claim twice", sign(&self.key, &part(&self.header()), &BASE64.encode(twice))),
            ("a JWT inside", nested),
            ("claims that are a list", sign(&self.key, &part(&self.header()), &part(&json!(["a"])))),
            ("claims that are no JSON", sign(&self.key, &part(&self.header()), &BASE64.encode("iss=us"))),
            ("8 KiB of name", self.of_claim("name", json!("x".repeat(8 * 1024)))),
            ("an account that never was", self.of_account("sub", json!("system:serviceaccount:default:nobody"))),
            ("an account of another namespace", self.of_account("sub", json!("system:serviceaccount:other:pipeline"))),
            ("an account with another's uid", self.of_account("sa_uid", json!("00000000-0000-0000-0000-000000000000"))),
            ("an account without a uid", self.of_account("sa_uid", Value::Null)),
            ("an account with a session", self.of_account("sid", json!("s1"))),
            ("an account's name cut short", self.of_account("sub", json!("system:serviceaccount:default"))),
            ("an account's name too long", self.of_account("sub", json!(format!("{ACCOUNT}:x")))),
            ("an account's for a year", self.of_account("exp", json!(self.now + 365 * 24 * 3_600))),
        ]
    }

    fn forms(&self) -> Vec<(&'static str, String)> {
        let good = self.good();
        let parts: Vec<&str> = good.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("three parts") };
        let raw = BASE64.decode(signature).unwrap();
        let signed = |bytes: &[u8]| format!("{header}.{claims}.{}", BASE64.encode(bytes));
        let der = Signature::from_slice(&raw).unwrap().to_der();
        let other = part(&with(self.person(), "email", json!("eve@example.com")));
        let other_header = part(&with(self.header(), "typ", json!("jwt")));
        let padded = BASE64_URL_SAFE.encode(&raw);
        // The last letter has four bits that say nothing: set, they make another text of the same bytes.
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let last = letters.iter().position(|letter| *letter == signature.as_bytes()[85]).unwrap();
        let noisy = format!("{}{}", &signature[..85], char::from(letters[last | 1]));
        vec![
            ("nothing", String::new()),
            ("two dots and nothing else", "..".to_owned()),
            ("without its signature", format!("{header}.{claims}.")),
            ("without its last part", format!("{header}.{claims}")),
            ("with a fourth part", format!("{good}.{signature}")),
            ("its last letter gone", good[..good.len() - 1].to_owned()),
            ("half a signature", signed(&raw[..32])),
            ("a longer signature", signed(&[&raw[..], &[0]].concat())),
            ("a signature of zeros", signed(&[0; 64])),
            ("a signature in DER", signed(der.as_bytes())),
            ("a signature with its halves exchanged", signed(&[&raw[32..], &raw[..32]].concat())),
            ("other claims under its signature", format!("{header}.{other}.{signature}")),
            ("another header under its signature", format!("{other_header}.{claims}.{signature}")),
            ("its signature padded", format!("{header}.{claims}.{padded}")),
            ("its claims in the other base64", {
                // Whose text in the one has letters that the other has not.
                let claims = with(self.person(), "name", json!("?".repeat(30))).to_string();
                assert!(BASE64_STANDARD_NO_PAD.encode(&claims).contains('/'));
                sign(&self.key, header, &BASE64_STANDARD_NO_PAD.encode(claims))
            }),
            ("a signature with noise in its last letter", format!("{header}.{claims}.{noisy}")),
            ("white space inside", format!("{header}. {claims}.{signature}")),
            ("a tab inside", format!("{header}.{claims}\t.{signature}")),
            ("its parts exchanged", format!("{claims}.{header}.{signature}")),
            ("a scheme twice", format!("Bearer {good}")),
            ("two at once", format!("{good},{good}")),
            ("random letters", "aGVsbG8.d29ybGQ.Zm9yZ2Vk".to_owned()),
        ]
    }
}

fn with_times(forge: &Forge, iat: i64, exp: i64) -> String {
    let claims = with(with(forge.person(), "iat", json!(forge.now + iat)), "exp", json!(forge.now + exp));
    sign(&forge.key, &part(&forge.header()), &part(&claims))
}

fn stranger() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

fn sealer(server: &Server) -> Sealer {
    Sealer::from_hex(&std::fs::read_to_string(server.dir.path().join("secrets.key")).unwrap()).unwrap()
}

/// The server's own identity service, opened beside it, by a clock that is so much ahead.
async fn beside(server: &Server, ahead: SignedDuration) -> Identity {
    let now = Arc::new(move || clock().system_now() + ahead);
    let issuer = server.plane.url().unwrap().to_owned();
    let options = Options { now, issuer, sealer: sealer(server) };
    Identity::sqlite(&server.dir.path().join("identity.db"), options).await.unwrap()
}

/// What a caller sees: code, challenge and body.
async fn told(server: &Server, authorization: Option<&str>) -> (u16, String, String) {
    let mut request = server.http.request(Method::GET, server.url("/api/v1/namespaces"));
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let answer = request.send().await.unwrap();
    let challenge = answer.headers().get("www-authenticate").map_or("", |value| value.to_str().unwrap()).to_owned();
    (answer.status().as_u16(), challenge, answer.text().await.unwrap())
}

/// Waits until the server has heard of what ended.
async fn until_refused(server: &Server, token: &str) {
    let begun = Instant::now();
    while told(server, Some(&format!("Bearer {token}"))).await.0 != 401 {
        assert!(begun.elapsed() < Duration::from_secs(8), "it is still good");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn ada(uid: &str, sid: &str) -> UserClaims {
    let (email, name) = ("ada@example.com".to_owned(), "Ada".to_owned());
    UserClaims { uid: uid.to_owned(), email, name, verified: true, sid: sid.to_owned() }
}

/// Tokens that were good once, each by the way it ended.
async fn stale(server: &Server) -> Vec<(&'static str, String)> {
    let identity = beside(server, SignedDuration::ZERO).await;
    let session = identity.issue_access(&ada("u1", "s1")).unwrap();
    let user = identity.issue_access(&ada("u2", "s2")).unwrap();
    let old_key = identity.issue_access(&ada("u3", "s3")).unwrap();
    let [deleted, anew, all, one] = ["deleted", "anew", "all", "one"];
    let mut tokens = Vec::new();
    for name in [deleted, anew, all, one] {
        make(server, ACCOUNTS, name).await;
        tokens.push(token_of(server, ACCOUNTS, name).await);
    }
    for token in tokens.iter().chain([&session, &user, &old_key]) {
        assert_ne!(told(server, Some(&format!("Bearer {token}"))).await.0, 401, "it is good before");
    }
    for name in [deleted, anew] {
        let gone = server.call("operator", Method::DELETE, &format!("{ACCOUNTS}/{name}")).send().await.unwrap();
        assert_eq!(gone.status(), 200);
    }
    make(server, ACCOUNTS, anew).await;
    let path = format!("/v1/namespaces/default/serviceaccounts/{all}/tokens");
    assert_eq!(server.call("operator", Method::DELETE, &path).send().await.unwrap().status(), 204);
    identity.revoke(Subject::Session("s1".to_owned())).await.unwrap();
    identity.revoke(Subject::User("u2".to_owned())).await.unwrap();
    let jti = identity.verify(&tokens[3]).unwrap().jti;
    identity.revoke(Subject::Token(jti)).await.unwrap();
    // Past the life of everything it signed, a key is deleted.
    identity.rotate_keys().await.unwrap();
    let later = beside(server, SignedDuration::from_hours(24 * 100)).await;
    later.rotate_keys().await.unwrap();
    identity.close().await;
    later.close().await;
    let mut stale = vec![("an ended session", session), ("a disabled user", user), ("a key that is gone", old_key)];
    let ended = ["a deleted account", "an account made anew", "an account's, all revoked", "one, revoked"];
    stale.extend(ended.into_iter().zip(tokens));
    stale
}

#[tokio::test]
async fn forged_and_stale_tokens_are_refused_as_no_token_is_and_nobody_is_called() {
    let server = Server::start().await;
    let trap = Trap::set();
    let uid = make(&server, ACCOUNTS, "pipeline").await;
    let forge = Forge::of(&server, &uid).await;
    let good = [forge.good(), forge.of_account("jti", json!("j2"))];
    for token in &good {
        let (code, _, body) = told(&server, Some(&format!("Bearer {token}"))).await;
        assert_ne!(code, 401, "the forger's tools work: {body}");
    }
    let no_token = told(&server, None).await;
    assert_eq!(no_token.0, 401);

    let mut table = forge.headers(&trap.url);
    table.extend(forge.claims(&trap.url));
    table.extend(forge.forms());
    let mut refused = 0;
    for (name, token) in &table {
        let answer = told(&server, Some(&format!("Bearer {token}"))).await;
        assert_eq!(answer, no_token, "{name}");
        refused += 1;
    }
    let in_query = server.url(&format!("/api/v1/namespaces?access_token={}", good[0]));
    assert_eq!(server.http.get(in_query).send().await.unwrap().status(), 401, "a token has no place in a URL");
    for scheme in ["Basic", "DPoP", ""] {
        let answer = told(&server, Some(format!("{scheme} {}", good[0]).trim())).await;
        assert_eq!(answer, no_token, "{scheme}");
    }
    for (name, token) in stale(&server).await {
        until_refused(&server, &token).await;
        assert_eq!(told(&server, Some(&format!("Bearer {token}"))).await, no_token, "{name}");
        refused += 1;
    }
    println!("{refused} kinds of forged and stale tokens were refused");
    assert!(refused >= 40);
    assert_eq!(trap.came.load(Ordering::SeqCst), 0, "somebody was called");
}
