//! Kinds, resolved through the server's discovery: whatever it serves can be got, applied and deleted.

use std::{collections::HashMap, sync::Mutex};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    connection::Connection,
    failure::{Failure, Outcome},
};

/// A served resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resource {
    /// `dropmate.dev/v1`, or `v1`.
    pub(crate) api_version: String,
    /// `Order`.
    pub(crate) kind: String,
    /// `orders`.
    pub(crate) plural: String,
    /// `order`.
    pub(crate) singular: String,
    /// `ord`.
    pub(crate) short_names: Vec<String>,
    /// `all`.
    pub(crate) categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub(crate) namespaced: bool,
}

impl Resource {
    /// The path of the collection, in the namespace where there is one.
    pub(crate) fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.api_version.contains('/') { "/apis" } else { "/api" };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{root}/{}/namespaces/{namespace}/{}", self.api_version, self.plural),
            None => format!("{root}/{}/{}", self.api_version, self.plural),
        }
    }

    /// `dropmate.dev`; empty for the core group.
    pub(crate) fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// `Order.dropmate.dev`; `Event` in the core group.
    pub(crate) fn group_kind(&self) -> String {
        match self.group() {
            "" => self.kind.clone(),
            group => format!("{}.{group}", self.kind),
        }
    }

    /// As kubectl names an object: `order.dropmate.dev/o-1`, `namespace/acme`.
    pub(crate) fn object(&self, name: &str) -> String {
        match self.api_version.split_once('/') {
            Some((group, _)) => format!("{}.{group}/{name}", self.singular_name()),
            None => format!("{}/{name}", self.singular_name()),
        }
    }

    fn singular_name(&self) -> String {
        if self.singular.is_empty() { self.kind.to_lowercase() } else { self.singular.clone() }
    }

    /// Whether a person means this resource by that word.
    fn answers_to(&self, word: &str) -> bool {
        let (name, group) = word.split_once('.').unwrap_or((word, ""));
        let named = name == self.plural
            || name == self.singular_name()
            || name == self.kind.to_lowercase()
            || self.short_names.iter().any(|short| short == name);
        named && (group.is_empty() || group == self.group())
    }
}

#[derive(Deserialize)]
struct ResourceList {
    #[serde(default)]
    resources: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    name: String,
    #[serde(default)]
    singular_name: String,
    namespaced: bool,
    kind: String,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
}

/// What the server serves, asked for once.
#[derive(Default)]
pub(crate) struct Kinds {
    by_version: Mutex<HashMap<String, Vec<Resource>>>,
}

impl Kinds {
    /// The resource of a manifest's apiVersion and kind; `None` if the server has no such kind.
    pub(crate) async fn of(&self, connection: &Connection, api_version: &str, kind: &str) -> Outcome<Option<Resource>> {
        let served = self.version(connection, api_version).await?;
        Ok(served.into_iter().find(|resource| resource.kind == kind))
    }

    /// The resources a person means by a word: a plural, a singular, a short name, `plural.group` or a category.
    pub(crate) async fn by_word(&self, connection: &Connection, word: &str) -> Outcome<Vec<Resource>> {
        let word = word.to_lowercase();
        let mut served = Vec::new();
        // Our own group first: nearly always it is meant, and then one request was enough.
        let mut versions = vec![dropmate_api::API_VERSION.to_owned(), "v1".to_owned()];
        for own in &versions {
            served.extend(self.version(connection, own).await?);
            if let Some(found) = served.iter().find(|resource| resource.answers_to(&word)) {
                return Ok(vec![found.clone()]);
            }
        }
        let groups = connection.get("/apis").await?.accepted()?;
        for group in groups["groups"].as_array().into_iter().flatten() {
            let version = group.pointer("/preferredVersion/groupVersion").and_then(Value::as_str).unwrap_or_default();
            if !version.is_empty() && !versions.iter().any(|known| known == version) {
                served.extend(self.version(connection, version).await?);
                versions.push(version.to_owned());
            }
        }
        if let Some(found) = served.iter().find(|resource| resource.answers_to(&word)) {
            return Ok(vec![found.clone()]);
        }
        let category: Vec<_> = served.into_iter().filter(|r| r.categories.contains(&word)).collect();
        if category.is_empty() {
            return Err(Failure::No(format!("the server has no kind {word:?}; `kubectl api-resources` lists them")));
        }
        Ok(category)
    }

    async fn version(&self, connection: &Connection, api_version: &str) -> Outcome<Vec<Resource>> {
        let known = || self.by_version.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(served) = known().get(api_version) {
            return Ok(served.clone());
        }
        let root = if api_version.contains('/') { "/apis" } else { "/api" };
        let served = match connection.get(&format!("{root}/{api_version}")).await?.accepted() {
            Ok(list) => serde_json::from_value::<ResourceList>(list)?.resources,
            Err(refusal) if refusal.code == 404 => Vec::new(),
            Err(refusal) => return Err(refusal.into()),
        };
        let served: Vec<Resource> = served
            .into_iter()
            // `orders/status` is a part of `orders`.
            .filter(|listed| !listed.name.contains('/'))
            .map(|listed| Resource {
                api_version: api_version.to_owned(),
                kind: listed.kind,
                plural: listed.name,
                singular: listed.singular_name,
                short_names: listed.short_names,
                categories: listed.categories,
                namespaced: listed.namespaced,
            })
            .collect();
        known().insert(api_version.to_owned(), served.clone());
        Ok(served)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> Resource {
        Resource {
            api_version: "dropmate.dev/v1".to_owned(),
            kind: "Order".to_owned(),
            plural: "orders".to_owned(),
            singular: "order".to_owned(),
            short_names: vec!["ord".to_owned()],
            categories: vec!["all".to_owned()],
            namespaced: true,
        }
    }

    #[test]
    fn a_resource_answers_to_all_its_names() {
        for word in ["orders", "order", "ord", "orders.dropmate.dev"] {
            assert!(orders().answers_to(word), "{word}");
        }
        assert!(!orders().answers_to("orders.example.com"));
    }

    #[test]
    fn paths_and_names_are_those_of_kubectl() {
        assert_eq!(orders().path(Some("acme")), "/apis/dropmate.dev/v1/namespaces/acme/orders");
        assert_eq!(orders().path(None), "/apis/dropmate.dev/v1/orders");
        assert_eq!(orders().object("o-1"), "order.dropmate.dev/o-1");
    }
}
