//! From an event to the messages that it brings: a plain function of the event, of what stands in its namespace, and of the
//! time. The same event brings the same messages, whoever plans it.

mod age;
mod audience;
mod endpoint;
pub mod mail;

use std::{sync::Arc, time::Duration};

use dropmate_api::{
    Clock, Depot, Driver, Member, Webhook,
    events::cloud::CloudEvent,
    notification::{
        Audience, Channel as Asked,
        facts::{Facts, Told},
        rules::{self, Effective},
        template,
    },
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use kube::ResourceExt;
use serde_json::Value;

use self::audience::Person;
pub use self::endpoint::replayable;
use crate::{
    channel::Channel,
    draft::{Birth, Content, Draft, Quiet, Quota, id},
    store::Stale,
};

/// What stands in a namespace and says who is told what.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// The rules that count.
    pub rules: Vec<Effective>,
    /// The endpoints.
    pub webhooks: Vec<Arc<Webhook>>,
    /// The drivers, by name.
    pub drivers: Vec<Arc<Driver>>,
    /// Who has which role.
    pub members: Vec<Arc<Member>>,
    /// The depots, by name.
    pub depots: Vec<Arc<Depot>>,
    /// The namespace's time zone, as its annotation says.
    pub time_zone: Option<String>,
}

/// What an event brings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Planned {
    /// Messages.
    pub drafts: Vec<Draft>,
    /// Messages that are old by it.
    pub stale: Vec<Stale>,
}

/// An event with what is read off it once.
struct Happened<'a> {
    event: &'a CloudEvent,
    namespace: &'a str,
    name: &'a str,
    /// The revision that brought it.
    revision: i64,
    /// The object's uid.
    uid: &'a str,
    /// The order as it was then, of what is about an order.
    order: Option<&'a Value>,
}

/// Plans an event.
pub fn plan(event: &CloudEvent, scene: &Scene, clock: &Clock) -> Planned {
    let Some(happened) = Happened::read(event) else { return Planned::default() };
    let mut planned = Planned { drafts: endpoint::deliveries(&happened, scene, clock), stale: Vec::new() };
    let Some(order) = happened.order else { return planned };
    planned.stale = age::made_old(&happened);
    for rule in scene.rules.iter().filter(|rule| rules::matches(rule, &event.type_, order)) {
        for person in audience::of(rule, &happened, order, scene) {
            planned.drafts.push(draft(&happened, order, rule, person, scene, clock));
        }
    }
    planned
}

/// The revision that brought an event: `evt_<epoch>_<revision>_<ordinal>`.
pub fn revision(event_id: &str) -> Option<i64> {
    event_id.rsplit('_').nth(1)?.parse().ok()
}

impl<'a> Happened<'a> {
    fn read(event: &'a CloudEvent) -> Option<Self> {
        let (namespace, name) = event.subject.split_once('/')?;
        let object =
            ["order", "driver", "webhook"].iter().find_map(|kind| event.data.get(kind).filter(|o| o.is_object()))?;
        Some(Self {
            event,
            namespace,
            name,
            revision: revision(&event.id)?,
            uid: object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default(),
            order: event.data.get("order").filter(|order| order.is_object()),
        })
    }

    fn data(&self, field: &str) -> Option<&'a str> {
        self.event.data.get(field).and_then(Value::as_str)
    }

    /// The driver to whom it happened, else the one who has the order.
    fn driver(&self) -> Option<&'a str> {
        self.data("driver").or_else(|| self.data("driverName"))
    }
}

fn draft(
    happened: &Happened<'_>,
    order: &Value,
    rule: &Effective,
    person: Person,
    scene: &Scene,
    clock: &Clock,
) -> Draft {
    let event = &happened.event.type_;
    let locale = template::locale(rule, event, person.locale.as_deref());
    let zone = zone(&person, order, scene);
    let (audience, channel) = (rule.rule.audience, channel(rule.rule.channel));
    let key = format!(
        "{}/{}/{}/{}/{}",
        happened.event.id,
        audience::name(audience),
        channel.name(),
        person.to,
        rule.rule.name
    );
    let carrier = happened.data("driverName").or_else(|| happened.driver());
    let carrier = carrier.and_then(|name| by_name(&scene.drivers, name));
    let mut facts = Facts::of_order(&Told {
        event,
        at: happened.event.time,
        namespace: happened.namespace,
        order,
        driver: carrier.map(|driver| driver.spec.display_name.as_str()),
        shop: &rule.shop,
        audience,
        locale: &locale,
        zone: &zone,
    });
    facts.to.clone_from(&person.to);
    facts.key = id(&key);
    let (content, mut birth) = match template::render(rule, rule.rule.channel, &locale, &facts) {
        Ok(words) => {
            if let Some(warning) = &words.warning {
                tracing::warn!(
                    namespace = happened.namespace,
                    policy = rule.policy,
                    rule = rule.rule.name,
                    warning,
                    "a template failed; the built-in words stand in"
                );
            }
            (content(words), Birth::Planned)
        }
        Err(error) => (Content::default(), Birth::Dead("template", error.to_string())),
    };
    let life = age::life(event);
    let quiet = quiet(rule, &zone);
    let times = times(happened.event.time, rule, quiet.as_ref(), clock);
    if birth == Birth::Planned && times.over(life, clock.system_now()) {
        birth = Birth::Suppressed("expired");
    }
    let http = rule.rule.http.clone().unwrap_or_default();
    Draft {
        namespace: happened.namespace.to_owned(),
        order: happened.name.to_owned(),
        uid: happened.uid.to_owned(),
        event: event.clone(),
        event_id: happened.event.id.clone(),
        revision: happened.revision,
        rule: rule.rule.name.clone(),
        policy: rule.policy.clone(),
        audience: audience::name(audience),
        channel,
        queue: queue(happened.namespace, rule, channel),
        lane: format!("{}/{}{http}/{}", happened.uid, channel.name(), person.to),
        class: age::class(event).unwrap_or_default().to_owned(),
        content,
        mail: String::new(),
        birth,
        not_before: times.not_before,
        quiet: quiet.map(|quiet| quiet.written()).unwrap_or_default(),
        life,
        quotas: quotas(happened.namespace, rule, channel, &person.to),
        to: person.to,
        locale,
        http,
        key,
    }
}

