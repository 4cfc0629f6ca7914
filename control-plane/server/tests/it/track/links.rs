//! Links: who makes them, for how long they are good, and what the notification agent is told.

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Late, NOTIFICATION};
use crate::{client::text, proofs::Shop, tenants::at};

const LINKS: &str = "/v1/namespaces/acme/orders/o1/tracking-links";

async fn reveal(shop: &Shop, body: &Value) -> crate::client::Answer {
    shop.operator.as_user(NOTIFICATION).post("/v1/internal/reveal", body).await
}

async fn uid(shop: &Shop, name: &str) -> String {
    let order = shop.operator.get(&at("acme", &format!("orders/{name}"))).await.ok();
    text(&order["metadata"]["uid"]).to_owned()
}

#[tokio::test]
async fn a_link_is_the_managers_to_make_and_to_revoke_and_is_the_same_until_then() {
    let shop = Shop::open().await;
    shop.bound("o1", "sam", &json!({"dropoff": ["pin"]})).await;
    for (name, code) in [("dispatcher", 403), ("viewer", 403), ("sam", 403), ("manager", 201)] {
        assert_eq!(shop.of_acme(name).post(LINKS, &json!({})).await.code, code, "{name}");
        let revoked = if code == 201 { 204 } else { code };
        assert_eq!(shop.of_acme(name).delete(LINKS, &json!({})).await.code, revoked, "{name}");
    }
    let made = shop.of_acme("manager").post(LINKS, &json!({})).await.ok();
    assert!(made["expiresAt"].is_null(), "it goes on: {made}");
    let first = text(&made["url"]).to_owned();
    assert!(first.starts_with(&format!("{}/t/", shop.server.url(""))), "{first}");
    assert_eq!(first.rsplit('/').next().unwrap().len(), 24, "144 bits");
    assert_eq!(first, shop.link("o1").await);
    let asked = json!({"namespace": "acme", "order": "o1", "uid": uid(&shop, "o1").await, "link": true, "pin": true});
    let told = reveal(&shop, &asked).await;
    assert_eq!(told.headers["cache-control"], "no-store");
    let told = told.ok();
    assert_eq!(told["trackingUrl"], first, "every message carries the same one");
    let pin = shop.of_acme("manager").get("/v1/namespaces/acme/orders/o1/pin").await.ok();
    assert_eq!(told["pin"], pin["pin"]);

    let token = first.rsplit('/').next().unwrap();
    assert_eq!(shop.seen(token).await["phase"], "Assigned");
    assert_eq!(shop.of_acme("manager").delete(LINKS, &json!({})).await.code, 204);
    assert_eq!(shop.stranger(&format!("/v1/track/{token}")).await.status(), 404, "at once");
    assert_eq!(shop.of_acme("manager").delete(LINKS, &json!({})).await.code, 204, "again");
    let second = reveal(&shop, &asked).await.ok();
    assert_ne!(second["trackingUrl"], first);
    assert_eq!(second["trackingUrl"], shop.link("o1").await);
    // Over a socket, where requests are noted.
    let made = shop.server.call("operator", Method::POST, LINKS).json(&json!({})).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let audit = shop.server.get("/v1/namespaces/acme/audit").await.text().await.unwrap();
    assert!(audit.contains(r#""subresource":"tracking-links""#), "{audit}");
    assert!(!audit.contains(text(&second["trackingUrl"]).rsplit('/').next().unwrap()), "{audit}");
}

#[tokio::test]
async fn the_agent_is_told_what_it_asks_for_and_nobody_else_is() {
    let shop = Shop::open().await;
    let uid = uid(&shop, "sams").await;
    let asked = json!({"namespace": "acme", "order": "sams", "uid": uid, "link": true, "pin": true});
    let told = reveal(&shop, &asked).await.ok();
    assert!(told.get("pin").is_none(), "nobody asks for one: {told}");
    let told = reveal(&shop, &json!({"namespace": "acme", "order": "sams", "uid": uid, "pin": true})).await.ok();
    assert_eq!(told, json!({"notify": true}));
    for (gone, why) in [
        (json!({"namespace": "acme", "order": "sams", "uid": "another", "link": true}), "another order of the name"),
        (json!({"namespace": "acme", "order": "none", "uid": uid, "link": true}), "no such order"),
        (json!({"namespace": "bolt", "order": "sams", "uid": uid, "link": true}), "no such namespace"),
        (json!({"mail": "mail_0"}), "no such mail"),
    ] {
        assert_eq!(reveal(&shop, &gone).await.code, 404, "{why}");
    }
    for wrong in [json!({}), json!({"namespace": "acme"}), json!({"mail": 7}), json!([])] {
        assert_eq!(reveal(&shop, &wrong).await.code, 422, "{wrong}");
    }
    for name in ["manager", "dispatcher", "viewer", "sam"] {
        assert_eq!(shop.of_acme(name).post("/v1/internal/reveal", &asked).await.code, 403, "{name}");
        assert_eq!(shop.of_acme(name).get("/v1/internal/mails").await.code, 403, "{name}");
    }
    assert_eq!(shop.operator.post("/v1/internal/reveal", &asked).await.code, 403, "not even the operator");
}

#[tokio::test]
async fn two_hours_after_the_end_a_link_is_as_if_it_had_never_been() {
    let late = Late::open(&[]).await;
    let shop = &late.shop;
    shop.bound("o1", "sam", &json!({})).await;
    let (over, revoked) = (shop.link_token("o1").await, shop.link_token("sams").await);
    shop.of_acme("manager").delete("/v1/namespaces/acme/orders/sams/tracking-links", &json!({})).await.ok();
    shop.bring("o1", "sam").await;
    let made = shop.of_acme("manager").post(LINKS, &json!({})).await.ok();
    let order = shop.operator.get(&at("acme", "orders/o1")).await.ok();
    let finished: jiff::Timestamp = text(&order["status"]["finishedAt"]).parse().unwrap();
    let until: jiff::Timestamp = text(&made["expiresAt"]).parse().unwrap();
    assert_eq!(until.duration_since(finished), SignedDuration::from_hours(2));
    late.pass(SignedDuration::from_mins(119));
    assert_eq!(shop.seen(&over).await["phase"], "Delivered");
    late.pass(SignedDuration::from_mins(2));
    let mut answers = Vec::new();
    for token in [over.as_str(), &revoked, "AAAAAAAAAAAAAAAAAAAAAAAA", "short", "%00"] {
        for path in [format!("/v1/track/{token}"), format!("/t/{token}"), format!("/t/{token}/live")] {
            let answer = shop.stranger(&path).await;
            let mut headers = answer.headers().clone();
            for varies in ["date", "x-request-id", "ratelimit", "ratelimit-policy"] {
                headers.remove(varies);
            }
            let kind = path.matches('/').count();
            answers.push((kind, answer.status(), format!("{headers:?}"), answer.text().await.unwrap()));
        }
    }
    answers.sort_by(|a, b| (a.0, &a.3).cmp(&(b.0, &b.3)));
    answers.dedup();
    assert_eq!(answers.len(), 3, "one for each path, whatever is wrong: {answers:#?}");
    assert!(answers.iter().all(|answer| answer.1 == 404));
    assert_eq!(shop.of_acme("manager").post(LINKS, &json!({})).await.code, 409, "no new one either");
    let asked = json!({"namespace": "acme", "order": "o1", "uid": order["metadata"]["uid"], "link": true});
    assert_eq!(reveal(shop, &asked).await.code, 200, "what waited for the morning is sent all the same");
}

#[tokio::test]
async fn mails_about_accounts_are_queued_in_order_and_their_links_work_once() {
    let shop = Shop::open_with(&["--open-registration"]).await;
    let agent = shop.operator.as_user(NOTIFICATION);
    let post = async |path: &str, body: Value| {
        let request = shop.server.http.post(shop.server.url(path)).header("accept-language", "de-AT,en;q=0.5");
        request.json(&body).send().await.unwrap().status().as_u16()
    };
    let password = "nine green vans in the rain";
    let registration = json!({"email": "Ada@example.com", "password": password, "name": "Ada"});
    assert_eq!(post("/v1/auth/register", registration.clone()).await, 202);
    assert_eq!(post("/v1/auth/register", registration).await, 202, "there is one: nobody is told, and nothing is sent");
    assert_eq!(post("/v1/auth/forgot", json!({"email": "nobody@example.com"})).await, 202);
    assert_eq!(post("/v1/auth/forgot", json!({"email": "ada@example.com"})).await, 202);
    assert_eq!(post("/v1/auth/forgot", json!({"email": "ada@example.com"})).await, 202, "one in five minutes");
    shop.operator.post("/v1/namespaces/acme/members/viewer/invitation", &json!({})).await.ok();
    let page = agent.get("/v1/internal/mails?after=0").await.ok();
    let mails = page["mails"].as_array().unwrap().clone();
    let told: Vec<(&str, &str)> = mails.iter().map(|mail| (text(&mail["kind"]), text(&mail["email"]))).collect();
    let ada = "ada@example.com";
    assert_eq!(told, [("verification", ada), ("reset", ada), ("invitation", "viewer@acme.test")]);
    assert_eq!(mails[0]["locale"], "de-AT");
    assert_eq!((&mails[2]["namespace"], &mails[2]["role"]), (&"acme".into(), &"viewer".into()));
    assert!(mails.windows(2).all(|pair| pair[0]["seq"].as_i64() < pair[1]["seq"].as_i64()), "{mails:?}");
    let first = agent.get("/v1/internal/mails?after=0&limit=1").await.ok();
    let rest = agent.get(&format!("/v1/internal/mails?after={}", first["next"])).await.ok();
    assert_eq!(rest["mails"].as_array().unwrap().len(), 2, "read on from a number: {rest}");
    let nothing = agent.get(&format!("/v1/internal/mails?after={}&wait=1", page["next"])).await.ok();
    assert_eq!((&nothing["mails"], &nothing["next"]), (&json!([]), &page["next"]));
    let foreign = agent.get("/v1/internal/mails?after=9999&wait=20").await.ok();
    assert_eq!(foreign["next"], page["next"], "a number that is not from here: said at once");

    let link = async |mail: &Value| reveal(&shop, &json!({"mail": mail["id"]})).await;
    let token = |url: &Value| text(url).rsplit('/').next().unwrap().to_owned();
    let verification = link(&mails[0]).await.ok();
    assert!(text(&verification["link"]).contains("/verifications/"), "{verification}");
    assert_eq!(verification["expiresAt"], mails[0]["expiresAt"]);
    let verify = |password: &str| json!({"token": token(&verification["link"]), "password": password});
    assert_eq!(post("/v1/auth/verify", verify("another one altogether")).await, 401);
    let verify = verify(password);
    assert_eq!(post("/v1/auth/verify", verify.clone()).await, 200);
    assert_eq!(post("/v1/auth/verify", verify).await, 410, "once");
    assert_eq!(link(&mails[0]).await.code, 404, "there is nothing to send any more");
    let users = shop.operator.get("/v1/users").await.ok();
    let ada = users["items"].as_array().unwrap().iter().find(|user| user["email"] == ada).unwrap().clone();
    assert_eq!(ada["verified"], true);
    let second = link(&mails[1]).await.ok();
    let other = "seven quiet trams at dawn";
    assert_eq!(post("/v1/auth/reset", json!({"token": token(&second["link"]), "password": other})).await, 200);
    assert_eq!(post("/v1/auth/login", json!({"email": "ada@example.com", "password": other})).await, 200);
    let invitation = link(&mails[2]).await.ok();
    let accept = json!({"token": token(&invitation["link"]), "password": password, "name": "Vi"});
    assert_eq!(post("/v1/auth/invitations/accept", accept).await, 200);
}

/// The form that a page has, sent as browsers do.
async fn send(shop: &Shop, path: &str, form: &str) -> (u16, String) {
    let request =
        shop.server.http.post(shop.server.url(path)).header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body(form.to_owned()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn the_pages_behind_mailed_links_do_what_they_say_and_only_when_their_form_is_sent() {
    let shop = Shop::open_with(&["--open-registration"]).await;
    let registration = json!({"email": "ada@example.com", "password": "nine green vans in the rain", "name": "Ada"});
    let url = shop.server.url("/v1/auth/register");
    shop.server.http.post(url).json(&registration).send().await.unwrap();
    shop.operator.post("/v1/namespaces/acme/members/viewer/invitation", &json!({})).await.ok();
    shop.operator.post("/v1/users/ada@example.com/reset", &json!({})).await.ok();
    let mails = shop.operator.as_user(NOTIFICATION).get("/v1/internal/mails").await.ok()["mails"].clone();
    let mut paths = Vec::new();
    for mail in mails.as_array().unwrap() {
        let link = reveal(&shop, &json!({"mail": mail["id"]})).await.ok();
        paths.push(text(&link["link"]).strip_prefix(&shop.server.url("")).unwrap().to_owned());
    }
    let [verification, invitation, reset] = &paths[..] else { panic!("{paths:?}") };
    for path in &paths {
        for _ in 0..2 {
            let answer = shop.stranger(path).await;
            assert_eq!(
                (answer.status().as_u16(), answer.headers()["cache-control"].to_str().unwrap()),
                (200, "no-store")
            );
            let page = answer.text().await.unwrap();
            assert!(page.contains("<form method=\"post\">") && !page.contains("<script"), "{page}");
        }
    }
    let (code, page) = send(&shop, verification, "password=another+one+altogether").await;
    assert!(code == 401 && page.contains("password or the code is wrong"), "{code} {page}");
    let right = "password=nine+green+vans+in+the+rain";
    let (code, page) = send(&shop, verification, right).await;
    assert!(code == 200 && page.contains("Your address is confirmed."), "{code} {page}");
    let (code, page) = send(&shop, verification, right).await;
    assert!(code == 410 && page.contains("not good any more"), "{code} {page}");
    let (code, page) = send(&shop, reset, "password=short").await;
    assert!(code == 422 && page.contains("password has 5 characters"), "{code} {page}");
    assert_eq!(send(&shop, reset, "password=seven+quiet+trams+at+dawn").await.0, 200);
    let login = json!({"email": "ada@example.com", "password": "seven quiet trams at dawn"});
    let answer = shop.server.http.post(shop.server.url("/v1/auth/login")).json(&login).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let form = "name=%3Cb%3EVi&password=four+old+trees+by+a+lake&totp=";
    assert_eq!(send(&shop, invitation, form).await.0, 200);
    let member = shop.operator.get(&at("acme", "members/viewer")).await.ok();
    assert!(member["status"]["acceptedAt"].is_string(), "{member}");
    assert_eq!(send(&shop, invitation, form).await.0, 410);
}
