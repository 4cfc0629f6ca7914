//! What a stranger with a token may do: guess, rate, opt out.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures::{StreamExt, stream};
use reqwest::Response;
use serde_json::{Value, json};

use crate::{client::text, proofs::Shop, tenants::at};

async fn say(shop: &Shop, token: &str, what: &str, body: &Value) -> (u16, Value) {
    let url = shop.server.url(&format!("/v1/track/{token}/{what}"));
    answered(shop.server.http.post(url).json(body).send().await.unwrap()).await
}

async fn answered(answer: Response) -> (u16, Value) {
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_guesses_none_hits_and_few_are_looked_at_while_the_page_goes_on() {
    // The general limit of an address off: what holds guesses up is what this is about.
    let shop = Shop::open_with(&["--rate-limit-address", "0"]).await;
    let token = shop.link_token("sams").await;
    assert_eq!(shop.seen(&token).await["phase"], "Assigned");
    let guess = |number: u32| {
        let mut random = [0; 18];
        getrandom::fill(&mut random).unwrap();
        let guess = BASE64_URL_SAFE_NO_PAD.encode(random);
        // A third of them are one letter off.
        if number.is_multiple_of(3) { format!("{}{}", &token[..23], &guess[..1]) } else { guess }
    };
    let (shop, token) = (&shop, &token);
    let began = std::time::Instant::now();
    let guesses = (0..10_000_u32).map(|number| {
        let guess = guess(number);
        async move {
            if number.is_multiple_of(500) {
                assert_eq!(shop.seen(token).await["phase"], "Assigned", "whoever has it goes on");
            }
            let path = match number % 4 {
                0 => format!("/t/{guess}"),
                1 => format!("/t/{guess}/live"),
                _ => format!("/v1/track/{guess}"),
            };
            let answer = shop.stranger(&path).await;
            (answer.status().as_u16(), answer.headers().contains_key("retry-after"), guess == **token)
        }
    });
    let answers: Vec<_> = stream::iter(guesses).buffer_unordered(16).collect().await;
    let mut codes = BTreeMap::new();
    for (code, retry_after, same) in answers {
        if !same {
            assert_eq!(code == 429, retry_after, "who is held up is told for how long");
            *codes.entry(code).or_insert(0_u64) += 1;
        }
    }
    let looked_at = codes.get(&404).copied().unwrap_or(0);
    let allowed = 20 + began.elapsed().as_secs() / 5 + 16;
    println!("10,000 guesses: {codes:?} in {:?}", began.elapsed());
    assert!(!codes.contains_key(&200), "{codes:?}");
    assert!((15..=allowed).contains(&looked_at), "{codes:?}, of which {allowed} may be looked at");
    assert!(codes[&429] > 9_000, "{codes:?}");
    let metrics = shop.server.metrics().await;
    assert!(metrics.contains("dropmate_track_misses_total{outcome=\"throttled\"}"), "{metrics}");
}

#[tokio::test]
async fn a_delivery_is_rated_once_and_only_when_it_is_there() {
    let shop = Shop::open().await;
    let token = shop.link_token("sams").await;
    let five = json!({"stars": 5, "comment": " Quick!\r\nThanks. "});
    assert_eq!(say(&shop, &token, "rating", &five).await.0, 409, "not yet");
    shop.bring("sams", "sam").await;
    for (wrong, field) in [
        (json!({"stars": 0}), "stars"),
        (json!({"stars": 6}), "stars"),
        (json!({"stars": "5"}), "rating"),
        (json!({"comment": "good"}), "stars"),
        (json!({"stars": 5, "comment": "x".repeat(2_001)}), "comment"),
        (json!({"stars": 5, "comment": "a\u{1b}[2J"}), "comment"),
        (json!({"stars": 5, "tip": 3}), "tip"),
    ] {
        let (code, body) = say(&shop, &token, "rating", &wrong).await;
        assert_eq!(code, 422, "{wrong}: {body}");
        assert!(text(&body["detail"]).contains(field), "{wrong}: {body}");
    }
    let (code, body) = say(&shop, &token, "rating", &five).await;
    assert_eq!((code, &body["comment"]), (201, &"Quick!\nThanks.".into()));
    assert_eq!(say(&shop, &token, "rating", &json!({"stars": 1})).await.0, 409, "again");
    let ratings = shop.of_acme("manager").get("/v1/namespaces/acme/ratings").await.ok();
    let rating = &ratings["items"][0];
    assert_eq!((&rating["order"], &rating["driver"], &rating["stars"]), (&"sams".into(), &"sam".into(), &5.into()));
    assert_eq!(ratings["items"].as_array().unwrap().len(), 1);
    let kims = shop.of_acme("manager").get("/v1/namespaces/acme/ratings?driver=kim").await.ok();
    assert_eq!(kims["items"], json!([]));
    for name in ["dispatcher", "viewer", "sam"] {
        assert_eq!(shop.of_acme(name).get("/v1/namespaces/acme/ratings").await.code, 403, "{name}");
    }
    assert_eq!(shop.of_acme("manager").get("/v1/namespaces/acme/ratings?limit=0").await.code, 422);
}

#[tokio::test]
async fn the_recipient_says_whether_they_are_written_to() {
    let shop = Shop::open().await;
    let token = shop.link_token("sams").await;
    let order = async || shop.operator.get(&at("acme", "orders/sams")).await.ok();
    let before = order().await;
    assert_eq!(say(&shop, &token, "notifications", &json!({"enabled": false})).await, (200, json!({"enabled": false})));
    let after = order().await;
    assert_eq!(after["spec"]["recipient"]["notify"], false);
    assert_eq!(after["metadata"]["generation"].as_i64(), before["metadata"]["generation"].as_i64().map(|n| n + 1));
    assert_eq!(after["status"]["assignment"], before["status"]["assignment"]);
    let owners = after["metadata"]["managedFields"].as_array().unwrap();
    assert!(owners.iter().any(|owner| owner["manager"] == "system:recipient"), "{owners:?}");
    say(&shop, &token, "notifications", &json!({"enabled": false})).await;
    assert_eq!(order().await["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"], "nothing to write");
    say(&shop, &token, "notifications", &json!({"enabled": true})).await;
    assert_eq!(order().await["spec"]["recipient"]["notify"], true);
    assert_eq!(say(&shop, &token, "notifications", &json!({"enabled": "no"})).await.0, 422);
    assert_eq!(say(&shop, "AAAAAAAAAAAAAAAAAAAAAAAA", "notifications", &json!({"enabled": true})).await.0, 404);
}
