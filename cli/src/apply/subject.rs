//! What a manifest is about.

use super::one::ApplyError;
use crate::{
    connection::Connection,
    kinds::{Kinds, Resource},
    manifest::Manifest,
};

/// What a manifest is about: its kind as it is served, and its place.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) resource: Resource,
    /// `None` for kinds without.
    pub(super) namespace: Option<String>,
}

impl Subject {
    /// Namespaces hold what others put into them, and an ApplySet is no member of another.
    pub(super) fn may_be_member(&self) -> bool {
        let kind = self.resource.kind.as_str();
        kind != "Namespace" && kind != "ApplySet"
    }
}

/// Finds out what a manifest is about.
pub(super) async fn subject(
    connection: &Connection,
    kinds: &Kinds,
    manifest: &Manifest,
) -> Result<Subject, ApplyError> {
    let resource = kinds.of(connection, manifest.api_version(), manifest.kind()).await?;
    let Some(resource) = resource else {
        let message = format!("the server has no kind {:?} in {:?}", manifest.kind(), manifest.api_version());
        return Err(ApplyError::Object(vec![manifest.problem_at("kind", message)]));
    };
    if !resource.namespaced {
        return Ok(Subject { resource, namespace: None });
    }
    let namespace = match manifest.namespace() {
        Some(own) if connection.namespace_given && own != connection.namespace => {
            let message = format!("the object is of namespace {own:?}, but -n says {:?}", connection.namespace);
            return Err(ApplyError::Object(vec![manifest.problem_at("metadata.namespace", message)]));
        }
        Some(own) => own.to_owned(),
        None => connection.namespace.clone(),
    };
    Ok(Subject { resource, namespace: Some(namespace) })
}
