//! Which requests are noted, and as what.

use std::net::IpAddr;

use dropmate_api::{
    SYSTEM_NAMESPACE,
    roles::{OPERATOR, TASKS},
};
use dropmate_store::Access;
use http::{HeaderValue, Method, StatusCode, Uri};
use jiff::Timestamp;

use crate::request_info::{ResourceInfo, decode};

/// A client program's name, a verb, a name: nobody needs more of what anybody may send.
const CHARS_MAX: usize = 256;

/// What is kept of a request until its outcome is known: shared pieces of it, no copies.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) client: Option<HeaderValue>,
}

/// A request with its outcome.
pub(crate) struct Seen<'a> {
    pub(crate) asked: &'a Asked,
    pub(crate) info: Option<&'a ResourceInfo>,
    /// Empty if nobody knows.
    pub(crate) caller: &'a str,
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: &'a str,
    pub(crate) status: StatusCode,
    /// Whether the gateway refused it, before any handler.
    pub(crate) refused: bool,
    /// Whether the program itself vouches for the caller.
    pub(crate) in_process: bool,
    pub(crate) at: Timestamp,
}

/// What a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Subject {
    verb: String,
    resource: String,
    namespace: String,
    name: String,
}

impl Seen<'_> {
    /// As the audit notes it; `None` if it does not.
    pub(super) fn access(&self) -> Option<Access> {
        let outcome = self.outcome()?;
        let subject = self.subject();
        Some(Access {
            at: self.at,
            actor: self.caller.to_owned(),
            address: self.address.map(|address| address.to_string()).unwrap_or_default(),
            client: self.asked.client.as_ref().and_then(|client| client.to_str().ok()).map(short).unwrap_or_default(),
            request_id: self.request_id.to_owned(),
            verb: subject.verb,
            resource: subject.resource,
            namespace: subject.namespace,
            name: subject.name,
            outcome: outcome.to_owned(),
            code: self.status.as_u16(),
            count: 1,
        })
    }

    /// The one place that says what is noted: what was refused; what the operator reads of tenants; who reads names of
    /// secrets, users or the audit; and what changes users, keys and secrets, which are no objects.
    fn outcome(&self) -> Option<&'static str> {
        // A foreign namespace is told as missing, by the gateway.
        let hidden = self.refused && self.status == StatusCode::NOT_FOUND;
        if hidden || matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Some("denied");
        }
        if self.in_process || !self.status.is_success() {
            return None;
        }
        let reads = matches!(self.asked.method, Method::GET | Method::HEAD);
        let parts: Vec<&str> = self.asked.uri.path().split('/').filter(|part| !part.is_empty()).collect();
        let sensitive = match parts[..] {
            ["v1", "users" | "keys" | "audit", ..]
            | ["v1", "namespaces", _, "secrets" | "audit", ..]
            | ["v1", "namespaces", _, "members", _, "invitation"]
            | ["v1", "namespaces", _, "drivers", _, "pairing"]
            | ["v1", "namespaces", _, "orders", _, "pin" | "tracking-links"]
            | ["v1", "namespaces", _, "serviceaccounts", _, "tokens"]
            | ["api", "v1", "namespaces", _, "serviceaccounts", _, "token"] => true,
            // Sessions come and go all the time, and are told where they are refused; a preview sends nothing, and reads
            // nothing that the caller may not read anyway.
            ["v1", "auth", "login" | "refresh" | "logout"] | ["v1", "namespaces", _, "notifications", "preview"] => {
                false
            }
            // With webhooks and messages, what goes out once more.
            ["v1", "auth", ..] | ["v1", "pair"] | ["v1", "namespaces", _, "webhooks", ..] => !reads,
            ["v1", "namespaces", _, "notifications", ..] if !reads => true,
            // The operator is no party to a delivery.
            ["v1", "namespaces", _, "proofs" | "incidents" | "notifications", ..]
            | ["v1", "namespaces", _, "orders", _, "notifications"] => self.caller == OPERATOR,
            _ => false,
        };
        let tenant = |info: &ResourceInfo| info.namespace.as_deref().is_none_or(|name| name != SYSTEM_NAMESPACE);
        let objects = |info: &&ResourceInfo| info.kind().is_some_and(|kind| kind.namespaced) && tenant(info);
        match (sensitive, reads) {
            (true, true) => Some("read"),
            (true, false) => Some("done"),
            (false, true) if self.caller == OPERATOR && self.info.as_ref().is_some_and(objects) => Some("read"),
            _ => None,
        }
    }

    fn subject(&self) -> Subject {
        let named = |text: &str| short(decode(text));
        if let Some(info) = self.info {
            let task = (info.group == TASKS).then_some(info.resource.as_str());
            let stored = info.kind().map(|kind| kind.storage).or(task);
            let resource = match (stored, info.subresource.as_str()) {
                (Some(stored), "") => short(stored),
                (Some(stored), subresource) => short(format!("{stored}/{subresource}")),
                (None, "") => short(info.group_resource()),
                (None, subresource) => short(format!("{}/{subresource}", info.group_resource())),
            };
            return Subject {
                verb: info.verb.to_owned(),
                resource,
                namespace: short(info.namespace.as_deref().unwrap_or_default()),
                name: short(info.name.as_deref().unwrap_or_default()),
            };
        }
        let verb = if [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE]
            .contains(&self.asked.method)
        {
            self.asked.method.as_str().to_lowercase()
        } else {
            "other".to_owned()
        };
        let parts: Vec<&str> = self.asked.uri.path().split('/').filter(|part| !part.is_empty()).collect();
        // What follows may be a token.
        let resource = match parts[..] {
            ["v1", "auth", what, ..] => format!("auth/{}", named(what)),
            ["v1", what, ..] => named(what),
            ["ingest", ..] => "ingest".to_owned(),
            _ => String::new(),
        };
        Subject { verb, resource, ..Subject::default() }
    }
}

