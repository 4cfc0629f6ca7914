//! Bodies in `application/vnd.kubernetes.protobuf`, as kubectl sends them for the core kinds it has compiled in.
//!
//! A body is four magic bytes and a `runtime.Unknown` that names the kind and carries its message. What comes out is
//! the JSON form that every other path works with; answers are JSON.

mod messages;
mod reviews;

use prost::Message;
use serde_json::{Map, Value};

use self::{
    messages::{CoreEvent, DeleteOptions, EventsEvent, Lease, Namespace, Unknown},
    reviews::{
        SelfSubjectAccessReview, SelfSubjectReview, SelfSubjectRulesReview, ServiceAccount, TokenRequest, TokenReview,
    },
};

/// What every such body begins with.
const MAGIC: &[u8] = b"k8s\0";
/// The media type of such a body.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProtobufError {
    /// It does not begin as it must.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Magic,
    /// Envelope or message is malformed.
    #[error("the protobuf message is malformed")]
    Malformed(#[from] prost::DecodeError),
    /// A kind whose message is not known here.
    #[error("no kind {kind:?} is registered for version {api_version:?} in protobuf form")]
    Kind {
        /// Its `apiVersion`.
        api_version: String,
        /// Its `kind`.
        kind: String,
    },
}

/// Reads a body into its JSON form, with `apiVersion` and `kind` as the envelope names them.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let envelope = Unknown::decode(bytes.strip_prefix(MAGIC).ok_or(ProtobufError::Magic)?)?;
    let meta = envelope.type_meta.unwrap_or_default();
    let raw = envelope.raw.as_slice();
    let mut object = match (meta.api_version.as_str(), meta.kind.as_str()) {
        ("v1", "Namespace") => Namespace::decode(raw)?.json(),
        ("v1", "ServiceAccount") => ServiceAccount::decode(raw)?.json(),
        ("authentication.k8s.io/v1", "TokenRequest") => TokenRequest::decode(raw)?.json(),
        ("authentication.k8s.io/v1", "TokenReview") => TokenReview::decode(raw)?.json(),
        ("authentication.k8s.io/v1", "SelfSubjectReview") => SelfSubjectReview::decode(raw)?.json(),
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => SelfSubjectAccessReview::decode(raw)?.json(),
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => SelfSubjectRulesReview::decode(raw)?.json(),
        ("v1", "Event") => CoreEvent::decode(raw)?.json(),
        ("events.k8s.io/v1", "Event") => EventsEvent::decode(raw)?.json(),
        ("coordination.k8s.io/v1", "Lease") => Lease::decode(raw)?.json(),
        // Clients name the version of the kind they delete, or that of the options themselves.
        (_, "DeleteOptions") => DeleteOptions::decode(raw)?.json(),
        _ => return Err(ProtobufError::Kind { api_version: meta.api_version, kind: meta.kind }),
    };
    object.insert("apiVersion".to_owned(), meta.api_version.into());
    object.insert("kind".to_owned(), meta.kind.into());
    Ok(Value::Object(object))
}

/// A JSON object without what is empty: the sender writes every string, JSON leaves the empty ones out.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let empty = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Number(number) => number.as_i64() == Some(0),
            Value::Bool(_) => false,
        };
        if !empty {
            self.0.insert(name.to_owned(), value);
        }
        self
    }

    /// What is optional there too, so that an empty value says something.
    fn set<T: Into<Value>>(mut self, name: &str, value: Option<T>) -> Self {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value.into());
        }
        self
    }

    fn done(self) -> Map<String, Value> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn envelope(api_version: &str, kind: &str, raw: Vec<u8>) -> Vec<u8> {
        let type_meta = messages::TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() };
        let unknown = Unknown { type_meta: Some(type_meta), raw };
        [MAGIC, &unknown.encode_to_vec()].concat()
    }

    #[test]
    fn a_namespace_comes_out_as_in_json_without_what_the_sender_left_empty() {
        let metadata = messages::ObjectMeta {
            name: "acme".to_owned(),
            labels: [("team".to_owned(), "north".to_owned())].into(),
            // The sender's zero time: not set.
            creation_timestamp: Some(messages::Time { seconds: -62_135_596_800, nanos: 0 }),
            ..Default::default()
        };
        let namespace =
            Namespace { metadata: Some(metadata), spec: Some(messages::NamespaceSpec::default()), status: None };
        let decoded = decode(&envelope("v1", "Namespace", namespace.encode_to_vec())).unwrap();
        let expected = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": { "name": "acme", "labels": { "team": "north" } },
        });
        assert_eq!(decoded, expected);
    }

    #[test]
    fn times_of_leases_have_microseconds() {
        let spec = messages::LeaseSpec {
            holder_identity: Some(String::new()),
            renew_time: Some(messages::Time { seconds: 1_700_000_000, nanos: 120_000 }),
            lease_transitions: Some(0),
            ..Default::default()
        };
        let lease = Lease { metadata: None, spec: Some(spec) };
        let decoded = decode(&envelope("coordination.k8s.io/v1", "Lease", lease.encode_to_vec())).unwrap();
        let expected = json!({
            "holderIdentity": "", "renewTime": "2023-11-14T22:13:20.000120Z", "leaseTransitions": 0,
        });
        assert_eq!(decoded["spec"], expected);
    }

    #[test]
    fn a_token_is_asked_for_with_the_numbers_of_kubernetes() {
        let spec = reviews::TokenRequestSpec {
            audiences: vec!["dropmate".to_owned()],
            bound_object_ref: Some(reviews::BoundObjectReference { kind: "Pod".to_owned(), ..Default::default() }),
            expiration_seconds: Some(0),
        };
        let request = TokenRequest { metadata: None, spec: Some(spec) };
        let decoded = decode(&envelope("authentication.k8s.io/v1", "TokenRequest", request.encode_to_vec())).unwrap();
        let expected = json!({
            "audiences": ["dropmate"], "boundObjectRef": {"kind": "Pod"}, "expirationSeconds": 0,
        });
        assert_eq!(decoded["spec"], expected);
        // As the published messages number them: audiences 1, boundObjectRef 3, expirationSeconds 4, in spec 2.
        let raw = b"\x12\x13\x0a\x08dropmate\x1a\x05\x0a\x03Pod\x20\x00";
        assert_eq!(request.encode_to_vec(), raw);
    }

    #[test]
    fn what_is_no_protobuf_is_refused() {
        assert!(matches!(decode(b"{}"), Err(ProtobufError::Magic)));
        assert!(matches!(decode(b"k8s\0\xff\xff"), Err(ProtobufError::Malformed(_))));
        assert!(matches!(decode(&envelope("v1", "Pod", Vec::new())), Err(ProtobufError::Kind { .. })));
    }
}
