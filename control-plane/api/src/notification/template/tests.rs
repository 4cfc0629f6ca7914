//! What templates can do, and what they cannot.

use serde_json::{Value, json};

use super::*;
use crate::notification::{
    NotificationPolicy, ShopContact,
    facts::Told,
    rules::{self, Effective},
    sample,
};

const LINK: &str = "https://dropmate.example.com/t/AbCdEfGhIjKlMnOpQrStUv";

fn at() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

fn facts_of(order: &Value, event: &str, audience: Audience, locale: &str) -> Facts {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let shop = ShopContact {
        name: Some("Corner Shop".to_owned()),
        phone: Some("+4930123456".to_owned()),
        ..ShopContact::default()
    };
    Facts::of_order(&Told {
        event,
        at: at(),
        namespace: "acme",
        order,
        driver: Some("Sam Rivera"),
        shop: &shop,
        audience,
        locale,
        zone: &zone,
    })
}

fn facts(event: &str, locale: &str) -> Facts {
    facts_of(&sample::order(event, at()), event, Audience::Recipient, locale)
}

fn effective(spec: Value, rule: &str) -> Effective {
    let policy = NotificationPolicy::new("p", serde_json::from_value(spec).unwrap());
    rules::effective(&[policy]).into_iter().find(|effective| effective.rule.name == rule).unwrap()
}

fn own(channel: &str, template: Value) -> Effective {
    let mut template = template;
    template["name"] = json!("t");
    effective(
        json!({"rules": [{"name": "r", "events": ["order.delivered"], "channel": channel, "template": "t"}], "templates": [template]}),
        "r",
    )
}

#[test]
fn facts_are_data_and_never_a_template() {
    let mut order = sample::order("order.delivered", at());
    order["spec"]["recipient"]["name"] = json!("{{ order.name }}{% for a in range(9) %}x{% endfor %}");
    let facts = facts_of(&order, "order.delivered", Audience::Recipient, "en");
    let effective =
        own("Email", json!({"subject": "{{ order.recipient.name }}", "text": "{{ order.recipient.name }}"}));
    let made = render(&effective, Channel::Email, "en", &facts).unwrap();
    assert_eq!(made.text, "{{ order.name }}{% for a in range(9) %}x{% endfor %}");
    assert_eq!(made.subject.as_deref(), Some(made.text.as_str()));
    // And in the built-in words, which go through a second template.
    let [built_in] = rules::effective(&[])
        .into_iter()
        .filter(|one| one.rule.name == "delivered-email")
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let made = render(&built_in, Channel::Email, "en", &facts).unwrap();
    assert!(made.text.starts_with("Hello {{ order.name }}{% for"), "{}", made.text);
}

#[test]
fn nobody_makes_a_header_or_a_mark_by_a_name() {
    let mut order = sample::order("order.delivered", at());
    order["spec"]["recipient"]["name"] =
        json!(format!("Ada\r\nBcc: all@example.org\u{0}\u{2028}\u{202E}{MARK_PIN}{MARK_LINK}\u{E000}\u{10FFFD}"));
    let facts = facts_of(&order, "order.delivered", Audience::Manager, "en");
    let effective =
        own("Email", json!({"subject": "For {{ order.recipient.name }}\nX: y", "text": "{{ order.recipient.name }}"}));
    let made = render(&effective, Channel::Email, "en", &facts).unwrap();
    assert_eq!(made.subject.as_deref(), Some("For Ada Bcc: all@example.org X: y"));
    assert_eq!(made.text, "Ada Bcc: all@example.org");
    assert!(!made.wants_link && !made.wants_pin);
    assert_eq!(fill(&made.text, Some(LINK), Some("123456")), made.text);
}