fn content(words: template::Rendered) -> Content {
    let template::Rendered { subject, text, html, payload, wants_link, wants_pin, .. } = words;
    Content { subject, text, html, payload, wants_link, wants_pin }
}

fn channel(asked: Asked) -> Channel {
    match asked {
        Asked::Email => Channel::Email,
        Asked::Sms => Channel::Sms,
        Asked::Http => Channel::Http,
    }
}

/// Who brings it: the operator's provider, or the policy's own.
fn queue(namespace: &str, rule: &Effective, channel: Channel) -> String {
    let own = match channel {
        Channel::Email => rule.channels.email.as_ref().is_some_and(|email| email.server.is_some()),
        Channel::Sms => rule.channels.sms.is_some(),
        Channel::Http | Channel::Webhook => true,
    };
    let http = rule.rule.http.as_deref().filter(|_| channel == Channel::Http).map(|name| format!("/{name}"));
    if own {
        return format!("{}/{namespace}/{}{}", channel.name(), rule.policy, http.unwrap_or_default());
    }
    // A business that has much to say does not hold up the others.
    format!("{}@{namespace}", channel.name())
}

fn quotas(namespace: &str, rule: &Effective, channel: Channel, to: &str) -> Vec<Quota> {
    let (hour, minute) = (Duration::from_hours(1), Duration::from_mins(1));
    let quota = |key: String, many: i32, time: Duration| {
        let many = u32::try_from(many).unwrap_or(1).max(1);
        Quota { key, burst: i64::from(many), every: time / many }
    };
    let mut quotas = vec![quota(format!("namespace/{namespace}"), rule.per_minute, minute)];
    // Who works for the shop hears of every order.
    if rule.rule.audience == Audience::Recipient {
        let key = format!("recipient/{namespace}/{}/{to}", channel.name());
        quotas.push(quota(key, rule.per_recipient_per_hour, hour));
    }
    quotas
}

/// When a message goes (system time).
#[derive(Clone, Copy, Debug)]
struct Times {
    /// When it would have gone if it had been planned as it happened.
    meant: Timestamp,
    not_before: Timestamp,
}

impl Times {
    /// Whether it comes too late to be worth it.
    fn over(&self, life: Duration, now: Timestamp) -> bool {
        SignedDuration::try_from(life).is_ok_and(|life| now.duration_since(self.meant) >= life)
    }
}

/// Delays and quiet hours are the business's time.
fn times(happened_at: Timestamp, rule: &Effective, quiet: Option<&Quiet>, clock: &Clock) -> Times {
    let (now, system_now) = (clock.business_now(), clock.system_now());
    let delay = SignedDuration::from_secs(rule.rule.delay_seconds.unwrap_or(0).max(0));
    // A phone's clock may be ahead.
    let meant = happened_at.min(now).checked_add(delay).unwrap_or(now);
    let mut goes = meant.max(now);
    if let Some(until) = quiet.and_then(|quiet| quiet.until(goes)) {
        goes = until;
    }
    let not_before = if goes <= now { system_now } else { clock.to_system(goes) };
    Times { meant: clock.to_system(meant).min(not_before), not_before }
}

/// The policy's hours are for recipients; who works for the shop is left alone where a rule says so.
fn quiet(rule: &Effective, zone: &TimeZone) -> Option<Quiet> {
    let hours = match rule.rule.audience {
        Audience::Recipient => rule.quiet_hours.as_ref(),
        _ => rule.rule.quiet_hours.as_ref(),
    };
    hours.map(|hours| Quiet::new(hours, zone))
}

/// The person's, else the depot's, else the namespace's, else UTC.
fn zone(person: &Person, order: &Value, scene: &Scene) -> TimeZone {
    let depot = ["/spec/pickup/depotName", "/spec/dropoff/depotName"].into_iter().find_map(|path| {
        let name = order.pointer(path)?.as_str()?;
        by_name(&scene.depots, name)?.spec.time_zone.as_deref()
    });
    [person.time_zone.as_deref(), depot, scene.time_zone.as_deref()]
        .into_iter()
        .flatten()
        .find_map(|name| TimeZone::get(name).ok())
        .unwrap_or(TimeZone::UTC)
}

/// The object of that name among those sorted by name.
fn by_name<'a, K: ResourceExt>(objects: &'a [Arc<K>], name: &str) -> Option<&'a K> {
    let found = objects.binary_search_by(|object| object.meta().name.as_deref().unwrap_or_default().cmp(name));
    found.ok().map(|index| &*objects[index])
}
