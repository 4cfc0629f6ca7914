//! What a message may tell: the whole vocabulary of templates, and how it comes from an order.
//!
//! Everything is text and everything is there; what is not known is empty. So a template can ask `{% if order.eta %}`, and
//! one that names what does not exist is found out before it is used.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use serde_json::Value;

use super::{Audience, ShopContact, builtin, local, template};
use crate::{cross, driver::first_name};

/// Items that a template sees: an order may have a thousand, and no message should.
const ITEMS_MAX: usize = 200;

/// Letters of one fact; longer ones are cut.
const LETTERS_MAX: usize = 2_048;

/// The vocabulary of templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// `order.delivered`, …
    pub event: String,
    /// The event in words, in the message's language: `Order delivered`.
    pub title: String,
    /// The business.
    pub namespace: String,
    /// The locale of the message.
    pub locale: String,
    /// The zone in which times are told.
    pub time_zone: String,
    /// The shop.
    pub shop: ShopFacts,
    /// The order.
    pub order: OrderFacts,
    /// Who carries it.
    pub driver: DriverFacts,
    /// The attempt that failed last.
    pub attempt: AttemptFacts,
    /// The recipient's link; empty for others. A mark until the message is sent.
    pub tracking_url: String,
    /// The PIN that the driver asks for, where one is asked for; empty for others than the recipient. A mark likewise.
    pub pin: String,
    /// The address, for the body of a request.
    #[serde(skip)]
    pub to: String,
    /// The message's id, for the body of a request.
    #[serde(skip)]
    pub key: String,
}

/// The shop.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShopFacts {
    /// Its name; that of the namespace where the policy says none.
    pub name: String,
    /// Its e-mail address.
    pub email: String,
    /// Its phone number.
    pub phone: String,
}

/// The order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderFacts {
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// Its priority.
    pub priority: i64,
    /// Its labels; one that is not there is empty.
    pub labels: BTreeMap<String, String>,
    /// Who gets it.
    pub recipient: PersonFacts,
    /// Where it is fetched.
    pub pickup: StopFacts,
    /// Where it goes.
    pub dropoff: StopFacts,
    /// What is carried.
    pub items: Vec<ItemFacts>,
    /// How many pieces that is.
    pub item_count: i64,
    /// The promise, as people write it.
    pub due_by: String,
    /// The promise, as in RFC 3339.
    pub due_by_at: String,
    /// When it is expected, as people write it, to five minutes. Empty once that is past.
    pub eta: String,
    /// When it is expected, as in RFC 3339.
    pub eta_at: String,
    /// When it was handed over, as people write it.
    pub delivered: String,
    /// When it was handed over, as in RFC 3339.
    pub delivered_at: String,
}

/// A person.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PersonFacts {
    /// Their name.
    pub name: String,
    /// Their phone number.
    pub phone: String,
    /// Their e-mail address.
    pub email: String,
}

/// A stop.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StopFacts {
    /// The street address.
    pub address: String,
    /// What the driver has to know.
    pub instructions: String,
    /// From when on, as people write it.
    pub earliest: String,
    /// Until when, as people write it.
    pub latest: String,
}

/// A line of the order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemFacts {
    /// What it is.
    pub name: String,
    /// How many.
    pub quantity: i64,
    /// The shop's own number for it.
    pub reference: String,
}

/// Who carries it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DriverFacts {
    /// The first name: more is nobody's business who waits for a parcel.
    pub name: String,
}

/// An attempt that failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptFacts {
    /// Which one, from 1; 0 where none failed.
    pub number: i64,
    /// Why, as the driver said.
    pub reason: String,
    /// What else the driver said.
    pub note: String,
    /// When, as people write it.
    pub when: String,
}

/// What is told of an order, and to whom.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// `order.delivered`, …
    pub event: &'a str,
    /// Business time of the event: the day of the message.
    pub at: Timestamp,
    /// The business.
    pub namespace: &'a str,
    /// The whole order.
    pub order: &'a Value,
    /// The display name of the driver who has it.
    pub driver: Option<&'a str>,
    /// The shop, as the rule's policy says.
    pub shop: &'a ShopContact,
    /// Who is told.
    pub audience: Audience,
    /// In which locale: [`template::locale`].
    pub locale: &'a str,
    /// In which zone.
    pub zone: &'a TimeZone,
}

