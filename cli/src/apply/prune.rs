//! Deletes the members of an ApplySet that have left the manifests, and nothing else.
//!
//! An object goes only if all of this holds: it carries the set's label; the server keeps that this manager has applied
//! the label, on this very object (a copied or re-created one has another owner); it is not in the manifests; it is the
//! same object at the same version when the delete arrives.

use std::collections::HashSet;

use dropmate_api::applyset::PART_OF;
use futures::{StreamExt as _, stream};
use http::Method;
use serde_json::{Value, json};

use super::{
    member::{label, owns_label},
    report::Report,
    set::{Held, Places},
};
use crate::{
    connection::{Connection, Refusal, escape},
    failure::{Failure, Outcome},
    kinds::{Kinds, Resource},
    pages::{PAGE, following},
};

/// How many deletes are under way at once.
const IN_FLIGHT: usize = 16;
/// How often an object is looked at anew when others write to it.
const MAX_ATTEMPTS: usize = 5;

/// What is pruned, and how.
pub(super) struct Pruning<'a> {
    pub(super) connection: &'a Connection,
    pub(super) kinds: &'a Kinds,
    /// The set's id.
    pub(super) id: &'a str,
    /// Who applies.
    pub(super) manager: &'a str,
    /// The keys of everything in the manifests.
    pub(super) wanted: &'a HashSet<String>,
    /// The set, for a real run; without it nothing is deleted.
    pub(super) held: Option<&'a Held>,
    /// Only tell what would go, and do not ask the server whether it may.
    pub(super) only_tell: bool,
}

/// How an object of the set ended.
enum Fate {
    /// It is gone, or would be.
    Gone,
    /// It is marked, and waits for these finalizers.
    Waits(Vec<String>),
    /// It turned out to be no longer the set's to delete.
    Spared,
    Refused(Refusal),
}

/// The key of an object in the manifests.
pub(super) fn key(kind: &str, namespace: Option<&str>, name: &str) -> String {
    [kind, namespace.unwrap_or_default(), name].join("\0")
}