#[test]
fn html_is_escaped_and_the_link_stands_in_it_unharmed() {
    let mut order = sample::order("order.delivered", at());
    order["spec"]["recipient"]["name"] = json!("<script>\"&'</script>");
    let facts = facts_of(&order, "order.delivered", Audience::Recipient, "en");
    let html = "<a href=\"{{ trackingUrl }}\" title=\"{{ order.recipient.name }}\">{{ pin }}</a>";
    let effective = own("Email", json!({"subject": "s", "text": "{{ trackingUrl }} {{ pin }}", "html": html}));
    let made = render(&effective, Channel::Email, "en", &facts).unwrap();
    assert!(made.wants_link && made.wants_pin);
    let html = made.html.unwrap();
    assert!(html.contains("title=\"&lt;script&gt;&quot;&amp;&#x27;&lt;&#x2f;script&gt;\""), "{html}");
    let filled = fill(&html, Some("https://x.example/t/a?b=1&copy=2"), Some("123456"));
    assert!(
        filled.contains("href=\"https://x.example/t/a?b=1&amp;copy=2\"") && filled.contains(">123456<"),
        "{filled}"
    );
    assert_eq!(
        fill(&made.text, Some("https://x.example/t/a?b=1&copy=2"), Some("123456")),
        "https://x.example/t/a?b=1&copy=2 123456"
    );
    // Whatever a link is made of, it ends no attribute and starts no tag.
    let odd = fill(&html, Some("https://x/\"><script>'\n"), Some("<1>"));
    assert!(odd.contains("href=\"https://x/%22%3E%3Cscript%3E%27%0A\""), "{odd}");
    // Who may not know sees that there is something.
    assert_eq!(fill(&made.text, None, None), "[link] ******");
}

#[test]
fn what_is_stored_has_neither_link_nor_pin_and_the_same_words_every_time() {
    for (_, event) in builtin::EVENTS {
        for effective in rules::effective(&[]).iter().filter(|one| rules::matches(one, event, &json!({}))) {
            let channel = effective.rule.channel;
            let made = render(effective, channel, "en", &facts(event, "en")).unwrap();
            assert!(made.wants_link, "every message to a customer carries the link: {event}");
            assert_eq!(made, render(effective, channel, "en", &facts(event, "en")).unwrap());
            assert!(!fill(&made.text, Some(LINK), Some("123456")).contains(engine::is_mark));
        }
    }
}

#[test]
fn the_pin_is_told_to_the_recipient_alone_and_only_where_one_is_asked_for() {
    let of = |audience: Audience, order: &Value| facts_of(order, "order.out_for_delivery", audience, "en");
    let asks = sample::order("order.out_for_delivery", at());
    let mut asks_not = asks.clone();
    asks_not["spec"]["proof"] = json!({"dropoff": ["photo"]});
    assert_eq!(of(Audience::Recipient, &asks).pin, MARK_PIN);
    assert_eq!(of(Audience::Recipient, &asks_not).pin, "");
    for audience in [Audience::Driver, Audience::Manager, Audience::Shop] {
        let facts = of(audience, &asks);
        assert_eq!((facts.pin.as_str(), facts.tracking_url.as_str()), ("", ""), "{audience:?}");
    }
}

#[test]
fn the_body_of_a_request_is_json_whatever_the_facts_are() {
    let mut order = sample::order("order.delivered", at());
    order["spec"]["recipient"]["name"] = json!("Ada \"\\ </script> \u{2028}");
    let mut facts = facts_of(&order, "order.delivered", Audience::Recipient, "en");
    (facts.to, facts.key) = ("+4930123456".to_owned(), "msg_1".to_owned());
    let spec = |content_type: Value, body: &str| {
        json!({"rules": [{"name": "r", "events": ["order.delivered"], "channel": "Http", "http": "h"}],
            "channels": {"http": [{"name": "h", "url": "https://x.example", "contentType": content_type, "body": body}]}})
    };
    let body = r#"{"to": {{ to }}, "id": {{ key }}, "text": {{ text }}, "name": {{ order.recipient.name }}, "n": {{ order.itemCount }}, "items": {{ order.items }}, "link": {{ trackingUrl }}}"#;
    let made = render(&effective(spec(Value::Null, body), "r"), Channel::Http, "en", &facts).unwrap();
    let body: Value = serde_json::from_str(&fill(&made.payload.unwrap(), Some(LINK), None)).unwrap();
    assert_eq!((&body["to"], &body["id"], &body["n"]), (&json!("+4930123456"), &json!("msg_1"), &json!(3)));
    assert_eq!((&body["name"], &body["link"]), (&json!("Ada \"\\ </script>"), &json!(LINK)));
    assert_eq!(body["items"][0]["name"], "Sourdough bread");
    assert!(body["text"].as_str().unwrap().ends_with(LINK));
    // As a form, in which the link is one value.
    let form = spec(
        json!("application/x-www-form-urlencoded"),
        "to={{ to }}&text={{ text }}&link={{ trackingUrl }}&pin={{ pin }}",
    );
    let made = render(&effective(form, "r"), Channel::Http, "en", &facts).unwrap();
    let body = fill(&made.payload.unwrap(), Some("https://x.example/t/a?b=1&c=2"), Some("123456"));
    let pairs: Vec<&str> = body.split('&').collect();
    assert_eq!(pairs.len(), 4, "{body}");
    assert_eq!(
        (pairs[0], pairs[2], pairs[3]),
        ("to=%2B4930123456", "link=https%3A%2F%2Fx.example%2Ft%2Fa%3Fb%3D1%26c%3D2", "pin=123456")
    );
}

