//! What would be sent: rendered here as the agent would, and sent to nobody.

use axum::{
    Extension,
    body::Bytes,
    extract::{Path, State},
    response::Response,
};
use dropmate_api::{
    Driver, NotificationPolicy, Order,
    notification::{
        Audience, Channel,
        facts::{Facts, Told},
        known, quiet, rules,
        rules::Effective,
        sample,
        template::{self, Rendered},
    },
    registry::Kind,
};
use dropmate_store::{At, Key, Scope};
use http::HeaderMap;
use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{answered, told};
use crate::{
    agents,
    auth::Fields,
    caller::Admission,
    error::{ApiError, Result},
    resources,
    state::AppState,
};

/// A policy with a hundred long templates has less.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Policies of a namespace that are looked at; nobody has so many.
const POLICIES_MAX: usize = 500;
/// The policy that is tried where its spec comes without a name.
const UNNAMED: &str = "preview";
/// What stands for the recipient's link: as long as a real one.
const SAMPLE_LINK: &str = "https://dropmate.example/t/xxxxxxxxxxxxxxxxxxxxxx";
/// What stands for the PIN.
const SAMPLE_PIN: &str = "123456";

/// `POST /v1/namespaces/{namespace}/notifications/preview {event, order?, policy?, rule?, locale?}` →
/// `{event, order, messages: […], skipped: [{rule, why}]}`.
///
/// `policy` is the name of one, whose rules alone are shown, or a whole NotificationPolicy (or its spec) that is tried as if
/// it were applied. Without `order` a sample is taken, of which every condition holds.
pub(crate) async fn preview(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Path(namespace): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        let mut fields = Fields::read_within(BODY_BYTES_MAX, &headers, &body)?;
        let event = fields.text("event")?;
        let (order, policy) = (fields.optional_text("order")?, fields.optional("policy"));
        let (rule, locale) = (fields.optional_text("rule")?, fields.optional_text("locale")?);
        fields.end()?;
        if !known::of_rules().any(|known| known == event) {
            let known: Vec<&str> = known::of_rules().collect();
            let why = format!("Unsupported value: {event:?}: supported values: {}", known.join(", "));
            return Err(ApiError::invalid_field("event", &why));
        }
        let (rules, only) = rules_of(&state, &namespace, policy).await?;
        let picked = pick(rules, only.as_deref(), rule.as_deref())?;
        let at = state.clock.business_now();
        let order = match order {
            Some(name) => an_order(&state, &admission, &namespace, &name).await?,
            None => Subject { order: sample::order(&event, at), driver: Some(sample::DRIVER.to_owned()), sample: true },
        };
        let zone = zone(&state, &namespace, &order.order).await?;
        let about =
            About { event: &event, at, namespace: &namespace, subject: &order, zone: &zone, locale: locale.as_deref() };
        Ok(answered(show(&picked, rule.is_some(), &about)))
    };
    told(answer.await)
}

/// The order that is told of.
struct Subject {
    order: Value,
    driver: Option<String>,
    sample: bool,
}

/// All that the messages depend on.
struct About<'a> {
    event: &'a str,
    at: Timestamp,
    namespace: &'a str,
    subject: &'a Subject,
    zone: &'a TimeZone,
    locale: Option<&'a str>,
}

/// The rules that count, and the policy whose rules alone are wanted.
async fn rules_of(
    state: &AppState,
    namespace: &str,
    policy: Option<Value>,
) -> Result<(Vec<Effective>, Option<String>)> {
    let kind = agents::kind("notificationpolicies")?;
    let scope = Scope { resource: kind.storage.to_owned(), namespace: Some(namespace.to_owned()) };
    let page = state.store.list(&scope, At::Latest, None, Some(POLICIES_MAX)).await?;
    let mut held = Vec::new();
    for object in &page.objects {
        held.push(NotificationPolicy::deserialize(&resources::served(kind, object)?).map_err(ApiError::internal)?);
    }
    let only = match policy {
        None => None,
        Some(Value::String(name)) => {
            if !held.iter().any(|policy| policy.metadata.name.as_deref() == Some(&name)) {
                return Err(ApiError::not_found(kind, &name));
            }
            Some(name)
        }
        Some(Value::Object(given)) => {
            let tried = tried(kind, namespace, &Value::Object(given))?;
            let name = tried.metadata.name.clone().unwrap_or_default();
            held.retain(|policy| policy.metadata.name != tried.metadata.name);
            held.push(tried);
            Some(name)
        }
        Some(_) => return Err(ApiError::invalid_field("policy", "must be the name of a policy, or one itself")),
    };
    Ok((rules::effective(&held), only))
}

