//! A document that is made once and told many: clients that have it by its hash are told that it has not changed.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A document as it goes out, with the hash of its text.
pub(crate) struct Document {
    text: Bytes,
    pub(crate) hash: String,
}

impl Document {
    pub(crate) fn new(json: &Value) -> Self {
        let text = json.to_string();
        let hash = hex::encode_upper(Sha256::digest(&text));
        Self { text: Bytes::from(text), hash }
    }

    /// The same document in another encoding.
    pub(crate) fn encoded(&self, bytes: Vec<u8>) -> Self {
        Self { text: bytes.into(), hash: self.hash.clone() }
    }

    /// The document, or 304 for who has it.
    pub(crate) fn answer(&self, headers: &HeaderMap, media_type: &'static str) -> Response {
        let etag = format!("\"{}\"", self.hash);
        let known = headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|tag| matches!(tag.trim().trim_start_matches("W/"), tag if tag == "*" || tag == etag));
        let common = [(header::ETAG, etag), (header::VARY, "Accept".to_owned())];
        if known {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        let mut response = (common, self.text.clone()).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        response
    }
}
