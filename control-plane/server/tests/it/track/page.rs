//! The page: in the recipient's language, safe whatever stands in an order, and of use without a script.

use std::{process::Stdio, time::Duration};

use reqwest::{Response, redirect::Policy};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

use crate::{
    client::{order, text},
    proofs::Shop,
    server::trusting,
    tenants::at,
};

async fn page(shop: &Shop, token: &str) -> String {
    let answer = shop.stranger(&format!("/t/{token}")).await;
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

async fn send(shop: &Shop, path: &str, form: &str) -> Response {
    let http = trusting(shop.server.dir.path()).redirect(Policy::none()).build().unwrap();
    let request = http.post(shop.server.url(path)).header("content-type", "application/x-www-form-urlencoded");
    request.body(form.to_owned()).send().await.unwrap()
}

/// An order with a PIN, for somebody who speaks that language.
async fn ordered(shop: &Shop, name: &str, recipient: &Value) {
    shop.bound(name, "sam", &json!({"dropoff": ["pin"]})).await;
    let patch = json!({"spec": {"recipient": recipient}});
    shop.operator.merge(&at("acme", &format!("orders/{name}")), &patch).await.ok();
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere_and_is_kept_by_nobody() {
    let shop = Shop::open().await;
    let token = shop.link_token("sams").await;
    let answer = shop.stranger(&format!("/t/{token}")).await;
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("referrer-policy"), "no-referrer");
    assert_eq!(header("x-robots-tag"), "noindex, nofollow");
    assert_eq!(header("x-content-type-options"), "nosniff");
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    let page = answer.text().await.unwrap();
    for (attribute, page) in ["src=\"", "href=\"", "action=\""].map(|attribute| (attribute, &page)) {
        for target in page.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(target.starts_with("/t/") || target == "data:,", "{target}");
        }
    }
    assert!(!page.contains(" style=") && !page.contains(" onclick="), "the policy would not let it");
    assert!(page.contains("<noscript><meta http-equiv=\"refresh\""), "{page}");
    for file in ["/t/track.css", "/t/track.js"] {
        let target = page.split(file).nth(1).unwrap().split('"').next().unwrap();
        let answer = shop.stranger(&format!("{file}{target}")).await;
        assert_eq!(answer.status(), 200, "{file}");
        assert!(answer.headers()["cache-control"].to_str().unwrap().contains("immutable"));
        assert!(answer.text().await.unwrap().len() < 8 * 1024, "{file} costs a cheap phone little");
    }
    assert!(page.len() < 8 * 1024, "{}", page.len());
}

#[tokio::test]
async fn it_speaks_the_recipient_s_language_in_their_zone_and_shows_the_pin() {
    let shop = Shop::open().await;
    ordered(&shop, "o1", &json!({"locale": "de-AT", "timeZone": "Asia/Tokyo", "email": "ada@private.example"})).await;
    let token = shop.link_token("o1").await;
    shop.tell("o1", "pickUp", "sam", &Value::Null).await.ok();
    let page = page(&shop, &token).await;
    for told in ["<html lang=\"de\">", "Ihre Bestellung ist unterwegs", "Ihre PIN", "Keine Nachrichten mehr senden"] {
        assert!(page.contains(told), "{told}: {page}");
    }
    let order = shop.operator.get(&at("acme", "orders/o1")).await.ok();
    let placed: jiff::Timestamp = text(&order["status"]["placedAt"]).parse().unwrap();
    let there = placed.in_tz("Asia/Tokyo").unwrap().strftime("%H:%M").to_string();
    assert!(page.contains(&there), "{there}: {page}");
    let pin = shop.of_acme("manager").get("/v1/namespaces/acme/orders/o1/pin").await.ok();
    let pin = text(&pin["pin"]);
    assert!(page.contains(&format!("{} {}", &pin[..3], &pin[3..])), "{page}");
    assert!(!shop.seen(&token).await.to_string().contains(pin), "on the page only");
    for private in ["ada@private.example", "Queens Quay", "Mill St", ">o1<"] {
        assert!(!page.contains(private), "{private}: {page}");
    }
    let delivery = json!({"proof": [{"type": "pin", "reference": pin}]});
    shop.tell("o1", "deliver", "sam", &delivery).await.ok();
    let over = self::page(&shop, &token).await;
    assert!(over.contains("Zugestellt") && !over.contains("Ihre PIN") && !over.contains("track.js"), "{over}");
    let asked = shop.server.http.get(shop.server.url(&format!("/t/{}", "A".repeat(24))));
    let gone = asked.header("accept-language", "fr-CA").send().await.unwrap();
    assert_eq!(gone.status(), 404);
    assert!(gone.text().await.unwrap().contains("Ce lien ne mène nulle part"));
}

