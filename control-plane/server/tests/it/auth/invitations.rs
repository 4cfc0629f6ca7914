use reqwest::Method;
use serde_json::{Value, json};

use super::{ADA, GOOD, OTHER, Place, login, on_both, operate, post, read, refresh, register};
use crate::server::Server;

on_both!(
    an_invitation_makes_a_user_whose_member_takes_effect_once,
    whoever_registers_an_address_first_takes_over_nothing,
    a_link_for_a_member_that_was_made_anew_is_good_for_nothing,
    a_manager_invites_and_nobody_below,
);

const MEMBERS: &str = "/apis/dropmate.dev/v1/namespaces/acme/members";

async fn create(at: &Server, path: &str, body: &Value) {
    let created = at.call("operator", Method::POST, path).json(body).send().await.unwrap();
    assert_eq!(created.status(), 201, "{}", created.text().await.unwrap());
}

/// A Member `name` of `acme`, which is made if need be.
async fn member(at: &Server, name: &str, user: &str, role: &str) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "acme"}});
    at.call("operator", Method::POST, "/api/v1/namespaces").json(&namespace).send().await.unwrap();
    let spec = json!({"user": user, "role": role});
    let body = json!({"apiVersion": "dropmate.dev/v1", "kind": "Member", "metadata": {"name": name}, "spec": spec});
    create(at, MEMBERS, &body).await;
}

async fn invite(at: &Server, name: &str) -> String {
    let (code, link) = operate(at, Method::POST, &format!("/v1/namespaces/acme/members/{name}/invitation")).await;
    assert_eq!(code, 201, "{link}");
    let token = link["token"].as_str().unwrap().to_owned();
    assert!(link["url"].as_str().unwrap().ends_with(&format!("/invitations/{token}")));
    token
}

async fn accept(at: &Server, token: &str, password: &str) -> (u16, Value) {
    post(at, "/v1/auth/invitations/accept", &json!({"token": token, "password": password, "name": "Ada"})).await
}

async fn memberships(at: &Server, grant: &Value) -> Value {
    let token = grant["accessToken"].as_str().unwrap();
    read(at.http.get(at.url("/v1/me")).bearer_auth(token).send().await.unwrap()).await.1["memberships"].take()
}

async fn an_invitation_makes_a_user_whose_member_takes_effect_once(at: Place) {
    member(&at.a, "ada", ADA, "viewer").await;
    let old = invite(&at.a, "ada").await;
    let token = invite(at.b(), "ada").await;
    assert_eq!(accept(&at.a, &old, GOOD).await.0, 410, "a new link takes the place of the one before");
    assert_eq!(accept(&at.a, &token, "short").await.0, 422);
    let (code, grant) = accept(&at.a, &token, GOOD).await;
    assert_eq!(code, 200, "{grant}");
    assert_eq!(memberships(&at.a, &grant).await, json!([{"namespace": "acme", "role": "viewer"}]));
    assert_eq!(accept(at.b(), &token, GOOD).await.0, 410);
    assert_eq!((refresh(at.b(), &grant).await.0, login(at.b(), ADA, GOOD).await.0), (200, 200));
}

async fn whoever_registers_an_address_first_takes_over_nothing(at: Place) {
    register(&at.a, ADA).await;
    member(&at.a, "ada", ADA, "manager").await;
    let stranger = login(&at.a, ADA, GOOD).await.1;
    assert_eq!(memberships(&at.a, &stranger).await, json!([]));
    let token = invite(&at.a, "ada").await;
    assert_eq!(accept(&at.a, &token, OTHER).await.0, 401, "a known user must show their password");
    let link = operate(&at.a, Method::POST, "/v1/users/ada@example.com/reset").await.1;
    let set = json!({"token": link["token"], "password": OTHER});
    assert_eq!(post(&at.a, "/v1/auth/reset", &set).await.0, 200);
    let (code, grant) = accept(&at.a, &token, OTHER).await;
    assert_eq!(code, 200, "{grant}");
    assert_eq!(memberships(&at.a, &grant).await, json!([{"namespace": "acme", "role": "manager"}]));
    assert_eq!(refresh(&at.a, &stranger).await.0, 401);
}

async fn a_link_for_a_member_that_was_made_anew_is_good_for_nothing(at: Place) {
    member(&at.a, "ada", ADA, "viewer").await;
    let token = invite(&at.a, "ada").await;
    assert_eq!(operate(&at.a, Method::DELETE, &format!("{MEMBERS}/ada")).await.0, 200);
    assert_eq!(accept(&at.a, &token, GOOD).await.0, 409);
    member(&at.a, "ada", ADA, "manager").await;
    assert_eq!(accept(&at.a, &token, GOOD).await.0, 409);
    assert_eq!(memberships(&at.a, &login(&at.a, ADA, GOOD).await.1).await, json!([]));
    assert_eq!(accept(&at.a, &invite(&at.a, "ada").await, GOOD).await.0, 200);
}

async fn a_manager_invites_and_nobody_below(at: Place) {
    member(&at.a, "eve", "eve@example.com", "viewer").await;
    for (name, role, code) in [("boss", "manager", 201), ("desk", "dispatcher", 403)] {
        member(&at.a, name, &format!("{name}@example.com"), role).await;
        let grant = accept(&at.a, &invite(&at.a, name).await, GOOD).await.1;
        let path = at.a.url("/v1/namespaces/acme/members/eve/invitation");
        let sent = at.a.http.post(path).bearer_auth(grant["accessToken"].as_str().unwrap()).send().await.unwrap();
        assert_eq!(sent.status(), code, "{role}");
    }
}