/// A policy that is not applied, held to everything that one is held to which is.
fn tried(kind: &Kind, namespace: &str, given: &Value) -> Result<NotificationPolicy> {
    let spec = given.get("spec").cloned().unwrap_or_else(|| given.clone());
    let name = given.pointer("/metadata/name").and_then(Value::as_str).unwrap_or(UNNAMED).to_owned();
    let mut object = json!({
        "apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    });
    let schema = (kind.schema)();
    if let Some(unknown) = schema.prune(&mut object).first() {
        return Err(ApiError::invalid_field("policy", &format!("unknown field {unknown:?}")));
    }
    schema.default(&mut object);
    let mut causes = schema.validate(&object);
    causes.extend(kind.strategy.validate(&object, None));
    if !causes.is_empty() {
        return Err(ApiError::invalid(kind, &name, &causes));
    }
    NotificationPolicy::deserialize(&object).map_err(ApiError::internal)
}

fn pick(rules: Vec<Effective>, only: Option<&str>, rule: Option<&str>) -> Result<Vec<Effective>> {
    let names: Vec<String> = rules.iter().map(|effective| effective.rule.name.clone()).collect();
    let mut picked = rules;
    if let Some(policy) = only {
        // The built-in ones follow a policy and stand in none.
        picked.retain(|effective| effective.policy == policy && (!effective.built_in || rule.is_some()));
    }
    if let Some(rule) = rule {
        picked.retain(|effective| effective.rule.name == rule);
        if picked.is_empty() {
            let why = format!("no rule {rule:?} counts; there are {}", names.join(", "));
            return Err(ApiError::invalid_field("rule", &why));
        }
    }
    Ok(picked)
}

fn show(rules: &[Effective], named: bool, about: &About<'_>) -> Value {
    let (mut messages, mut skipped) = (Vec::new(), Vec::new());
    for effective in rules {
        let rule = &effective.rule;
        if !rule.events.iter().any(|pattern| known::covers(pattern, about.event)) {
            if named {
                skipped.push(json!({"rule": rule.name, "why": format!("it is for {}", rule.events.join(", "))}));
            }
            continue;
        }
        if !about.subject.sample && !rules::matches(effective, about.event, &about.subject.order) {
            skipped.push(json!({"rule": rule.name, "why": "its conditions do not hold of the order"}));
            continue;
        }
        match message(effective, about) {
            Ok(message) => messages.push(message),
            Err(why) => skipped.push(json!({"rule": rule.name, "why": why})),
        }
    }
    json!({
        "event": about.event,
        "order": about.subject.order.pointer("/metadata/name"),
        "sample": about.subject.sample,
        "messages": messages,
        "skipped": skipped,
    })
}

fn message(effective: &Effective, about: &About<'_>) -> std::result::Result<Value, String> {
    let rule = &effective.rule;
    let order = &about.subject.order;
    let text = |pointer: &str| order.pointer(pointer).and_then(Value::as_str);
    let to = match rule.audience {
        Audience::Recipient => Some(address(effective, order)?),
        Audience::Shop => match rule.channel {
            Channel::Sms => effective.shop.phone.clone(),
            Channel::Email | Channel::Http => effective.shop.email.clone(),
        },
        Audience::Driver | Audience::Manager => None,
    };
    let wanted =
        about.locale.or(if rule.audience == Audience::Recipient { text("/spec/recipient/locale") } else { None });
    let locale = template::locale(effective, about.event, wanted);
    let mut facts = Facts::of_order(&Told {
        event: about.event,
        at: about.at,
        namespace: about.namespace,
        order,
        driver: about.subject.driver.as_deref(),
        shop: &effective.shop,
        audience: rule.audience,
        locale: &locale,
        zone: about.zone,
    });
    facts.to = to.clone().unwrap_or_default();
    "msg_preview".clone_into(&mut facts.key);
    let made = template::render(effective, rule.channel, &locale, &facts).map_err(|error| error.to_string())?;
    let filled = |text: &str| template::fill(text, Some(SAMPLE_LINK), Some(SAMPLE_PIN));
    let Rendered { subject, text, html, payload, warning, .. } = &made;
    let text = filled(text);
    let mut message = json!({
        "rule": rule.name, "builtIn": effective.built_in, "audience": rule.audience, "channel": rule.channel,
        "locale": locale, "text": text,
    });
    let parts = [("subject", subject), ("html", html), ("payload", payload), ("warning", warning)];
    for (field, part) in parts {
        if let Some(part) = part {
            message[field] = filled(part).into();
        }
    }
    for (field, value) in [("to", &to), ("template", &rule.template)] {
        if let Some(value) = value {
            message[field] = value.as_str().into();
        }
    }
    if !effective.policy.is_empty() {
        message["policy"] = effective.policy.as_str().into();
    }
    if rule.channel == Channel::Sms {
        message["segments"] = template::segments(&text).into();
    }
    if let Some(delay) = rule.delay_seconds {
        message["delaySeconds"] = delay.into();
    }
    if let Some(until) = effective.quiet_hours.as_ref().and_then(|hours| quiet::until(hours, about.zone, about.at)) {
        message["quietUntil"] = json!(until);
    }
    Ok(message)
}

/// Where the recipient is told, or why they are not.
fn address(effective: &Effective, order: &Value) -> std::result::Result<String, String> {
    if order.pointer("/spec/recipient/notify") == Some(&Value::Bool(false)) {
        return Err("the recipient wants no messages (spec.recipient.notify)".to_owned());
    }
    let of =
        |field: &str| order.pointer(&format!("/spec/recipient/{field}")).and_then(Value::as_str).map(str::to_owned);
    let phone = || of("phone").ok_or_else(|| "the recipient has no phone number (spec.recipient.phone)".to_owned());
    let email = || of("email").ok_or_else(|| "the recipient has no e-mail address (spec.recipient.email)".to_owned());
    match effective.rule.channel {
        Channel::Email => email(),
        Channel::Sms => phone(),
        Channel::Http => {
            let named = |name: &String| effective.channels.http.iter().find(|request| request.name == *name);
            match effective.rule.http.as_ref().and_then(named).map(|request| request.to).unwrap_or_default() {
                dropmate_api::notification::HttpAddress::Phone => phone(),
                dropmate_api::notification::HttpAddress::Email => email(),
            }
        }
    }
}

async fn an_order(state: &AppState, admission: &Admission, namespace: &str, name: &str) -> Result<Subject> {
    let kind = agents::kind("orders")?;
    let held = match agents::seen(state, admission, kind, namespace, name).await? {
        Some(held) => held,
        None => agents::archived(state, admission, kind, namespace, name).await?,
    };
    let order = resources::served(kind, &held)?;
    let driver = Order::deserialize(&order).ok().and_then(|order| order.status?.driver_name);
    let driver = match driver {
        Some(driver) => get::<Driver>(state, agents::kind("drivers")?, namespace, &driver)
            .await?
            .map(|driver| driver.spec.display_name),
        None => None,
    };
    Ok(Subject { order, driver, sample: false })
}

/// Where the recipient is, as far as anybody has said: the order, its depot, the business; else UTC.
async fn zone(state: &AppState, namespace: &str, order: &Value) -> Result<TimeZone> {
    let mut named = order.pointer("/spec/recipient/timeZone").and_then(Value::as_str).map(str::to_owned);
    // The first that is named, as for the message itself.
    let depot = ["/spec/pickup/depotName", "/spec/dropoff/depotName"];
    if named.is_none()
        && let Some(depot) = depot.iter().find_map(|path| order.pointer(path).and_then(Value::as_str))
    {
        let depot = get::<dropmate_api::Depot>(state, agents::kind("depots")?, namespace, depot).await?;
        named = depot.and_then(|depot| depot.spec.time_zone);
    }
    if named.is_none() {
        let (held, _) = state.store.get(&resources::namespace_key(namespace), At::Any).await?;
        let body: Value = held.and_then(|held| serde_json::from_str(&held.body).ok()).unwrap_or_default();
        let said = body.pointer("/metadata/annotations/dropmate.dev~1time-zone").and_then(Value::as_str);
        named = said.map(str::to_owned);
    }
    Ok(named.and_then(|name| TimeZone::get(&name).ok()).unwrap_or(TimeZone::UTC))
}

async fn get<T: for<'de> Deserialize<'de>>(
    state: &AppState,
    kind: &Kind,
    namespace: &str,
    name: &str,
) -> Result<Option<T>> {
    let key = Key { resource: kind.storage.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() };
    let (held, _) = state.store.get(&key, At::Latest).await?;
    let served = held.map(|held| resources::served(kind, &held)).transpose()?;
    Ok(served.and_then(|served| T::deserialize(&served).ok()))
}
