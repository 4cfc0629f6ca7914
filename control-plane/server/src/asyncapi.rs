//! `GET /v1/asyncapi.json`: what is told, to whom and in which form, as AsyncAPI 3.0. Made from the types that events are
//! made of, and from a sample that is read as every history is; once, on first use.

mod channels;
mod schemas;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::response::Response;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::document::Document;

static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::new(&document()));

/// `GET /v1/asyncapi.json`.
pub(crate) async fn get(headers: HeaderMap) -> Response {
    DOCUMENT.answer(&headers, "application/json")
}

fn document() -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "DropMate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What happens to orders, drivers and webhooks, as CloudEvents 1.0. An event's `id` is the same \
                over restarts, replicas, replays and ways of telling; of two events of one installation, the one with the \
                larger `sequence` happened later.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": channels::servers(),
        "channels": channels::channels(),
        "operations": channels::operations(),
        "components": {
            "messages": channels::event_messages(),
            "schemas": schemas::all(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token, as for every other request."},
                "ticket": {
                    "type": "httpApiKey", "in": "query", "name": "ticket",
                    "description": "Of `POST /v1/stream/tickets`: good once, for 30 seconds. For browsers.",
                },
            },
        },
    })
}

/// A reference within the document.
fn reference(pointer: &str) -> Value {
    json!({"$ref": format!("#/{pointer}")})
}