impl Facts {
    /// The facts of an order as it is told. Nothing in them starts a line, ends a header or is a mark.
    pub fn of_order(told: &Told<'_>) -> Self {
        let text = |path: &str| clean(cross::at(told.order, path).and_then(Value::as_str).unwrap_or_default());
        let moment = |at: Timestamp| local::moment(at, told.at, told.zone, told.locale);
        let when = |path: &str| cross::moment(told.order, path).map(moment).unwrap_or_default();
        let stop = |name: &str| StopFacts {
            address: text(&format!("spec.{name}.address")),
            instructions: text(&format!("spec.{name}.instructions")),
            earliest: when(&format!("spec.{name}.window.earliest")),
            latest: when(&format!("spec.{name}.window.latest")),
        };
        let list =
            |path: &str| cross::at(told.order, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let items = list("spec.items");
        let attempts = list("status.attempts");
        let attempt = attempts.last().map_or_else(AttemptFacts::default, |last| AttemptFacts {
            number: attempts.len() as i64,
            reason: clean(last["reason"].as_str().unwrap_or_default()),
            note: clean(last["note"].as_str().unwrap_or_default()),
            when: cross::moment(last, "at").map(moment).unwrap_or_default(),
        });
        let eta = cross::moment(told.order, "status.eta").filter(|eta| *eta >= told.at);
        let recipient = told.audience == Audience::Recipient;
        let asks_pin = list("spec.proof.dropoff").iter().any(|proof| proof == "pin");
        let delivered = Some("status.stops.dropoff.completedAt").filter(|_| text("status.phase") == "Delivered");
        Self {
            event: clean(told.event),
            title: builtin::title(told.locale, told.event),
            namespace: clean(told.namespace),
            locale: clean(told.locale),
            time_zone: told.zone.iana_name().unwrap_or("UTC").to_owned(),
            shop: ShopFacts {
                // The contact at the pickup is for the driver, and somebody's own number perhaps.
                name: clean(told.shop.name.as_deref().unwrap_or(told.namespace)),
                email: clean(told.shop.email.as_deref().unwrap_or_default()),
                phone: clean(told.shop.phone.as_deref().unwrap_or_default()),
            },
            order: OrderFacts {
                name: text("metadata.name"),
                phase: text("status.phase"),
                priority: cross::at(told.order, "spec.priority").and_then(Value::as_i64).unwrap_or_default(),
                labels: labels(told.order),
                recipient: PersonFacts {
                    name: text("spec.recipient.name"),
                    phone: text("spec.recipient.phone"),
                    email: text("spec.recipient.email"),
                },
                pickup: stop("pickup"),
                dropoff: stop("dropoff"),
                items: items.iter().take(ITEMS_MAX).map(item).collect(),
                item_count: items.iter().filter_map(|item| item["quantity"].as_i64()).sum(),
                due_by: when("spec.dueBy"),
                due_by_at: text("spec.dueBy"),
                eta: eta.map(|eta| moment(local::rounded(eta))).unwrap_or_default(),
                eta_at: eta.map(|eta| eta.to_string()).unwrap_or_default(),
                delivered: delivered.map(when).unwrap_or_default(),
                delivered_at: delivered.map(text).unwrap_or_default(),
            },
            driver: DriverFacts { name: first_name(&clean(told.driver.unwrap_or_default())).to_owned() },
            attempt,
            // The link shows the PIN as well, so that neither is for the driver who asks for it.
            tracking_url: if recipient { template::MARK_LINK.to_owned() } else { String::new() },
            pin: if recipient && asks_pin { template::MARK_PIN.to_owned() } else { String::new() },
            to: String::new(),
            key: String::new(),
        }
    }
}

fn labels(order: &Value) -> BTreeMap<String, String> {
    let labels = order.pointer("/metadata/labels").and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| Some((key.clone(), clean(value.as_str()?)));
    labels.into_iter().flatten().filter_map(text).collect()
}

fn item(item: &Value) -> ItemFacts {
    ItemFacts {
        name: clean(item["name"].as_str().unwrap_or_default()),
        quantity: item["quantity"].as_i64().unwrap_or_default(),
        reference: clean(item["reference"].as_str().unwrap_or_default()),
    }
}

/// One line of ordinary letters: what ends lines or turns them round becomes a space, and what is for private use, as marks
/// are, goes.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len().min(LETTERS_MAX));
    for letter in text.chars().filter(|letter| !is_private(*letter) && !is_hidden(*letter)).take(LETTERS_MAX) {
        let letter = if letter.is_control() || letter.is_whitespace() { ' ' } else { letter };
        if letter != ' ' || !cleaned.ends_with(' ') {
            cleaned.push(letter);
        }
    }
    cleaned.trim().to_owned()
}

/// Letters without a meaning of their own, of which marks are made.
pub(crate) fn is_private(letter: char) -> bool {
    matches!(u32::from(letter), 0xE000..=0xF8FF | 0xF_0000..=0xF_FFFF | 0x10_0000..=0x10_FFFF)
}

/// What is not seen and changes what is: marks of direction.
fn is_hidden(letter: char) -> bool {
    matches!(letter, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}
