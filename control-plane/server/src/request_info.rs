//! What a request is about, read from its method, path and query as Kubernetes reads them: for authorization, metrics
//! and the log.

use axum::extract::Query as QueryOf;
use dropmate_api::{
    registry::{self, Kind, Review},
    roles::{Attributes, TASKS},
};
use http::{Method, Uri};

use crate::{
    caller::Caller,
    error::ApiError,
    history,
    options::{self, Query},
    stream,
};

/// A request to the resource API, or to a part of the task API that not everybody may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResourceInfo {
    pub(crate) verb: &'static str,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
}

impl ResourceInfo {
    /// `None` for everything that is no resource: discovery, `/version`, `/v1`, probes, nonsense.
    pub(crate) fn of(method: &Method, uri: &Uri) -> Option<Self> {
        let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
        let (group, version) = match parts.next()? {
            "v1" => return Self::task(method, uri, &parts.map(decode).collect::<Vec<_>>()),
            "api" => (String::new(), decode(parts.next()?)),
            "apis" => (decode(parts.next()?), decode(parts.next()?)),
            _ => return None,
        };
        let rest: Vec<String> = parts.map(decode).collect();
        let (namespace, resource, name, subresource) = match rest.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => return None,
            // A Namespace is in itself, so that a role in a namespace may cover it.
            ["namespaces", name] => (Some(name), "namespaces", Some(name), ""),
            ["namespaces", name, sub @ ("status" | "finalize")] => (Some(name), "namespaces", Some(name), sub),
            ["namespaces", namespace, resource] => (Some(namespace), resource, None, ""),
            ["namespaces", namespace, resource, name] => (Some(namespace), resource, Some(name), ""),
            ["namespaces", namespace, resource, name, sub, ..] => (Some(namespace), resource, Some(name), sub),
            [resource] => (None, resource, None, ""),
            [resource, name] => (None, resource, Some(name), ""),
            [resource, name, sub, ..] => (None, resource, Some(name), sub),
        };
        let verb = match *method {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if name.is_some() => "delete",
            Method::DELETE => "deletecollection",
            // As in Kubernetes: one object is watched through its collection, by its name.
            _ if name.is_some() => "get",
            _ if wants_watch(uri) => "watch",
            _ => "list",
        };
        Some(Self {
            verb,
            group,
            version,
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
        })
    }

    /// Of the task API, what stands in a namespace or is for some callers only. Who may read a kind does not thereby
    /// read its archive and its history: those are parts of it as `/status` is.
    fn task(method: &Method, uri: &Uri, parts: &[String]) -> Option<Self> {
        let ours = |resource: &str| (TASKS.to_owned(), resource.to_owned());
        let of_kind = |resource: &str| match history::named(resource) {
            Some(kind) => (kind.group.to_owned(), kind.plural.to_owned()),
            None => (dropmate_api::GROUP.to_owned(), resource.to_owned()),
        };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        if parts == ["stream"] {
            return Some(Self::of_stream(stream::namespace(uri)));
        }
        let (namespace, (group, resource), name, subresource) = match parts[..] {
            ["namespaces", namespace, past @ ("archive" | "history"), resource] => {
                (Some(namespace), of_kind(resource), None, past)
            }
            ["namespaces", namespace, past @ ("archive" | "history"), resource, name] => {
                (Some(namespace), of_kind(resource), Some(name), past)
            }
            // A Namespace is in itself here as well.
            ["history", resource @ "namespaces", name] => (Some(name), of_kind(resource), Some(name), "history"),
            ["history", resource, name] => (None, of_kind(resource), Some(name), "history"),
            // What is done to an object is a part of it: `members/NAME/invitation`.
            ["namespaces", namespace, resource, name, part] => (Some(namespace), of_kind(resource), Some(name), part),
            ["namespaces", namespace, resource] => (Some(namespace), ours(resource), None, ""),
            ["namespaces", namespace, resource, name] => (Some(namespace), ours(resource), Some(name), ""),
            ["namespaces", namespace, resource, name, part, ..] => (Some(namespace), ours(resource), Some(name), part),
            // What agents ask, each part for one of them.
            ["internal", part, ..] => (None, ours("internal"), Some(part), part),
            [resource @ ("users" | "keys" | "audit")] => (None, ours(resource), None, ""),
            [resource @ ("users" | "keys" | "audit"), name] => (None, ours(resource), Some(name), ""),
            [resource @ ("users" | "keys" | "audit"), name, part, ..] => (None, ours(resource), Some(name), part),
            _ => return None,
        };
        let verb = match *method {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ if name.is_some() => "get",
            _ => "list",
        };
        Some(Self {
            verb,
            group,
            version: dropmate_api::VERSION.to_owned(),
            resource,
            subresource: subresource.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
        })
    }

    /// A live stream is a watch of orders: who may not watch them gets none.
    fn of_stream(namespace: Option<String>) -> Self {
        Self {
            verb: "watch",
            group: dropmate_api::GROUP.to_owned(),
            version: dropmate_api::VERSION.to_owned(),
            resource: "orders".to_owned(),
            subresource: String::new(),
            namespace,
            name: None,
        }
    }

    /// For the authorization table.
    pub(crate) fn attributes(&self) -> Attributes<'_> {
        Attributes {
            verb: self.verb,
            group: &self.group,
            resource: &self.resource,
            subresource: &self.subresource,
            namespace: self.namespace.as_deref(),
            name: self.name.as_deref(),
        }
    }

    /// The 403 in Kubernetes' words.
    pub(crate) fn forbidden(&self, caller: &Caller) -> ApiError {
        let scope = match &self.namespace {
            Some(namespace) => format!("in the namespace {namespace:?}"),
            None => "at the cluster scope".to_owned(),
        };
        let path = self.attributes().path();
        let why = format!(
            "User {:?} cannot {} resource {path:?} in API group {:?} {scope}",
            caller.user, self.verb, self.group
        );
        match self.kind() {
            Some(kind) => ApiError::forbidden(kind, self.name.as_deref().unwrap_or_default(), &why),
            None => ApiError::forbidden_path(format!("{} is forbidden: {why}", self.group_resource())),
        }
    }

    /// The kind served there, if there is one.
    pub(crate) fn kind(&self) -> Option<&'static Kind> {
        registry::by_resource(&self.group, &self.version, &self.resource)
    }

    /// The review that is created there, if it is one.
    pub(crate) fn review(&self) -> Option<&'static Review> {
        let alone = self.namespace.is_none() && self.name.is_none();
        registry::review(&self.group, &self.version, &self.resource).filter(|_| alone)
    }

    /// `orders.dropmate.dev`, or `namespaces` in the core group.
    pub(crate) fn group_resource(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }

    /// The path with the names taken out: bounded in number, and nobody's name in a log or a metric.
    pub(crate) fn template(&self) -> String {
        let Some(kind) = self.kind() else {
            return self.review().map_or_else(|| "unknown resource".to_owned(), Review::path);
        };
        let root = if kind.group.is_empty() {
            format!("/api/{}", kind.version)
        } else {
            format!("/apis/{}/{}", kind.group, kind.version)
        };
        let namespace = if kind.namespaced && self.namespace.is_some() { "/namespaces/{namespace}" } else { "" };
        let name = if self.name.is_some() { "/{name}" } else { "" };
        let known = self.subresource == "status" || kind.subresources.contains(&self.subresource.as_str());
        let subresource = match self.subresource.as_str() {
            "" => String::new(),
            known_name if known => format!("/{known_name}"),
            _ => "/{subresource}".to_owned(),
        };
        format!("{root}{namespace}/{}{name}{subresource}", kind.plural)
    }
}

