//! What a request is about, read from its method, path and query as Kubernetes reads them: for authorization, metrics
//! and the log.

use axum::extract::Query as QueryOf;
use dropmate_api::{
    registry::{self, Kind},
    roles::Attributes,
};
use http::{Method, Uri};

use crate::{
    history,
    options::{self, Query},
};

/// A request to the resource API.
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
            "v1" => return Self::past(method, &parts.map(decode).collect::<Vec<_>>()),
            "api" => (String::new(), parts.next()?),
            "apis" => (parts.next()?.to_owned(), parts.next()?),
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
            version: version.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
        })
    }

    /// Who may read a kind may read its archive and its history: `/v1/namespaces/NS/archive/RESOURCE[/NAME]`,
    /// `/v1/namespaces/NS/history/RESOURCE/NAME`, `/v1/history/RESOURCE/NAME`.
    fn past(method: &Method, parts: &[String]) -> Option<Self> {
        let (namespace, resource, name) = match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["namespaces", namespace, "archive", resource] => (Some(namespace), resource, None),
            ["namespaces", namespace, "archive" | "history", resource, name] => (Some(namespace), resource, Some(name)),
            // A Namespace is in itself here as well.
            ["history", resource @ "namespaces", name] => (Some(name), resource, Some(name)),
            ["history", resource, name] => (None, resource, Some(name)),
            _ => return None,
        };
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let kind = history::named(resource);
        Some(Self {
            verb: if !reads {
                "update"
            } else if name.is_some() {
                "get"
            } else {
                "list"
            },
            group: kind.map_or(dropmate_api::GROUP, |kind| kind.group).to_owned(),
            version: dropmate_api::VERSION.to_owned(),
            resource: kind.map_or(resource, |kind| kind.plural).to_owned(),
            subresource: String::new(),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
        })
    }

    /// For the authorization table.
    pub(crate) fn attributes(&self) -> Attributes<'_> {
        Attributes {
            verb: self.verb,
            group: &self.group,
            resource: &self.resource,
            subresource: &self.subresource,
            namespace: self.namespace.as_deref(),
        }
    }

    /// The kind served there, if there is one.
    pub(crate) fn kind(&self) -> Option<&'static Kind> {
        registry::by_resource(&self.group, &self.version, &self.resource)
    }

    /// `orders.dropmate.dev`, or `namespaces` in the core group.
    pub(crate) fn group_resource(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }

    /// The path with the names taken out: bounded in number, and nobody's name in a log or a metric.
    pub(crate) fn template(&self) -> String {
        let Some(kind) = self.kind() else { return "unknown resource".to_owned() };
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
    fn history_is_read_by_who_reads_the_object() {
        let past = |path| info(&Method::GET, path).map(|info| (info.verb, info.group, info.resource, info.namespace));
        let told = |group: &str, resource: &str, namespace: Option<&str>| {
            Some(("get", group.to_owned(), resource.to_owned(), namespace.map(str::to_owned)))
        };
        assert_eq!(past("/v1/namespaces/a/history/orders/o"), told("dropmate.dev", "orders", Some("a")));
        let lease = past("/v1/namespaces/a/history/leases.coordination.k8s.io/l");
        assert_eq!(lease, told("coordination.k8s.io", "leases", Some("a")));
        assert_eq!(past("/v1/namespaces/a/history/leases/l"), told("coordination.k8s.io", "leases", Some("a")));
        assert_eq!(past("/v1/history/namespaces/a"), told("", "namespaces", Some("a")));
        assert_eq!(past("/v1/namespaces/a/history/nothings/n"), told("dropmate.dev", "nothings", Some("a")));
        assert_eq!(info(&Method::DELETE, "/v1/namespaces/a/history/orders/o").unwrap().verb, "update");
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
        assert_eq!(decode("100%"), "100%");
    }
}
