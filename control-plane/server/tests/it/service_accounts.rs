//! Service accounts and their tokens, over HTTPS.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::Server;

pub(crate) const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1";

/// Makes a service account; its uid.
pub(crate) async fn make(server: &Server, path: &str, name: &str) -> String {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    let made = server.call("operator", Method::POST, path).json(&account).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.unwrap();
    made["metadata"]["uid"].as_str().unwrap().to_owned()
}

async fn request(server: &Server, name: &str, spec: Value) -> (u16, Value) {
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let path = format!("{ACCOUNTS}/{name}/token");
    let answer = server.call("operator", Method::POST, &path).json(&request).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A token of a service account.
pub(crate) async fn token_of(server: &Server, path: &str, name: &str) -> String {
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}});
    let path = format!("{path}/{name}/token");
    let answer = server.call("operator", Method::POST, &path).json(&request).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let answer: Value = answer.json().await.unwrap();
    answer["status"]["token"].as_str().unwrap().to_owned()
}

async fn review(server: &Server, token: &str, kind: &str, body: &Value) -> (u16, Value) {
    let path = format!("{REVIEWS}/{}s", kind.to_lowercase());
    let answer = server.http.post(server.url(&path)).bearer_auth(token).json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_token_lasts_as_long_as_is_asked_within_bounds() {
    let server = Server::start().await;
    make(&server, ACCOUNTS, "pipeline").await;
    for (asked, lasts) in [
        (json!({"audiences": []}), 3_600),
        (json!({"audiences": ["dropmate"], "expirationSeconds": 600}), 600),
        (json!({"expirationSeconds": 1_000_000_000}), 90 * 24 * 3_600),
    ] {
        let (code, answer) = request(&server, "pipeline", asked).await;
        assert_eq!(code, 201, "{answer}");
        assert_eq!(answer["spec"]["audiences"], json!(["dropmate"]));
        assert_eq!(answer["spec"]["expirationSeconds"], lasts);
        let at = |pointer: &str| answer.pointer(pointer).unwrap().as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let left = at("/status/expirationTimestamp").duration_since(at("/metadata/creationTimestamp")).as_secs();
        assert!((left - lasts).abs() <= 2, "{left} of {lasts}");
    }
}

#[tokio::test]
async fn what_no_token_can_be_made_of_is_refused_with_the_field() {
    let server = Server::start().await;
    make(&server, ACCOUNTS, "pipeline").await;
    let bound = json!({"boundObjectRef": {"kind": "Pod", "name": "p"}});
    for (spec, field) in [
        (json!({"audiences": ["vault"]}), "spec.audiences[0]"),
        (json!({"expirationSeconds": 599}), "spec.expirationSeconds"),
        (bound, "spec.boundObjectRef"),
    ] {
        let (code, answer) = request(&server, "pipeline", spec).await;
        assert_eq!((code, answer["details"]["causes"][0]["field"].as_str()), (422, Some(field)), "{answer}");
        assert_eq!(answer["details"]["kind"], "TokenRequest");
    }
    let (code, answer) = request(&server, "nobody", json!({})).await;
    assert_eq!((code, answer["message"].as_str()), (404, Some("serviceaccounts \"nobody\" not found")));
    assert_eq!(request(&server, "pipeline", json!({"expirationSeconds": "long"})).await.0, 400);
    let other = json!({"apiVersion": "v1", "kind": "ServiceAccount"});
    let path = format!("{ACCOUNTS}/pipeline/token");
    let answer = server.call("operator", Method::POST, &path).json(&other).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(server.call("operator", Method::GET, &path).send().await.unwrap().status(), 405);
    let order = "/apis/dropmate.dev/v1/namespaces/default/orders/o/token";
    assert_eq!(server.call("operator", Method::POST, order).json(&json!({})).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn callers_hear_who_they_are_and_the_operator_whose_a_token_is() {
    let server = Server::start().await;
    let uid = make(&server, ACCOUNTS, "pipeline").await;
    let token = token_of(&server, ACCOUNTS, "pipeline").await;
    let user = json!("system:serviceaccount:default:pipeline");
    let (code, own) = review(&server, &token, "SelfSubjectReview", &json!({"kind": "SelfSubjectReview"})).await;
    assert_eq!(code, 201, "{own}");
    let info = &own["status"]["userInfo"];
    assert_eq!((&info["username"], &info["uid"]), (&user, &json!(uid)));
    let groups = ["system:authenticated", "system:serviceaccounts", "system:serviceaccounts:default"];
    assert_eq!(info["groups"], json!(groups));

    let asked = json!({"spec": {"token": token}});
    let (code, _) = review(&server, &token, "TokenReview", &asked).await;
    assert_eq!(code, 403, "only the operator may");
    let operator = server.token("operator");
    let (code, told) = review(&server, &operator, "TokenReview", &asked).await;
    assert_eq!(
        (code, &told["status"]["authenticated"], &told["status"]["user"]["username"]),
        (201, &json!(true), &user)
    );
    for wrong in ["nonsense", "a.b.c", &format!("{token}x")] {
        let (code, told) = review(&server, &operator, "TokenReview", &json!({"spec": {"token": wrong}})).await;
        assert_eq!((code, &told["status"]["authenticated"]), (201, &json!(false)), "{wrong}");
    }
    let elsewhere = json!({"spec": {"token": token, "audiences": ["vault"]}});
    assert_eq!(review(&server, &operator, "TokenReview", &elsewhere).await.1["status"]["authenticated"], false);
    assert_eq!(review(&server, &operator, "TokenReview", &json!({"spec": {}})).await.0, 400);
}

#[tokio::test]
async fn the_public_keys_are_anybodys_and_a_new_one_is_made_by_the_operator_only() {
    let server = Server::start().await;
    make(&server, ACCOUNTS, "pipeline").await;
    let token = token_of(&server, ACCOUNTS, "pipeline").await;
    let public = async |path: &str| {
        let answer = server.http.get(server.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["cache-control"], "public, max-age=60");
        answer.json::<Value>().await.unwrap()
    };
    let configuration = public("/.well-known/openid-configuration").await;
    let issuer = server.plane.url().unwrap();
    assert_eq!(configuration["issuer"], issuer);
    assert_eq!(configuration["jwks_uri"], format!("{issuer}/.well-known/jwks.json"));
    let keys = public("/.well-known/jwks.json").await;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    assert!(!keys.to_string().contains("\"d\""), "nothing private");
    // As another program checks it.
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(keys).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(&set.keys[0]).unwrap();
    let mut wanted = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    wanted.set_audience(&["dropmate"]);
    wanted.set_issuer(&[issuer]);
    let claims = jsonwebtoken::decode::<Value>(&token, &key, &wanted).unwrap().claims;
    assert_eq!(claims["sub"], "system:serviceaccount:default:pipeline");

    let rotate = |token: String| server.http.post(server.url("/v1/keys/rotate")).bearer_auth(token).send();
    let refused = rotate(token).await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), refused.headers()["content-type"].to_str().unwrap()),
        (403, "application/problem+json")
    );
    let rotated: Value = rotate(server.token("operator")).await.unwrap().json().await.unwrap();
    let keys = public("/.well-known/jwks.json").await;
    let kids: Vec<_> = keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
    assert!(kids.len() == 2 && kids.contains(&rotated["kid"]), "{kids:?} {rotated}");
}
