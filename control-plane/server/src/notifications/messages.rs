//! Messages: which there are, what became of one, and sending one again.

use std::time::Duration;

use axum::{
    Extension,
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    response::Response,
};
use dropmate_api::roles::{self, Attributes, TASKS};
use http::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{answered, errand, told};
use crate::{
    agents::{self, Errand},
    auth::Fields,
    caller::Admission,
    error::{ApiError, Result},
    members,
    state::AppState,
};

/// Messages on a page, and the most that one may ask for.
const PAGE_DEFAULT: u32 = 100;
const PAGE_MAX: u32 = 500;
/// How long the agent may take to mark what is to be sent again: thousands of rows at once.
const RETRY_WITHIN: Duration = Duration::from_secs(30);

const STATES: [&str; 5] = ["planned", "sending", "sent", "dead", "suppressed"];
const CHANNELS: [&str; 4] = ["email", "sms", "http", "webhook"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    order: Option<String>,
    state: Option<String>,
    channel: Option<String>,
    limit: Option<String>,
    before: Option<String>,
}

type Which = std::result::Result<Query<Asked>, QueryRejection>;

/// `GET /v1/namespaces/{namespace}/orders/{name}/notifications` → `{messages: […], next?}`, newest first.
pub(crate) async fn of_order(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Path((namespace, name)): Path<(String, String)>,
    which: Which,
) -> Response {
    let answer = async {
        let asked = read(which)?;
        if asked.order.is_some() {
            return Err(ApiError::bad_request("order: is in the path already"));
        }
        let kind = agents::kind("orders")?;
        let order = match agents::seen(&state, &admission, kind, &namespace, &name).await? {
            Some(order) => order,
            None => agents::archived(&state, &admission, kind, &namespace, &name).await?,
        };
        let query = query(&Asked { order: Some(name), ..asked })?;
        // An order of the same name before this one was somebody else's.
        let path = format!("/messages/{}?uid={}{query}", escape(&namespace), escape(&order.uid));
        Ok(answered(shown(errand(&state, &Errand::get(path)).await?, &admission, &namespace, None)))
    };
    told(answer.await)
}

/// `GET /v1/namespaces/{namespace}/notifications?order&state&channel&limit&before` → `{messages: […], next?}`, newest first.
pub(crate) async fn list(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Path(namespace): Path<String>,
    which: Which,
) -> Response {
    let answer = async {
        let query = query(&read(which)?)?;
        let since = members::tenant_since(&state, &admission, &namespace).await?;
        let path = format!("/messages/{}?{}", escape(&namespace), query.trim_start_matches('&'));
        Ok(answered(shown(errand(&state, &Errand::get(path)).await?, &admission, &namespace, since)))
    };
    told(answer.await)
}

/// `GET /v1/namespaces/{namespace}/notifications/{id}` → the message with its attempts and its words, link and PIN masked.
pub(crate) async fn show(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Path((namespace, id)): Path<(String, String)>,
) -> Response {
    told(one(&state, &admission, &namespace, &id).await.map(answered))
}

async fn one(state: &AppState, admission: &Admission, namespace: &str, id: &str) -> Result<Value> {
    let since = members::tenant_since(state, admission, namespace).await?;
    let path = format!("/messages/{}/{}", escape(namespace), escape(id));
    let mut message = match errand(state, &Errand::get(path)).await {
        Err(refused) if refused.code().as_u16() == 404 => return Err(no_such(id)),
        answer => answer?,
    };
    if is_before(&message, since) {
        return Err(no_such(id));
    }
    if !sees_addresses(admission, namespace) {
        mask(&mut message);
    }
    Ok(message)
}

fn no_such(id: &str) -> ApiError {
    ApiError::no_such(format!("message {id:?} not found; GET …/notifications lists those there are"))
}

