//! What a path under `/api` and `/apis` means: which kind, where, which object and which part of it.

use dropmate_api::registry::{self, Kind};

/// What a resource path means.
#[derive(Clone)]
pub(crate) struct Target {
    /// The kind.
    pub(crate) kind: &'static Kind,
    /// The namespace; `None` for cluster-scoped kinds and for all namespaces.
    pub(crate) namespace: Option<String>,
    /// The object; `None` is the collection.
    pub(crate) name: Option<String>,
    /// `status`, `binding`, `progress`.
    pub(crate) subresource: Option<String>,
}

impl Target {
    /// Reads a path; `None` if no served kind is there.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let mut segments = path.strip_prefix('/')?.split('/');
        let (group, version) = match segments.next()? {
            "api" => (String::new(), segments.next()?),
            "apis" => (decode(segments.next()?)?, segments.next()?),
            _ => return None,
        };
        let rest: Vec<String> = segments.map(decode).collect::<Option<_>>()?;
        let parts: Vec<&str> = rest.iter().map(String::as_str).collect();
        let cluster = |parts: &[&str]| Self::at(&group, version, None, parts);
        match parts.as_slice() {
            // `namespaces/NAME/status` is the object's part, not a kind called `status`.
            ["namespaces", _, "status" | "finalize"] if group.is_empty() => cluster(&parts),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => {
                Self::at(&group, version, Some(namespace), rest)
            }
            _ => cluster(&parts),
        }
    }

    fn at(group: &str, version: &str, namespace: Option<&str>, parts: &[&str]) -> Option<Self> {
        let (plural, name, subresource) = match *parts {
            [plural] => (plural, None, None),
            [plural, name] => (plural, Some(name), None),
            [plural, name, subresource] => (plural, Some(name), Some(subresource)),
            _ => return None,
        };
        let kind = registry::by_resource(group, version, plural)?;
        if name == Some("") || namespace == Some("") {
            return None;
        }
        let serves = |part: &str| (part == "status" && kind.status_subresource) || kind.subresources.contains(&part);
        let fits = if kind.namespaced { namespace.is_some() || name.is_none() } else { namespace.is_none() };
        if !fits || subresource.is_some_and(|part| !serves(part)) {
            return None;
        }
        Some(Self {
            kind,
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            subresource: subresource.map(str::to_owned),
        })
    }
}

/// Undoes percent encoding; `None` if it is broken or hides a slash.
fn decode(segment: &str) -> Option<String> {
    if !segment.contains('%') {
        return Some(segment.to_owned());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let (code, tail) = tail.split_at_checked(2)?;
            bytes.extend(hex::decode(code).ok()?);
            rest = tail;
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    let decoded = String::from_utf8(bytes).ok()?;
    (!decoded.contains('/')).then_some(decoded)
}