#[test]
fn a_template_that_fails_does_not_cost_the_message() {
    // Passed at apply; an order with no window of that form came later.
    let effective = own("Sms", json!({"text": "{{ 1 // order.itemCount }} pieces"}));
    let mut order = sample::order("order.delivered", at());
    order["spec"]["items"] = json!([]);
    let made = render(&effective, Channel::Sms, "en", &facts_of(&order, "order.delivered", Audience::Recipient, "en"))
        .unwrap();
    assert!(made.text.starts_with("Corner Shop: your order was delivered."), "{}", made.text);
    let warning = made.warning.unwrap();
    assert!(warning.contains("template \"t\", text, line 1"), "{warning}");
    // What cannot be told otherwise fails, and says why.
    let facts = facts_of(&order, "order.picked_up", Audience::Recipient, "en");
    assert!(matches!(render(&effective, Channel::Sms, "en", &facts), Err(RenderError::Template { line: Some(1), .. })));
}

#[test]
fn an_sms_that_would_be_a_book_is_the_built_in_one() {
    let effective = own("Sms", json!({"text": "{% for a in range(300) %}{{ order.name }} {% endfor %}"}));
    let made = render(&effective, Channel::Sms, "en", &facts("order.delivered", "en")).unwrap();
    assert!(made.warning.unwrap().contains("letters, more than 1400"));
    assert!(made.text.chars().count() < 160);
}

#[test]
fn the_locale_is_the_recipients_or_the_policys_or_english() {
    let templates = json!([{"name": "t", "locale": "fr", "text": "fr"}, {"name": "t", "locale": "de", "text": "de"},
        {"name": "t", "locale": "de-AT", "text": "at"}]);
    let effective = effective(
        json!({"rules": [{"name": "r", "events": ["order.delivered"], "channel": "Sms", "template": "t"}],
            "templates": templates, "defaultLocale": "de"}),
        "r",
    );
    let told = |wanted: Option<&str>| {
        let locale = locale(&effective, "order.delivered", wanted);
        let text = render(&effective, Channel::Sms, &locale, &facts("order.delivered", &locale)).unwrap().text;
        (locale, text)
    };
    let pair = |locale: &str, text: &str| (locale.to_owned(), text.to_owned());
    assert_eq!(told(Some("de-AT")), pair("de-AT", "at"));
    assert_eq!(told(Some("de-CH")), pair("de-CH", "de"));
    assert_eq!(told(Some("FR-ca")), pair("FR-ca", "fr"));
    assert_eq!(told(Some("it")), pair("de", "de"));
    assert_eq!(told(None), pair("de", "de"));
    // Built-in words: of four languages, else the default, else English.
    let built_in = rules::effective(&[]).remove(0);
    let of = |wanted: Option<&str>| locale(&built_in, "order.arriving", wanted);
    assert_eq!((of(Some("es-MX")), of(Some("it")), of(None)), ("es-MX".to_owned(), "en".to_owned(), "en".to_owned()));
}

#[test]
fn an_eta_that_is_past_is_not_told() {
    let mut order = sample::order("order.assigned", at());
    order["status"]["eta"] = json!("2026-05-01T11:00:00Z");
    assert_eq!(facts_of(&order, "order.assigned", Audience::Recipient, "en").order.eta, "");
    order["status"]["eta"] = json!("2026-05-01T12:33:00Z");
    let facts = facts_of(&order, "order.assigned", Audience::Recipient, "de");
    assert_eq!((facts.order.eta.as_str(), facts.order.eta_at.as_str()), ("14:35 Uhr", "2026-05-01T12:33:00Z"));
    assert_eq!(facts.driver.name, "Sam");
}