#[tokio::test]
async fn what_stands_in_an_order_is_text_and_nothing_else() {
    let shop = Shop::open().await;
    let hostile = "<script>alert(1)</script>\"'&{{7*7}}";
    let mut driver = shop.operator.get(&at("acme", "drivers/sam")).await.ok();
    driver["spec"]["displayName"] = format!("{}\u{a0}x", hostile.replace(' ', "")).into();
    shop.operator.put(&at("acme", "drivers/sam"), &driver).await.ok();
    let mut order = order("evil");
    order["spec"]["recipient"] = json!({"name": hostile, "locale": "en\"><script>"});
    let created = shop.operator.post(&at("acme", "orders"), &order).await;
    if created.code.is_success() {
        let token = shop.link_token("evil").await;
        assert!(!page(&shop, &token).await.contains("<script>"));
    }
    shop.plan("sam", &[("sams", "dropoff")]).await;
    shop.tell("sams", "pickUp", "sam", &Value::Null).await.ok();
    shop.drives("sam", 43.65);
    let token = shop.link_token("sams").await;
    let page = page(&shop, &token).await;
    assert!(page.contains("&#60;script&#62;alert(1)"), "the driver is called so: {page}");
    assert!(!page.contains("<script>alert") && !page.contains("49 brings"), "{page}");
}

#[tokio::test]
async fn without_a_script_one_rates_and_opts_out_all_the_same() {
    let shop = Shop::open().await;
    ordered(&shop, "o1", &json!({"phone": "+14165550100"})).await;
    let token = shop.link_token("o1").await;
    let out = send(&shop, &format!("/t/{token}/notifications"), "enabled=false").await;
    assert_eq!((out.status().as_u16(), out.headers()["location"].to_str().unwrap()), (303, &*format!("/t/{token}")));
    let order = shop.operator.get(&at("acme", "orders/o1")).await.ok();
    assert_eq!(order["spec"]["recipient"]["notify"], false);
    assert!(page(&shop, &token).await.contains("Send me messages again"));
    let notify = async || shop.operator.get(&at("acme", "orders/o1")).await.ok()["spec"]["recipient"]["notify"].clone();
    send(&shop, &format!("/t/{token}/notifications"), "enabled=true").await;
    assert_eq!(notify().await, true);
    assert_eq!(send(&shop, &format!("/t/{token}/notifications"), "").await.status(), 303);
    assert_eq!(notify().await, true, "a form that says nothing changes nothing");
    // What a mail program sends for the button beside the sender's name (RFC 8058).
    let one_click = send(&shop, &format!("/t/{token}/notifications"), "List-Unsubscribe=One-Click").await;
    assert_eq!((one_click.status().as_u16(), notify().await), (200, false.into()), "and follows no redirect");
    let pin = shop.of_acme("manager").get("/v1/namespaces/acme/orders/o1/pin").await.ok();
    shop.tell("o1", "pickUp", "sam", &Value::Null).await.ok();
    shop.tell("o1", "deliver", "sam", &json!({"proof": [{"type": "pin", "reference": pin["pin"]}]})).await.ok();
    assert!(page(&shop, &token).await.contains("5 stars"));
    let rating = format!("/t/{token}/rating");
    let none = send(&shop, &rating, "comment=good").await;
    assert_eq!(none.status(), 422);
    assert!(none.text().await.unwrap().contains("Choose one to five stars."));
    let given = send(&shop, &rating, "stars=4&comment=Schnell+%26+freundlich%21").await;
    assert_eq!(given.status(), 303);
    let again = send(&shop, &rating, "stars=1&comment=").await;
    assert_eq!(again.status(), 303, "the page shows that there is one");
    let rated = page(&shop, &token).await;
    assert!(rated.contains("Thank you for your rating.") && !rated.contains("<form"), "{rated}");
    let ratings = shop.of_acme("manager").get("/v1/namespaces/acme/ratings").await.ok();
    assert_eq!(
        (&ratings["items"][0]["stars"], &ratings["items"][0]["comment"]),
        (&4.into(), &"Schnell & freundlich!".into())
    );
    let json = shop.server.http.post(shop.server.url(&rating)).json(&json!({"stars": 5})).send().await.unwrap();
    assert_eq!(json.status(), 415);
}

