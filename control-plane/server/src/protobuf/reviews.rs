//! The messages around service accounts, their tokens, and who may do what.

use serde_json::{Map, Value};

use super::{
    Fields,
    messages::{ObjectMeta, ObjectReference, meta, objects},
};

/// `v1` ServiceAccount.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ServiceAccount {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, repeated, tag = "2")]
    pub(super) secrets: Vec<ObjectReference>,
    #[prost(message, repeated, tag = "3")]
    pub(super) image_pull_secrets: Vec<LocalObjectReference>,
    #[prost(bool, optional, tag = "4")]
    pub(super) automount_service_account_token: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LocalObjectReference {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

impl ServiceAccount {
    pub(super) fn json(self) -> Map<String, Value> {
        let named = |reference: LocalObjectReference| Fields::default().with("name", reference.name).done();
        Fields::default()
            .set("metadata", Some(meta(self.metadata)))
            .with("secrets", objects(self.secrets, ObjectReference::json))
            .with("imagePullSecrets", objects(self.image_pull_secrets, named))
            .set("automountServiceAccountToken", self.automount_service_account_token)
            .done()
    }
}

/// What it asks for; the status is the server's to write.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TokenRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub(super) spec: Option<TokenRequestSpec>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TokenRequestSpec {
    #[prost(string, repeated, tag = "1")]
    pub(super) audiences: Vec<String>,
    #[prost(message, optional, tag = "3")]
    pub(super) bound_object_ref: Option<BoundObjectReference>,
    #[prost(int64, optional, tag = "4")]
    pub(super) expiration_seconds: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct BoundObjectReference {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) api_version: String,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) uid: String,
}

impl TokenRequest {
    pub(super) fn json(self) -> Map<String, Value> {
        let spec = self.spec.map(|spec| {
            let bound = spec.bound_object_ref.map(|bound| {
                Fields::default()
                    .with("kind", bound.kind)
                    .with("apiVersion", bound.api_version)
                    .with("name", bound.name)
                    .with("uid", bound.uid)
                    .done()
            });
            Fields::default()
                .with("audiences", spec.audiences)
                .set("boundObjectRef", bound)
                .set("expirationSeconds", spec.expiration_seconds)
                .done()
        });
        asked(self.metadata, spec)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TokenReview {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub(super) spec: Option<TokenReviewSpec>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TokenReviewSpec {
    #[prost(string, tag = "1")]
    pub(super) token: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) audiences: Vec<String>,
}

impl TokenReview {
    pub(super) fn json(self) -> Map<String, Value> {
        let spec =
            self.spec.map(|spec| Fields::default().with("token", spec.token).with("audiences", spec.audiences).done());
        asked(self.metadata, spec)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SelfSubjectReview {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
}

impl SelfSubjectReview {
    pub(super) fn json(self) -> Map<String, Value> {
        asked(self.metadata, None)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SelfSubjectAccessReview {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub(super) spec: Option<SelfSubjectAccessReviewSpec>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SelfSubjectAccessReviewSpec {
    #[prost(message, optional, tag = "1")]
    pub(super) resource: Option<ResourceAttributes>,
    #[prost(message, optional, tag = "2")]
    pub(super) non_resource: Option<NonResourceAttributes>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResourceAttributes {
    #[prost(string, tag = "1")]
    pub(super) namespace: String,
    #[prost(string, tag = "2")]
    pub(super) verb: String,
    #[prost(string, tag = "3")]
    pub(super) group: String,
    #[prost(string, tag = "4")]
    pub(super) version: String,
    #[prost(string, tag = "5")]
    pub(super) resource: String,
    #[prost(string, tag = "6")]
    pub(super) subresource: String,
    #[prost(string, tag = "7")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NonResourceAttributes {
    #[prost(string, tag = "1")]
    pub(super) path: String,
    #[prost(string, tag = "2")]
    pub(super) verb: String,
}

impl SelfSubjectAccessReview {
    pub(super) fn json(self) -> Map<String, Value> {
        let spec = self.spec.map(|spec| {
            let resource = spec.resource.map(|resource| {
                Fields::default()
                    .with("namespace", resource.namespace)
                    .with("verb", resource.verb)
                    .with("group", resource.group)
                    .with("version", resource.version)
                    .with("resource", resource.resource)
                    .with("subresource", resource.subresource)
                    .with("name", resource.name)
                    .done()
            });
            let non_resource =
                spec.non_resource.map(|held| Fields::default().with("path", held.path).with("verb", held.verb).done());
            Fields::default().set("resourceAttributes", resource).set("nonResourceAttributes", non_resource).done()
        });
        asked(self.metadata, spec)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SelfSubjectRulesReview {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub(super) spec: Option<SelfSubjectRulesReviewSpec>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SelfSubjectRulesReviewSpec {
    #[prost(string, tag = "1")]
    pub(super) namespace: String,
}

impl SelfSubjectRulesReview {
    pub(super) fn json(self) -> Map<String, Value> {
        asked(self.metadata, self.spec.map(|spec| Fields::default().with("namespace", spec.namespace).done()))
    }
}

fn asked(metadata: Option<ObjectMeta>, spec: Option<Map<String, Value>>) -> Map<String, Value> {
    Fields::default().set("metadata", Some(meta(metadata))).with("spec", spec.unwrap_or_default()).done()
}
