//! The form in which an answer is given, as the caller's `Accept` asks.

use std::{borrow::Cow, sync::Arc};

use axum::{body::Body, response::Response};
use dropmate_api::{Clock, registry::Kind};
use dropmate_store::{Object, Revision};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    call::Call,
    commit,
    limits::Eyes,
    list::Listing,
    page_body::{PageBody, Render},
};
use crate::{
    accept::{self, Representation},
    error::{ApiError, Result},
    gateway::Packable,
    object,
    table::{self, Include},
};

/// The form in which an answer is given.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    form: Representation,
    include: Include,
    clock: Clock,
    /// Of a caller who does not see all of an object.
    eyes: Option<Eyes>,
    /// Whether a watcher knows the columns of its Table.
    columns_known: bool,
}

impl Answer {
    /// Reads `Accept`.
    pub(crate) fn negotiate(call: &Call) -> Result<Self> {
        let served = [Representation::Json, Representation::Table, Representation::Metadata];
        let form = accept::negotiate(&call.headers, &served)?;
        let include = call.query.get("includeObject").map(String::as_str);
        let include = Include::parse(include).ok_or_else(|| {
            let given = include.unwrap_or("");
            ApiError::bad_request(format!("unrecognized includeObject value: {given:?}"))
        })?;
        Ok(Self { form, include, clock: call.state.clock.clone(), eyes: Eyes::of(call), columns_known: false })
    }

    fn now(&self) -> Timestamp {
        self.clock.system_now()
    }

    /// An object as it is stored.
    pub(crate) fn stored(&self, kind: &Kind, stored: &Object, code: StatusCode) -> Result<Response> {
        if self.form == Representation::Json && self.eyes.is_none() {
            let mut bytes = Vec::with_capacity(stored.body.len() + 64);
            write_json(kind, stored, stored.revision, &mut bytes)?;
            return Ok(respond(bytes, code));
        }
        Ok(self.served(kind, &commit::served(kind, stored)?, code))
    }

    /// An object in its served form, which need not be stored (dry run).
    pub(crate) fn served(&self, kind: &Kind, served: &Value, code: StatusCode) -> Response {
        let mut shown = Cow::Borrowed(served);
        if let Some(eyes) = &self.eyes {
            eyes.redact(shown.to_mut());
        }
        let served = &*shown;
        let answer = match self.form {
            Representation::Json => return respond(served.to_string().into_bytes(), code),
            Representation::Table => {
                let metadata = json!({"resourceVersion": served["metadata"]["resourceVersion"]});
                table::table(kind, std::slice::from_ref(served), self.include, &metadata, self.now())
            }
            Representation::Metadata => table::partial_metadata(served),
        };
        respond(answer.to_string().into_bytes(), code)
    }

    /// A page of objects, rendered as it is sent.
    pub(crate) fn list(&self, kind: &'static Kind, listing: Listing) -> Result<Response> {
        let metadata = list_metadata(&listing);
        let objects = listing.objects;
        let (document, field, size, render): (_, _, _, Render) = match self.form {
            Representation::Json => {
                let document = json!({
                    "apiVersion": kind.api_version(), "kind": kind.list_kind(), "metadata": metadata, "items": [],
                });
                let plain = kind.renamed.is_empty() && self.eyes.is_none();
                let size = plain.then(|| plain_bytes(&objects));
                (document, "items", size, Box::new(|object, out| write_json(kind, object, object.revision, out)))
            }
            Representation::Table => {
                let (include, now) = (self.include, self.now());
                let render = move |object: &Object, out: &mut Vec<u8>| {
                    table::write_row(kind, object, object.revision, include, now, out)
                };
                (table::table(kind, &[], include, &metadata, now), "rows", None, Box::new(render))
            }
            Representation::Metadata => {
                let render = |object: &Object, out: &mut Vec<u8>| {
                    table::write_partial_metadata(kind, object, object.revision, out)
                };
                (table::partial_metadata_list(&metadata), "items", None, Box::new(render))
            }
        };
        let render = match self.eyes.clone() {
            Some(eyes) => through(eyes, kind, render),
            None => render,
        };
        let sized = size.is_some();
        let body = PageBody::new(split(&document, field)?, objects, size, render);
        let mut response = respond(Body::new(body), StatusCode::OK);
        if !sized {
            response.extensions_mut().insert(Packable);
        }
        Ok(response)
    }

    /// An object in a watch event.
    pub(crate) fn watched(
        &mut self,
        kind: &Kind,
        object: &Object,
        revision: Revision,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let shown = self.eyes.as_ref().map(|eyes| eyes.shown(kind, object)).transpose()?;
        let object = shown.as_ref().unwrap_or(object);
        match self.form {
            Representation::Json => write_json(kind, object, revision, out),
            Representation::Table => {
                let first = !std::mem::replace(&mut self.columns_known, true);
                table::write_watched(kind, object, revision, self.include, first, self.now(), out)
            }
            Representation::Metadata => table::write_partial_metadata(kind, object, revision, out),
        }
    }

    /// The object of a bookmark.
    pub(crate) fn bookmark(&mut self, kind: &Kind, metadata: &Value) -> Value {
        let plain = json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata});
        match self.form {
            Representation::Json => plain,
            Representation::Table => {
                let first = !std::mem::replace(&mut self.columns_known, true);
                table::bookmark(kind, &table::partial_metadata(&plain), first)
            }
            Representation::Metadata => table::partial_metadata(&plain),
        }
    }
}

/// Renders what the caller may see of each object.
fn through(eyes: Eyes, kind: &'static Kind, mut render: Render) -> Render {
    Box::new(move |object, out| render(&eyes.shown(kind, object)?, out))
}

/// An answer in JSON, which every form is.
pub(crate) fn respond(body: impl Into<Body>, code: StatusCode) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The size of the stored texts, once they say their version.
fn plain_bytes(objects: &[Arc<Object>]) -> usize {
    objects.iter().map(|object| object::with_version_bytes(&object.body, object.revision)).sum()
}

/// The text of a document whose `field` is an empty array, before and after what goes into that.
fn split(document: &Value, field: &str) -> Result<(Vec<u8>, Vec<u8>)> {
    let text = document.to_string();
    let empty = format!("\"{field}\":[]");
    let at = text.find(&empty).ok_or_else(|| ApiError::internal("a list has no place for its items"))?;
    let (head, tail) = text.split_at(at + empty.len() - 1);
    Ok((head.into(), tail.into()))
}

/// An object as it is served, at that version.
pub(crate) fn write_json(kind: &Kind, object: &Object, revision: Revision, out: &mut Vec<u8>) -> Result<()> {
    if kind.renamed.is_empty() {
        object::with_version(&object.body, revision, out);
    } else {
        out.extend_from_slice(commit::at_version(kind, object, revision)?.to_string().as_bytes());
    }
    Ok(())
}

fn list_metadata(listing: &Listing) -> Value {
    let mut metadata = json!({"continue": listing.continue_token, "resourceVersion": listing.revision.to_string()});
    if let Some(remaining) = listing.remaining {
        metadata["remainingItemCount"] = remaining.into();
    }
    metadata
}