/// Every state of the page in a headless Chromium: checked by axe-core against WCAG 2.2 AA in both colour schemes, and looked at
/// live: that the dot moves, that news is read out, that polling takes over when there is no stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_finds_the_page_accessible_and_live() {
    let shop = Shop::open_with(&["--rate-limit-address", "0"]).await;
    ordered(&shop, "o1", &json!({"email": "ada@example.com"})).await;
    shop.only().await;
    shop.plan("sam", &[("o1", "pickup"), ("o1", "dropoff")]).await;
    let token = shop.link_token("o1").await;
    let mut browser = Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/track/browse.js"))
        .env("PAGE", shop.server.url(&format!("/t/{token}")))
        .env("AXE", concat!(env!("CARGO_TARGET_TMPDIR"), "/../tools/axe.min.js"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .expect("node; .ci/prepare installs it");
    let (mut say, mut hear) = (browser.stdin.take().unwrap(), BufReader::new(browser.stdout.take().unwrap()).lines());
    // The script says what it waits for; what it asks for happens here.
    let mut checked = 0;
    loop {
        let line = tokio::time::timeout(Duration::from_mins(1), hear.next_line()).await;
        let Some(line) = line.expect("the browser goes on").unwrap() else { break };
        println!("{line}");
        match line.as_str() {
            "pick up" => {
                shop.tell("o1", "pickUp", "sam", &Value::Null).await.ok();
            }
            "drive near" => shop.drives("sam", 43.642),
            "drive far" => shop.drives("sam", 43.70),
            "arrive" => {
                shop.tell("o1", "arrive", "sam", &Value::Null).await.ok();
            }
            "deliver" => {
                let pin = shop.of_acme("manager").get("/v1/namespaces/acme/orders/o1/pin").await.ok();
                let proof = json!({"proof": [{"type": "pin", "reference": pin["pin"]}]});
                shop.tell("o1", "deliver", "sam", &proof).await.ok();
            }
            "revoke" => {
                shop.of_acme("manager").delete("/v1/namespaces/acme/orders/o1/tracking-links", &json!({})).await.ok();
            }
            checked_page if checked_page.starts_with("checked ") => checked += 1,
            _ => continue,
        }
        say.write_all(b"done\n").await.unwrap();
    }
    let ended = browser.wait().await.unwrap();
    assert!(ended.success(), "{ended}");
    assert!(checked >= 10, "{checked} states were checked");
    let ratings = shop.of_acme("manager").get("/v1/namespaces/acme/ratings").await.ok();
    assert_eq!(ratings["items"][0]["stars"], 5, "the form of the page works: {ratings}");
}