/// Whether the query asks for a watch, read as the verbs read it: the last of several counts.
fn wants_watch(uri: &Uri) -> bool {
    let QueryOf(query) = QueryOf::<Query>::try_from_uri(uri).unwrap_or_default();
    query.get("watch").is_some_and(|said| options::truth(said))
}

/// Percent-decodes a path segment; what is no UTF-8 stays as it was, and then is nobody's name.
pub(crate) fn decode(segment: &str) -> String {
    let bytes = segment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        decoded.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).unwrap_or_else(|_| segment.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(method: &Method, uri: &str) -> Option<ResourceInfo> {
        ResourceInfo::of(method, &uri.parse().unwrap())
    }

    #[test]
    fn verbs_follow_method_name_and_query() {
        let path = "/apis/dropmate.dev/v1/namespaces/acme/orders";
        assert_eq!(info(&Method::GET, path).unwrap().verb, "list");
        for watch in ["watch=true", "watch", "watch=T", "watch=yes", "w%61tch=1", "watch=0&watch=1"] {
            assert_eq!(info(&Method::GET, &format!("{path}?{watch}")).unwrap().verb, "watch", "{watch}");
        }
        for list in ["watch=0", "watch=False", "unwatch=1", "limit=5"] {
            assert_eq!(info(&Method::GET, &format!("{path}?{list}")).unwrap().verb, "list", "{list}");
        }
        assert_eq!(info(&Method::GET, &format!("{path}/o1")).unwrap().verb, "get");
        assert_eq!(info(&Method::GET, &format!("{path}/o1?watch=true")).unwrap().verb, "get");
        assert_eq!(info(&Method::DELETE, path).unwrap().verb, "deletecollection");
        let bind = info(&Method::POST, &format!("{path}/o1/binding")).unwrap();
        assert_eq!(
            (bind.verb, bind.subresource.as_str(), bind.namespace.as_deref()),
            ("create", "binding", Some("acme"))
        );
    }

    #[test]
    fn a_namespace_is_in_itself() {
        let get = info(&Method::GET, "/api/v1/namespaces/acme").unwrap();
        assert_eq!(
            (get.resource.as_str(), get.namespace.as_deref(), get.name.as_deref()),
            ("namespaces", Some("acme"), Some("acme"))
        );
        assert_eq!(info(&Method::GET, "/api/v1/namespaces/acme/events").unwrap().resource, "events");
    }

    #[test]
    fn history_is_a_part_of_what_it_is_the_history_of() {
        let past =
            |path| info(&Method::GET, path).map(|info| (info.group.clone(), info.attributes().path(), info.namespace));
        let told = |group: &str, path: &str, namespace: Option<&str>| {
            Some((group.to_owned(), path.to_owned(), namespace.map(str::to_owned)))
        };
        assert_eq!(past("/v1/namespaces/a/history/orders/o"), told("dropmate.dev", "orders/history", Some("a")));
        let lease = past("/v1/namespaces/a/history/leases.coordination.k8s.io/l");
        assert_eq!(lease, told("coordination.k8s.io", "leases/history", Some("a")));
        assert_eq!(past("/v1/namespaces/a/archive/orders"), told("dropmate.dev", "orders/archive", Some("a")));
        assert_eq!(past("/v1/history/namespaces/a"), told("", "namespaces/history", Some("a")));
        assert_eq!(info(&Method::DELETE, "/v1/namespaces/a/history/orders/o").unwrap().verb, "delete");
    }

    #[test]
    fn every_task_in_a_namespace_is_looked_up_in_the_table() {
        let task = |method: &Method, path: &str| {
            let info = info(method, path).unwrap();
            (info.verb, info.group, info.resource, info.subresource, info.namespace)
        };
        let told = |verb, group: &str, resource: &str, subresource: &str, namespace: Option<&str>| {
            (verb, group.to_owned(), resource.to_owned(), subresource.to_owned(), namespace.map(str::to_owned))
        };
        assert_eq!(task(&Method::PUT, "/v1/namespaces/a/secrets/s"), told("update", TASKS, "secrets", "", Some("a")));
        assert_eq!(
            task(&Method::POST, "/v1/namespaces/a/members/m/invitation"),
            told("create", "dropmate.dev", "members", "invitation", Some("a"))
        );
        assert_eq!(
            task(&Method::DELETE, "/v1/namespaces/a/serviceaccounts/s/tokens"),
            told("delete", "", "serviceaccounts", "tokens", Some("a"))
        );
        assert_eq!(task(&Method::GET, "/v1/namespaces/a/whatever"), told("list", TASKS, "whatever", "", Some("a")));
        assert_eq!(task(&Method::POST, "/v1/users/a@b.c/disable"), told("create", TASKS, "users", "disable", None));
        assert_eq!(
            task(&Method::GET, "/v1/stream?namespace=a"),
            told("watch", "dropmate.dev", "orders", "", Some("a"))
        );
        assert_eq!(task(&Method::GET, "/v1/stream?seq=7"), told("watch", "dropmate.dev", "orders", "", None));
        assert_eq!(task(&Method::GET, "/v1/audit"), told("list", TASKS, "audit", "", None));
    }

    #[test]
    fn discovery_and_tasks_are_no_resources() {
        for path in
            ["/", "/api", "/api/v1", "/apis", "/apis/", "/apis/dropmate.dev/v1", "/v1/clock", "/version", "/openapi/v3"]
        {
            assert_eq!(info(&Method::GET, path), None, "{path}");
        }
    }

    #[test]
    fn names_are_percent_decoded_so_that_nobody_slips_by_the_table() {
        let bind = info(&Method::POST, "/apis/dropmate.dev/v1/namespaces/acme/orders/o1/b%69nding").unwrap();
        assert_eq!(bind.subresource, "binding");
        let group = info(&Method::GET, "/apis/dropmate%2Edev/v%31/namespaces/acme/orders").unwrap();
        assert_eq!((group.group.as_str(), group.kind().map(|kind| kind.kind)), ("dropmate.dev", Some("Order")));
        assert_eq!(decode("100%"), "100%");
    }
}