impl Pruning<'_> {
    /// Prunes, and says where members are left and how many.
    pub(super) async fn run(&self, places: &Places, report: &mut Report) -> Outcome<(Places, usize)> {
        let (mut left, mut count) = (Places::default(), 0);
        // Orders before the drivers and depots that they name.
        for kind in places.kinds.iter().rev() {
            let resource = self.resource(kind).await?;
            let namespaces: Vec<Option<&str>> = if resource.namespaced {
                places.namespaces.iter().map(|name| Some(name.as_str())).collect()
            } else {
                vec![None]
            };
            for namespace in namespaces {
                let collection = resource.path(namespace);
                let selector = escape(&format!("{PART_OF}={}", self.id));
                let mut next = Some(format!("{collection}?limit={PAGE}&labelSelector={selector}"));
                while let Some(page) = next {
                    let list = match self.connection.get(&page).await?.accepted() {
                        Ok(list) => list,
                        // No such namespace any more, for this caller.
                        Err(refusal) if refusal.code == 404 => break,
                        Err(refusal) => return Err(refusal.into()),
                    };
                    next = following(&list, &page);
                    let kept = self.page(&resource, kind, namespace, list, report).await?;
                    if kept > 0 {
                        left.add(kind, namespace);
                        count += kept;
                    }
                }
            }
        }
        Ok((left, count))
    }

    /// Prunes what a page of members has to lose; how many are left of it that are not in the manifests.
    async fn page(
        &self,
        resource: &Resource,
        kind: &str,
        namespace: Option<&str>,
        mut list: Value,
        report: &mut Report,
    ) -> Outcome<usize> {
        let items = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let mut left = 0;
        let mut doomed = Vec::new();
        for mut item in items {
            item["apiVersion"] = json!(resource.api_version);
            item["kind"] = json!(resource.kind);
            let name = name(&item).to_owned();
            if self.wanted.contains(&key(kind, namespace, &name)) {
                continue;
            }
            if self.owns(&item) {
                doomed.push(item);
                continue;
            }
            report.note(&format!(
                "{} carries the label of the set but was not applied by it: left alone",
                resource.object(&name)
            ));
            left += 1;
        }
        let collection = resource.path(namespace);
        let mut fates = stream::iter(doomed)
            .map(|item| {
                let path = format!("{collection}/{}", escape(name(&item)));
                async move { (self.delete(&path, &item).await, item) }
            })
            .buffered(IN_FLIGHT);
        while let Some((fate, item)) = fates.next().await {
            let object = resource.object(name(&item));
            match fate? {
                Fate::Gone => report.pruned(&object, &item, "")?,
                Fate::Waits(finalizers) => {
                    left += 1;
                    report.pruned(&object, &item, &format!(", waits for {}", finalizers.join(", ")))?;
                }
                Fate::Spared => left += 1,
                Fate::Refused(refusal) => {
                    left += 1;
                    report.refused(&format!("{object} cannot be pruned: {refusal}"));
                }
            }
        }
        Ok(left)
    }

    fn owns(&self, item: &Value) -> bool {
        label(item) == Some(self.id) && owns_label(item, self.manager)
    }

    async fn delete(&self, path: &str, item: &Value) -> Outcome<Fate> {
        let finalizers = |object: &Value| -> Vec<String> {
            let held = object.pointer("/metadata/finalizers").and_then(Value::as_array);
            held.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        if self.only_tell {
            return Ok(Fate::Gone);
        }
        let mut item = item.clone();
        let query = if self.held.is_some() { "" } else { "?dryRun=All" };
        for _ in 0..MAX_ATTEMPTS {
            if item.pointer("/metadata/deletionTimestamp").is_some() {
                return Ok(Fate::Waits(finalizers(&item)));
            }
            let (uid, version) = (&item["metadata"]["uid"], &item["metadata"]["resourceVersion"]);
            let options = json!({
                "apiVersion": "v1", "kind": "DeleteOptions",
                "preconditions": {"uid": uid, "resourceVersion": version},
            });
            if let Some(held) = self.held {
                held.hold().await?;
            }
            let url = format!("{path}{query}");
            match self.connection.write(Method::DELETE, &url, "application/json", &options).await?.accepted() {
                Ok(answer) if answer["kind"] == "Status" || finalizers(&answer).is_empty() => return Ok(Fate::Gone),
                Ok(answer) => return Ok(Fate::Waits(finalizers(&answer))),
                Err(refusal) if refusal.code == 404 => return Ok(Fate::Gone),
                Err(refusal) if refusal.code == 409 => {}
                Err(refusal) if refusal.code >= 500 || refusal.code == 401 || refusal.code == 429 => {
                    return Err(refusal.into());
                }
                Err(refusal) => return Ok(Fate::Refused(refusal)),
            }
            // Somebody wrote to it, or made it anew: is it still the set's to delete?
            let live = match self.connection.get(path).await?.accepted() {
                Ok(live) => live,
                Err(refusal) if refusal.code == 404 => return Ok(Fate::Gone),
                Err(refusal) => return Err(refusal.into()),
            };
            if live["metadata"]["uid"] != item["metadata"]["uid"] || !self.owns(&live) {
                return Ok(Fate::Spared);
            }
            item = live;
        }
        let message = format!("others kept changing it; gave up after {MAX_ATTEMPTS} attempts");
        Ok(Fate::Refused(Refusal { code: 409, message, ..Refusal::default() }))
    }

    async fn resource(&self, kind: &str) -> Outcome<Resource> {
        let found = self.kinds.by_word(self.connection, kind).await?;
        let (name, group) = kind.split_once('.').unwrap_or((kind, ""));
        let is_it = |resource: &Resource| resource.kind == name && resource.group() == group;
        found.into_iter().find(is_it).ok_or_else(|| Failure::No(format!("the server has no kind {kind:?} any more")))
    }
}

fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}
