//! The built-in words, letter by letter, and what all of them keep to.

use std::fmt::Write;

use jiff::{Timestamp, tz::TimeZone};
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::notification::{
    ShopContact,
    facts::Told,
    known, rules, sample,
    template::{fill, segments},
};

const LINK: &str = "https://dropmate.example.com/t/AbCdEfGhIjKlMnOpQrStUv";

fn at() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

fn facts(audience: Audience, event: &str, locale: &str) -> Facts {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let shop = ShopContact {
        name: Some("Corner Shop".to_owned()),
        phone: Some("+4930123456".to_owned()),
        email: Some("shop@example.org".to_owned()),
        locale: None,
    };
    let order = sample::order(event, at());
    Facts::of_order(&Told {
        event,
        at: at(),
        namespace: "acme",
        order: &order,
        driver: Some(sample::DRIVER),
        shop: &shop,
        audience,
        locale,
        zone: &zone,
    })
}

/// Everything that recipients get, in one language.
#[rstest]
#[case("en")]
#[case("de")]
#[case("fr")]
#[case("es")]
fn as_recipients_read_it(#[case] locale: &str) {
    let mut all = String::new();
    for (name, event) in EVENTS {
        let facts = facts(Audience::Recipient, event, locale);
        for effective in rules::effective(&[]).iter().filter(|one| one.rule.name.starts_with(&format!("{name}-"))) {
            let made = template::render(effective, effective.rule.channel, locale, &facts).unwrap();
            assert_eq!(made.warning, None);
            let filled = fill(&made.text, Some(LINK), Some("123456"));
            write!(all, "=== {} ===\n{}\n{filled}\n\n", effective.rule.name, made.subject.unwrap_or_default()).unwrap();
        }
    }
    insta::assert_snapshot!(format!("recipient_{locale}"), all);
}

#[rstest]
#[case("en")]
#[case("de")]
#[case("fr")]
#[case("es")]
fn as_accounts_read_it(#[case] locale: &str) {
    let mut all = String::new();
    for kind in ["invitation", "reset", "verification"] {
        let made = template::mail(&Mail {
            kind,
            namespace: Some("acme"),
            role: Some("dispatcher"),
            by: Some("ada@example.com"),
            at: at(),
            expires_at: "2026-05-02T12:00:00Z".parse().unwrap(),
            locale,
            zone: &TimeZone::UTC,
        })
        .unwrap();
        assert!(made.wants_link && !made.wants_pin);
        let filled = fill(&made.text, Some(LINK), None);
        write!(all, "=== {kind} ===\n{}\n{filled}\n\n", made.subject.unwrap_or_default()).unwrap();
    }
    insta::assert_snapshot!(format!("account_{locale}"), all);
}

#[test]
fn the_html_is_whole_and_needs_nothing_from_outside() {
    let facts = facts(Audience::Recipient, "order.out_for_delivery", "en");
    let made = message(Audience::Recipient, Channel::Email, "en", &facts).unwrap();
    let html = fill(&made.html.unwrap(), Some(LINK), Some("123456"));
    for outside in ["src=", "@import", "url(", "<script", "<link"] {
        assert!(!html.contains(outside), "{outside}");
    }
    insta::assert_snapshot!("out_for_delivery_html", html);
}

#[test]
fn the_staff_is_told_of_every_event_in_every_language() {
    for locale in LANGUAGES {
        for event in known::of_rules() {
            let facts = facts(Audience::Manager, event, locale);
            assert_ne!(facts.title, event, "{locale} has no title for {event}");
            let mail = message(Audience::Manager, Channel::Email, locale, &facts).unwrap();
            assert!(mail.subject.unwrap().contains(&facts.title));
            assert!(mail.text.contains("12 Mill St") && mail.text.contains("Ada Example"), "{}", mail.text);
            let sms = message(Audience::Driver, Channel::Sms, locale, &facts).unwrap();
            assert!(sms.text.contains(sample::NAME), "{}", sms.text);
        }
    }
}

#[test]
fn an_sms_is_one_message_in_the_small_alphabet_and_two_with_a_long_name() {
    for locale in LANGUAGES {
        for (_, event) in EVENTS {
            let made = |facts: &Facts| {
                let effective = rules::effective(&[])
                    .into_iter()
                    .find(|one| one.rule.channel == Channel::Sms && one.rule.events[0] == event);
                let text = template::render(&effective.unwrap(), Channel::Sms, locale, facts).unwrap().text;
                fill(&text, Some(LINK), Some("123456"))
            };
            let facts = facts(Audience::Recipient, event, locale);
            let text = made(&facts);
            assert!(template::is_small(&text), "{locale} {event}: {text}");
            let expected = if event == "order.out_for_delivery" || event == "order.arriving" { 2 } else { 1 };
            assert!(segments(&text) <= expected, "{locale} {event}, {}: {text}", text.len());
            let mut long = facts.clone();
            long.shop.name = "x".repeat(256);
            long.driver.name = "y".repeat(256);
            assert!(segments(&made(&long)) <= 2, "{locale} {event}");
        }
    }
}

#[test]
fn a_bare_order_is_told_without_gaps() {
    let order =
        json!({"metadata": {"name": "o-1"}, "spec": {"recipient": {"name": "Ada"}, "dropoff": {"address": "Quay"}}});
    for locale in LANGUAGES {
        for (_, event) in EVENTS {
            let told = Told {
                event,
                at: at(),
                namespace: "acme",
                order: &order,
                driver: None,
                shop: &ShopContact::default(),
                audience: Audience::Recipient,
                locale,
                zone: &TimeZone::UTC,
            };
            let facts = Facts::of_order(&told);
            for channel in [Channel::Email, Channel::Sms] {
                let made = message(Audience::Recipient, channel, locale, &facts).unwrap();
                for gap in ["  ", "()", " .", ": \n", "none", "None"] {
                    assert!(!made.text.contains(gap), "{locale} {event} {channel:?}: {gap:?} in {}", made.text);
                }
            }
        }
    }
}

#[test]
fn rules_and_words_are_of_the_same_events() {
    for rule in rules() {
        assert!(rule.events.iter().all(|event| tells(Audience::Recipient, event)));
    }
    assert!(!tells(Audience::Recipient, "order.picked_up") && tells(Audience::Shop, "order.picked_up"));
}