/// `POST /v1/namespaces/{namespace}/notifications/{id}/retry` → `{retried: 1}`; 409 for one that is not dead.
pub(crate) async fn retry(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Path((namespace, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        empty(&headers, &body)?;
        one(&state, &admission, &namespace, &id).await?;
        let path = format!("/messages/{}/{}/retry", escape(&namespace), escape(&id));
        Ok(answered(errand(&state, &Errand::post(path, json!({}), RETRY_WITHIN)).await?))
    };
    told(answer.await)
}

/// `POST /v1/namespaces/{namespace}/notifications/retry {state: "dead", channel?, since?}` → `{retried}`.
pub(crate) async fn retry_dead(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Path(namespace): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = async {
        let mut fields = Fields::read(&headers, &body)?;
        let dead = fields.optional_text("state")?;
        let channel = fields.optional_text("channel")?;
        let since = fields.optional_text("since")?;
        fields.end()?;
        if let Some(other) = dead.filter(|state| state != "dead") {
            let why = format!("Unsupported value: {other:?}: only messages that are \"dead\" are sent again");
            return Err(ApiError::invalid_field("state", &why));
        }
        if let Some(channel) = &channel {
            known("channel", channel, &CHANNELS).map_err(|why| ApiError::invalid_field("channel", &why))?;
        }
        let since = since.map(|since| moment("since", &since)).transpose()?;
        // What was before the business was somebody else's.
        let since = since.max(members::tenant_since(&state, &admission, &namespace).await?);
        let mut asked = json!({"state": "dead"});
        if let Some(channel) = channel {
            asked["channel"] = channel.into();
        }
        if let Some(since) = since {
            asked["since"] = since.to_string().into();
        }
        let path = format!("/messages/{}/retry", escape(&namespace));
        Ok(answered(errand(&state, &Errand::post(path, asked, RETRY_WITHIN)).await?))
    };
    told(answer.await)
}

/// A body that says nothing may be absent.
pub(super) fn empty(headers: &HeaderMap, body: &Bytes) -> Result<()> {
    if body.is_empty() { Ok(()) } else { Fields::read(headers, body)?.end() }
}

/// A time of a body.
pub(super) fn moment(field: &str, text: &str) -> Result<Timestamp> {
    text.parse().map_err(|_| {
        let why = format!("{text:?} is not a time as in RFC 3339, like 2026-11-23T12:00:00Z");
        ApiError::invalid_field(field, &why)
    })
}

fn read(which: Which) -> Result<Asked> {
    which.map(|Query(asked)| asked).map_err(|error| ApiError::bad_request(error.body_text()))
}

fn known(field: &str, value: &str, known: &[&str]) -> std::result::Result<(), String> {
    if known.contains(&value) {
        return Ok(());
    }
    let quoted: Vec<String> = known.iter().map(|known| format!("{known:?}")).collect();
    Err(format!("{field}: Unsupported value: {value:?}: supported values: {}", quoted.join(", ")))
}

/// As the agent is asked, each part with an `&` before it.
fn query(asked: &Asked) -> Result<String> {
    let number = |field: &str, text: &str, most: u64| {
        text.parse::<u64>()
            .ok()
            .filter(|number| (1..=most).contains(number))
            .ok_or_else(|| ApiError::bad_request(format!("{field}: {text:?} is not a number between 1 and {most}")))
    };
    let limit = match &asked.limit {
        Some(text) => number("limit", text, u64::from(PAGE_MAX))?,
        None => u64::from(PAGE_DEFAULT),
    };
    let mut query = format!("&limit={limit}");
    if let Some(before) = &asked.before {
        query.extend(["&before=", &number("before", before, i64::MAX as u64)?.to_string()]);
    }
    for (field, value, values) in [("state", &asked.state, &STATES[..]), ("channel", &asked.channel, &CHANNELS[..])] {
        if let Some(value) = value {
            known(field, value, values).map_err(ApiError::bad_request)?;
            query.extend(["&", field, "=", value]);
        }
    }
    if let Some(order) = &asked.order {
        query.extend(["&order=", &escape(order)]);
    }
    Ok(query)
}

/// Percent-encoded, for a path or a query.
pub(super) fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let letter = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(letter).collect()
}

