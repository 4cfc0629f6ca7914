//! The form in which an answer is given, as the caller's `Accept` asks.

use axum::{body::Body, response::Response};
use dropmate_api::registry::Kind;
use dropmate_store::{Object, Revision};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{call::Call, commit, events, list::Listing};
use crate::{
    error::{ApiError, Result},
    object,
};

/// The form in which an answer is given.
#[derive(Clone, Debug)]
pub(crate) struct Answer {}

impl Answer {
    /// Reads `Accept`.
    #[expect(clippy::unnecessary_wraps, reason = "answers 406 once there is more than one form")]
    pub(crate) fn negotiate(_call: &Call) -> Result<Self> {
        Ok(Self {})
    }

    /// The media type of the answer.
    pub(crate) fn content_type(&self) -> String {
        "application/json".to_owned()
    }

    /// An object as it is stored.
    pub(crate) fn stored(&self, kind: &Kind, stored: &Object, code: StatusCode) -> Result<Response> {
        let mut bytes = Vec::with_capacity(stored.body.len() + 64);
        write_json(kind, stored, stored.revision, &mut bytes)?;
        self.respond(bytes, code)
    }

    /// An object that is not stored (dry run).
    pub(crate) fn served(&self, _kind: &Kind, served: &Value, code: StatusCode) -> Result<Response> {
        self.respond(served.to_string().into_bytes(), code)
    }

    /// A page of objects.
    pub(crate) fn list(&self, kind: &Kind, listing: &Listing) -> Result<Response> {
        let size: usize = listing.objects.iter().map(|object| object.body.len() + 64).sum();
        let mut bytes = Vec::with_capacity(size + 256);
        bytes.extend_from_slice(format!("{{\"apiVersion\":\"{}\",\"items\":[", kind.api_version()).as_bytes());
        for (index, object) in listing.objects.iter().enumerate() {
            if index > 0 {
                bytes.push(b',');
            }
            write_json(kind, object, object.revision, &mut bytes)?;
        }
        let tail = format!("],\"kind\":\"{}\",\"metadata\":{}}}", kind.list_kind(), list_metadata(listing));
        bytes.extend_from_slice(tail.as_bytes());
        self.respond(bytes, StatusCode::OK)
    }

    /// An object in a watch event.
    pub(crate) fn watched(&mut self, kind: &Kind, object: &Object, revision: Revision, out: &mut Vec<u8>) {
        // A stored body is JSON: it was made by `commit::body`.
        if write_json(kind, object, revision, out).is_err() {
            out.extend_from_slice(b"null");
        }
    }

    /// The object of a bookmark.
    pub(crate) fn bookmark(&mut self, kind: &Kind, metadata: &Value) -> Value {
        json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata})
    }

    fn respond(&self, bytes: Vec<u8>, code: StatusCode) -> Result<Response> {
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() = code;
        let media_type = HeaderValue::from_str(&self.content_type()).map_err(ApiError::internal)?;
        response.headers_mut().insert(CONTENT_TYPE, media_type);
        Ok(response)
    }
}

fn write_json(kind: &Kind, object: &Object, revision: Revision, out: &mut Vec<u8>) -> Result<()> {
    if events::converts(kind) {
        let mut value = commit::served(kind, object)?;
        object::metadata(&mut value).insert("resourceVersion".into(), revision.to_string().into());
        out.extend_from_slice(value.to_string().as_bytes());
    } else {
        object::with_version(&object.body, revision, out);
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
