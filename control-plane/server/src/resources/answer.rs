//! The form in which an answer is given, as the caller's `Accept` asks.

use axum::{body::Body, response::Response};
use dropmate_api::{Clock, registry::Kind};
use dropmate_store::{Object, Revision};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{call::Call, commit, events, list::Listing};
use crate::{
    accept::{self, Representation},
    error::{ApiError, Result},
    object,
    table::{self, Include},
};

/// The form in which an answer is given.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    form: Representation,
    include: Include,
    clock: Clock,
    /// Whether the columns of a watch were told.
    columns_told: bool,
}

impl Answer {
    /// Reads `Accept`, and for a Table the query's `includeObject`.
    pub(crate) fn negotiate(call: &Call) -> Result<Self> {
        let all = [Representation::Json, Representation::Table, Representation::Metadata];
        let form = accept::negotiate(&call.headers, &all)?;
        let include = call.query.get("includeObject").map(String::as_str);
        let include = Include::parse(include).ok_or_else(|| {
            ApiError::bad_request(format!("unrecognized includeObject value: {:?}", include.unwrap_or_default()))
        })?;
        Ok(Self { form, include, clock: call.state.clock.clone(), columns_told: false })
    }

    /// The media type of the answer.
    #[expect(clippy::unused_self, reason = "every form there is so far is JSON")]
    pub(crate) fn content_type(&self) -> String {
        "application/json".to_owned()
    }

    /// An object as it is stored.
    pub(crate) fn stored(&self, kind: &Kind, stored: &Object, code: StatusCode) -> Result<Response> {
        if self.form != Representation::Json {
            return self.served(kind, &commit::served(kind, stored)?, code);
        }
        let mut bytes = Vec::with_capacity(stored.body.len() + 64);
        write_json(kind, stored, stored.revision, &mut bytes)?;
        self.respond(bytes, code)
    }

    /// An object in its served form.
    pub(crate) fn served(&self, kind: &Kind, served: &Value, code: StatusCode) -> Result<Response> {
        let shown = match self.form {
            Representation::Json => return self.respond(served.to_string().into_bytes(), code),
            Representation::Metadata => table::partial_metadata(served),
            Representation::Table => {
                let metadata = json!({"resourceVersion": served["metadata"]["resourceVersion"]});
                let objects = std::slice::from_ref(served);
                table::table(kind, objects, self.include, &metadata, self.clock.system_now())
            }
        };
        self.respond(shown.to_string().into_bytes(), code)
    }

    /// A page of objects.
    pub(crate) fn list(&self, kind: &Kind, listing: &Listing) -> Result<Response> {
        let metadata = list_metadata(listing);
        if self.form == Representation::Json {
            return self.respond(json_list(kind, listing, &metadata)?, StatusCode::OK);
        }
        let objects: Vec<Value> =
            listing.objects.iter().map(|object| commit::served(kind, object)).collect::<Result<_>>()?;
        let shown = if self.form == Representation::Table {
            table::table(kind, &objects, self.include, &metadata, self.clock.system_now())
        } else {
            table::partial_metadata_list(&objects, &metadata)
        };
        self.respond(shown.to_string().into_bytes(), StatusCode::OK)
    }

    /// An object in a watch event.
    pub(crate) fn watched(&mut self, kind: &Kind, object: &Object, revision: Revision, out: &mut Vec<u8>) {
        // A stored body is JSON: it was made by `commit::body`.
        if self.write_watched(kind, object, revision, out).is_err() {
            out.extend_from_slice(b"null");
        }
    }

    fn write_watched(&mut self, kind: &Kind, object: &Object, revision: Revision, out: &mut Vec<u8>) -> Result<()> {
        if self.form == Representation::Json {
            return write_json(kind, object, revision, out);
        }
        let mut value = commit::served(kind, object)?;
        object::metadata(&mut value).insert("resourceVersion".into(), revision.to_string().into());
        let shown = if self.form == Representation::Table {
            table::watched(kind, &value, self.include, self.tell_columns(), self.clock.system_now())
        } else {
            table::partial_metadata(&value)
        };
        out.extend_from_slice(shown.to_string().as_bytes());
        Ok(())
    }

    /// The object of a bookmark.
    pub(crate) fn bookmark(&mut self, kind: &Kind, metadata: &Value) -> Value {
        let object = json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata});
        match self.form {
            Representation::Json => object,
            Representation::Metadata => table::partial_metadata(&object),
            Representation::Table => table::bookmark(kind, &object, self.tell_columns()),
        }
    }

    /// Whether this event is the first of the watch, which tells the columns.
    fn tell_columns(&mut self) -> bool {
        !std::mem::replace(&mut self.columns_told, true)
    }

    fn respond(&self, bytes: Vec<u8>, code: StatusCode) -> Result<Response> {
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() = code;
        let media_type = HeaderValue::from_str(&self.content_type()).map_err(ApiError::internal)?;
        response.headers_mut().insert(CONTENT_TYPE, media_type);
        Ok(response)
    }
}

/// A list whose items are the stored texts, neither parsed nor printed anew.
fn json_list(kind: &Kind, listing: &Listing, metadata: &Value) -> Result<Vec<u8>> {
    let size: usize = listing.objects.iter().map(|object| object.body.len() + 64).sum();
    let mut bytes = Vec::with_capacity(size + 256);
    bytes.extend_from_slice(format!("{{\"apiVersion\":\"{}\",\"items\":[", kind.api_version()).as_bytes());
    for (index, object) in listing.objects.iter().enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        write_json(kind, object, object.revision, &mut bytes)?;
    }
    let tail = format!("],\"kind\":\"{}\",\"metadata\":{metadata}}}", kind.list_kind());
    bytes.extend_from_slice(tail.as_bytes());
    Ok(bytes)
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
