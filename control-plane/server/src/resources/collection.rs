//! The verbs of a collection: list, watch, create, delete all.

use axum::{body::Body, response::Response};
use http::StatusCode;

use super::{
    answer::Answer,
    call::{Call, Warnings},
    create::Created,
    delete::DeleteOptions,
    limits::Eyes,
    watch,
};
use crate::{
    body,
    error::{ApiError, Result},
    options::{ListOptions, WriteOptions},
    selector::Selector,
};

/// `GET` of a collection: a list, or with `watch=true` a stream of changes.
pub(crate) async fn list_or_watch(call: Call) -> Result<Response> {
    let answer = Answer::negotiate(&call)?;
    let options = ListOptions::parse(&call.query)?;
    let selector = call.selector(&options)?;
    if options.watch {
        return watch::watch(call, answer, options, selector).await;
    }
    let listing = call.list(&options, &selector).await?;
    answer.list(call.kind(), listing)
}

/// `POST` to a collection.
pub(crate) async fn create_in_collection(call: Call, body: Body) -> Result<Response> {
    let kind = call.kind();
    if kind.namespaced && call.target.namespace.is_none() {
        return Err(ApiError::method_not_allowed());
    }
    let answer = Answer::negotiate(&call)?;
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let bytes = body::read(body).await?;
    let document = body::decode(kind, &body::media_type(&call.headers), &bytes)?;
    let mut warnings = Warnings::default();
    let response = match call.create(document, options, &mut warnings).await? {
        Created::Stored(stored) => answer.stored(kind, &stored, StatusCode::CREATED)?,
        Created::DryRun(value) => answer.served(kind, &value, StatusCode::CREATED),
    };
    Ok(warnings.onto(response))
}

/// `DELETE` of a collection: deletes what the selectors mean, and answers with the list of it.
pub(crate) async fn delete_collection(call: Call, body: Body) -> Result<Response> {
    let kind = call.kind();
    // As in Kubernetes, namespaces go one by one, and nothing is deleted over all namespaces at once.
    if call.target.namespace.is_none() {
        return Err(ApiError::method_not_allowed());
    }
    let answer = Answer::negotiate(&call)?;
    let options = ListOptions::parse(&call.query)?;
    let selector = call.selector(&options)?;
    let delete = DeleteOptions::read(&call, body).await?;
    let listing = call.list(&options, &selector).await?;
    for object in &listing.objects {
        match call.delete_named(&object.key.name, &delete).await {
            Ok(_) => {}
            Err(error) if error.code() == StatusCode::NOT_FOUND => {}
            Err(error) => return Err(error),
        }
    }
    answer.list(kind, listing)
}

impl Call {
    /// What a list or a watch means, of what is there for the caller.
    fn selector(&self, options: &ListOptions) -> Result<Selector> {
        let selector =
            Selector::parse(self.kind(), options.label_selector.as_deref(), options.field_selector.as_deref())?;
        Ok(selector.seen_by(Eyes::of(self)))
    }
}