/// The list as the caller may see it.
fn shown(mut answer: Value, admission: &Admission, namespace: &str, since: Option<Timestamp>) -> Value {
    let whole = sees_addresses(admission, namespace);
    if let Some(messages) = answer["messages"].as_array_mut() {
        let all = messages.len();
        messages.retain(|message| !is_before(message, since));
        if !whole {
            messages.iter_mut().for_each(mask);
        }
        // Newest first: what follows is older still.
        if messages.len() < all
            && let Some(fields) = answer.as_object_mut()
        {
            fields.remove("next");
        }
    }
    answer
}

/// Whether the message is of a business of the same name before.
fn is_before(message: &Value, since: Option<Timestamp>) -> bool {
    let created = message["createdAt"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    since.is_some_and(|since| created.is_none_or(|created| created < since))
}

fn sees_addresses(admission: &Admission, namespace: &str) -> bool {
    let again = Attributes {
        verb: "create",
        group: TASKS,
        resource: "notifications",
        namespace: Some(namespace),
        ..Attributes::default()
    };
    roles::allowed(&admission.grants, &again)
}

/// Leaves of an address what tells which one it is to who knows it: `a…@example.com`, `+4…56`.
fn mask(message: &mut Value) {
    if message["channel"] == "webhook" {
        return;
    }
    if let Some(to) = message["to"].as_str().map(str::to_owned).filter(|to| !to.is_empty()) {
        let known = masked(&to);
        for field in ["to", "subject", "text", "html", "answer"] {
            if let Some(text) = message.get_mut(field).filter(|text| text.is_string()) {
                *text = text.as_str().unwrap_or_default().replace(&to, &known).into();
            }
        }
    }
    // A request may name it in any form.
    if let Some(fields) = message.as_object_mut() {
        fields.remove("payload");
    }
}

fn masked(address: &str) -> String {
    if let Some((local, domain)) = address.rsplit_once('@') {
        return format!("{}…@{domain}", local.chars().next().map(String::from).unwrap_or_default());
    }
    let letters: Vec<char> = address.chars().collect();
    if letters.len() < 6 {
        return "…".to_owned();
    }
    let (start, end) =
        (letters[..2].iter().collect::<String>(), letters[letters.len() - 2..].iter().collect::<String>());
    format!("{start}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_masked_so_that_only_who_knows_it_knows_it() {
        assert_eq!(masked("ada@example.com"), "a…@example.com");
        assert_eq!(masked("+4930123456"), "+4…56");
        assert_eq!(masked("12345"), "…");
        let text = "We call +4930123456.";
        let mut message =
            json!({"channel": "sms", "to": "+4930123456", "payload": "{}", "state": "sent", "text": text});
        mask(&mut message);
        let told = json!({"channel": "sms", "to": "+4…56", "state": "sent", "text": "We call +4…56."});
        assert_eq!(message, told);
    }

    #[test]
    fn a_page_ends_where_the_business_began() {
        let admission = Admission { grants: Vec::new().into(), info: info(), permit: roles::Permit::default() };
        let message = |at: &str| json!({"channel": "email", "to": "ada@example.com", "createdAt": at});
        let answer = json!({"messages": [message("2026-05-02T00:00:00Z"), message("2026-05-01T00:00:00Z")], "next": 7});
        let since = "2026-05-01T12:00:00Z".parse().ok();
        let told = shown(answer.clone(), &admission, "acme", since);
        assert_eq!(told["messages"].as_array().unwrap().len(), 1);
        assert_eq!((&told["next"], &told["messages"][0]["to"]), (&Value::Null, &json!("a…@example.com")));
        assert_eq!(shown(answer, &admission, "acme", None)["next"], 7);
    }

    fn info() -> crate::request_info::ResourceInfo {
        let path = "/v1/namespaces/acme/notifications".parse().unwrap();
        crate::request_info::ResourceInfo::of(&http::Method::GET, &path).unwrap()
    }
}