fn short(text: impl AsRef<str>) -> String {
    text.as_ref().chars().take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn told(method: Method, path: &str, caller: &str, status: u16, refused: bool) -> Option<String> {
        let asked = Asked { method, uri: path.parse().unwrap(), client: None };
        let info = ResourceInfo::of(&asked.method, &asked.uri);
        let seen = Seen {
            asked: &asked,
            info: info.as_ref(),
            caller,
            address: None,
            request_id: "r",
            status: StatusCode::from_u16(status).unwrap(),
            refused,
            in_process: false,
            at: Timestamp::UNIX_EPOCH,
        };
        let access = seen.access()?;
        Some(format!("{} {} {} {}/{}", access.outcome, access.verb, access.resource, access.namespace, access.name))
    }

    const ORDER: &str = "/apis/dropmate.dev/v1/namespaces/acme/orders/o1?fieldManager=secret";

    #[rstest]
    #[case::no_rights(Method::DELETE, ORDER, "ada", 403, true, Some("denied delete orders.dropmate.dev acme/o1"))]
    #[case::nobody(Method::GET, ORDER, "", 401, true, Some("denied get orders.dropmate.dev acme/o1"))]
    #[case::foreign(Method::GET, ORDER, "ada", 404, true, Some("denied get orders.dropmate.dev acme/o1"))]
    #[case::missing(Method::GET, ORDER, "ada", 404, false, None)]
    #[case::own(Method::GET, ORDER, "ada", 200, false, None)]
    #[case::operator(Method::GET, ORDER, "operator", 200, false, Some("read get orders.dropmate.dev acme/o1"))]
    #[case::write(Method::PATCH, ORDER, "operator", 200, false, None)]
    #[case::lease(
        Method::GET,
        "/apis/coordination.k8s.io/v1/namespaces/dropmate-system/leases",
        "operator",
        200,
        false,
        None
    )]
    #[case::secrets(Method::GET, "/v1/namespaces/acme/secrets", "ada", 200, false, Some("read list secrets acme/"))]
    #[case::secret(
        Method::PUT,
        "/v1/namespaces/acme/secrets/smtp",
        "ada",
        204,
        false,
        Some("done update secrets acme/smtp")
    )]
    #[case::user(
        Method::POST,
        "/v1/users/a%40b.c/disable",
        "operator",
        200,
        false,
        Some("done create users/disable /a@b.c")
    )]
    #[case::pin(
        Method::GET,
        "/v1/namespaces/acme/orders/o1/pin",
        "ada",
        200,
        false,
        Some("read get orders.dropmate.dev/pin acme/o1")
    )]
    #[case::picture(Method::GET, "/v1/namespaces/acme/proofs/prf_1", "ada", 200, false, None)]
    #[case::picture_by_the_operator(
        Method::GET,
        "/v1/namespaces/acme/proofs/prf_1",
        "operator",
        200,
        false,
        Some("read get proofs acme/prf_1")
    )]
    #[case::token(
        Method::POST,
        "/api/v1/namespaces/acme/serviceaccounts/p/token",
        "ada",
        201,
        false,
        Some("done create serviceaccounts/token acme/p")
    )]
    #[case::messages(Method::GET, "/v1/namespaces/acme/notifications", "ada", 200, false, None)]
    #[case::messages_by_the_operator(
        Method::GET,
        "/v1/namespaces/acme/orders/o1/notifications",
        "operator",
        200,
        false,
        Some("read get orders.dropmate.dev/notifications acme/o1")
    )]
    #[case::message_again(
        Method::POST,
        "/v1/namespaces/acme/notifications/msg_1/retry",
        "ada",
        200,
        false,
        Some("done create notifications.dropmate.dev/retry acme/msg_1")
    )]
    #[case::preview(Method::POST, "/v1/namespaces/acme/notifications/preview", "operator", 200, false, None)]
    #[case::replay(
        Method::POST,
        "/v1/namespaces/acme/webhooks/shop/replay",
        "ada",
        200,
        false,
        Some("done create webhooks.dropmate.dev/replay acme/shop")
    )]
    #[case::login(Method::POST, "/v1/auth/login", "", 401, false, Some("denied post auth/login /"))]
    #[case::logged_in(Method::POST, "/v1/auth/login", "", 200, false, None)]
    #[case::token_in_path(Method::POST, "/v1/auth/reset/TOKEN", "", 200, false, Some("done post auth/reset /"))]
    #[case::clock(Method::GET, "/v1/clock", "operator", 200, false, None)]
    fn a_request_is_noted_by_what_came_of_it(
        #[case] method: Method,
        #[case] path: &str,
        #[case] caller: &str,
        #[case] status: u16,
        #[case] refused: bool,
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(told(method, path, caller, status, refused).as_deref(), expected);
    }
}
