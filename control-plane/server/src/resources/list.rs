//! List: pages at one revision, with selectors, and tokens to go on with.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dropmate_store::{At, Key, Object, ReadError, Revision, Scope};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::call::Call;
use crate::{
    error::{ApiError, Result},
    options::{ListOptions, VersionMatch},
    selector::Selector,
};

/// With a selector and a limit, objects are looked at in runs of this size.
const SCAN: usize = 1_000;

/// A page of objects.
pub(crate) struct Listing {
    /// The objects, in key order.
    pub(crate) objects: Vec<Arc<Object>>,
    /// The revision of the whole walk.
    pub(crate) revision: Revision,
    /// Where to go on; empty at the end.
    pub(crate) continue_token: String,
    /// How many follow; unknown with selectors.
    pub(crate) remaining: Option<usize>,
}

/// A `continue` token: opaque to clients, bound to the query and the caller it was given to.
#[derive(Serialize, Deserialize)]
struct Token {
    /// The revision of the walk; none after its history was gone: then the walk goes on at the newest.
    revision: Option<Revision>,
    namespace: String,
    name: String,
    query: String,
}

impl Call {
    /// Which objects the path means.
    pub(crate) fn scope(&self) -> Scope {
        Scope { resource: self.kind().storage.to_owned(), namespace: self.target.namespace.clone() }
    }

    /// Lists a page.
    pub(crate) async fn list(&self, options: &ListOptions, selector: &Selector) -> Result<Listing> {
        let digest = self.query_digest(options);
        let (at, mut after) = self.start(options, &digest)?;
        if let At::Exact(version) = at {
            self.check_tenancy(version).await?;
        }
        if let (Some(name), Some(_), None) = (selector.name(), &self.target.namespace, &after) {
            let (object, revision) = self.state.store.get(&self.key_of(name), at).await.map_err(list_error)?;
            let objects = object.into_iter().filter(|object| selector.matches(object)).collect();
            return Ok(Listing { objects, revision, continue_token: String::new(), remaining: None });
        }
        let scope = self.scope();
        let mut at = at;
        let mut objects = Vec::new();
        loop {
            let run = if selector.is_empty() { options.limit } else { options.limit.map(|_| SCAN) };
            let page = match self.state.store.list(&scope, at, after.as_ref(), run).await {
                Ok(page) => page,
                Err(ReadError::Expired { .. }) if options.continue_token.is_some() => {
                    return Err(expired_walk(&digest, after.as_ref()));
                }
                Err(error) => return Err(list_error(error)),
            };
            at = At::Exact(page.revision);
            if selector.is_empty() {
                let token = page.next.as_ref().map(|key| token(Some(page.revision), key, &digest));
                let remaining = token.is_some().then_some(page.remaining);
                return Ok(Listing {
                    objects: page.objects,
                    revision: page.revision,
                    continue_token: token.unwrap_or_default(),
                    remaining,
                });
            }
            let last = page.objects.last().map(|object| object.key.clone());
            for object in page.objects {
                if selector.matches(&object) {
                    objects.push(object);
                }
                if options.limit.is_some_and(|limit| objects.len() >= limit) {
                    break;
                }
            }
            let full = options.limit.is_some_and(|limit| objects.len() >= limit);
            let stopped_at = if full { objects.last().map(|object| object.key.clone()) } else { None };
            // A full page ends the walk only if it took the very last object.
            let more = page.next.is_some() || (full && stopped_at != last);
            if full || !more {
                let continue_token = match stopped_at.filter(|_| more) {
                    Some(key) => token(Some(page.revision), &key, &digest),
                    None => String::new(),
                };
                return Ok(Listing { objects, revision: page.revision, continue_token, remaining: None });
            }
            after = page.next;
        }
    }

    /// At which revision and after which key the list starts.
    fn start(&self, options: &ListOptions, digest: &str) -> Result<(At, Option<Key>)> {
        if let Some(text) = &options.continue_token {
            let token = read_token(text, digest)?;
            let key = Key { resource: self.kind().storage.to_owned(), namespace: token.namespace, name: token.name };
            return Ok((token.revision.map_or(At::Latest, At::Exact), Some(key)));
        }
        let at = match (options.resource_version, options.version_match) {
            (None, _) => At::Latest,
            (Some(0), _) => At::Any,
            (Some(version), Some(VersionMatch::Exact)) => At::Exact(version),
            // Without a match, a limit makes it exact: so did Kubernetes before there was one.
            (Some(version), None) if options.limit.is_some() => At::Exact(version),
            (Some(version), _) => At::NotOlder(version),
        };
        Ok((at, None))
    }

    fn query_digest(&self, options: &ListOptions) -> String {
        let mut hasher = Sha256::new();
        let label = options.label_selector.as_deref().unwrap_or("");
        let field = options.field_selector.as_deref().unwrap_or("");
        let namespace = self.target.namespace.as_deref().unwrap_or("");
        for part in [self.caller.user.as_str(), self.kind().storage, namespace, label, field] {
            hasher.update(part.len().to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hex::encode(&hasher.finalize()[..8])
    }
}

fn token(revision: Option<Revision>, key: &Key, query: &str) -> String {
    let token = Token { revision, namespace: key.namespace.clone(), name: key.name.clone(), query: query.to_owned() };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
}

fn read_token(text: &str, digest: &str) -> Result<Token> {
    let invalid =
        || ApiError::bad_request("invalid continue token: continue key is not valid: it was not given for this list");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    if token.query == digest { Ok(token) } else { Err(invalid()) }
}

fn list_error(error: ReadError) -> ApiError {
    match error {
        ReadError::Expired { .. } => ApiError::expired("The resourceVersion for the provided list is too old."),
        other => other.into(),
    }
}

fn expired_walk(digest: &str, after: Option<&Key>) -> ApiError {
    let fresh = after.map(|key| token(None, key, digest)).unwrap_or_default();
    ApiError::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    )
    .continue_with(fresh)
}
