//! The messages, with the fields that Kubernetes numbers so, and their JSON form.

use std::collections::HashMap;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value};

use super::Fields;

/// The envelope.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Unknown {
    #[prost(message, optional, tag = "1")]
    pub(super) type_meta: Option<TypeMeta>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) raw: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TypeMeta {
    #[prost(string, tag = "1")]
    pub(super) api_version: String,
    #[prost(string, tag = "2")]
    pub(super) kind: String,
}

/// Seconds and nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Time {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

impl Time {
    /// `Time` has whole seconds in JSON, `MicroTime` six digits.
    fn text(self, digits: i16) -> Value {
        // The zero of the sender's clock (year 1) stands for no time at all.
        if self.seconds <= -62_135_596_800 {
            return Value::Null;
        }
        let Ok(at) = Timestamp::new(self.seconds, self.nanos) else { return Value::Null };
        let at = at.to_zoned(TimeZone::UTC);
        let text = if digits == 0 { at.strftime("%Y-%m-%dT%H:%M:%SZ") } else { at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ") };
        text.to_string().into()
    }
}

fn time(at: Option<Time>) -> Value {
    at.map_or(Value::Null, |at| at.text(0))
}

fn micro_time(at: Option<Time>) -> Value {
    at.map_or(Value::Null, |at| at.text(6))
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ObjectMeta {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) generate_name: String,
    #[prost(string, tag = "3")]
    pub(super) namespace: String,
    #[prost(string, tag = "5")]
    pub(super) uid: String,
    #[prost(string, tag = "6")]
    pub(super) resource_version: String,
    #[prost(int64, tag = "7")]
    pub(super) generation: i64,
    #[prost(message, optional, tag = "8")]
    pub(super) creation_timestamp: Option<Time>,
    #[prost(message, optional, tag = "9")]
    pub(super) deletion_timestamp: Option<Time>,
    #[prost(int64, optional, tag = "10")]
    pub(super) deletion_grace_period_seconds: Option<i64>,
    #[prost(map = "string, string", tag = "11")]
    pub(super) labels: HashMap<String, String>,
    #[prost(map = "string, string", tag = "12")]
    pub(super) annotations: HashMap<String, String>,
    #[prost(message, repeated, tag = "13")]
    pub(super) owner_references: Vec<OwnerReference>,
    #[prost(string, repeated, tag = "14")]
    pub(super) finalizers: Vec<String>,
    #[prost(message, repeated, tag = "17")]
    pub(super) managed_fields: Vec<ManagedFields>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct OwnerReference {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) uid: String,
    #[prost(string, tag = "5")]
    pub(super) api_version: String,
    #[prost(bool, optional, tag = "6")]
    pub(super) controller: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub(super) block_owner_deletion: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ManagedFields {
    #[prost(string, tag = "1")]
    pub(super) manager: String,
    #[prost(string, tag = "2")]
    pub(super) operation: String,
    #[prost(string, tag = "3")]
    pub(super) api_version: String,
    #[prost(message, optional, tag = "4")]
    pub(super) time: Option<Time>,
    #[prost(string, tag = "6")]
    pub(super) fields_type: String,
    #[prost(message, optional, tag = "7")]
    pub(super) fields_v1: Option<FieldsV1>,
    #[prost(string, tag = "8")]
    pub(super) subresource: String,
}

/// JSON text.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FieldsV1 {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) raw: Vec<u8>,
}

fn strings(map: HashMap<String, String>) -> Value {
    Value::Object(map.into_iter().map(|(key, value)| (key, value.into())).collect())
}

pub(super) fn objects<T>(items: Vec<T>, json: impl Fn(T) -> Map<String, Value>) -> Value {
    items.into_iter().map(|item| Value::Object(json(item))).collect()
}

impl ObjectMeta {
    fn json(self) -> Map<String, Value> {
        Fields::default()
            .with("name", self.name)
            .with("generateName", self.generate_name)
            .with("namespace", self.namespace)
            .with("uid", self.uid)
            .with("resourceVersion", self.resource_version)
            .with("generation", self.generation)
            .with("creationTimestamp", time(self.creation_timestamp))
            .with("deletionTimestamp", time(self.deletion_timestamp))
            .set("deletionGracePeriodSeconds", self.deletion_grace_period_seconds)
            .with("labels", strings(self.labels))
            .with("annotations", strings(self.annotations))
            .with("ownerReferences", objects(self.owner_references, OwnerReference::json))
            .with("finalizers", self.finalizers)
            .with("managedFields", objects(self.managed_fields, ManagedFields::json))
            .done()
    }
}

impl OwnerReference {
    fn json(self) -> Map<String, Value> {
        Fields::default()
            .with("apiVersion", self.api_version)
            .with("kind", self.kind)
            .with("name", self.name)
            .with("uid", self.uid)
            .set("controller", self.controller)
            .set("blockOwnerDeletion", self.block_owner_deletion)
            .done()
    }
}

impl ManagedFields {
    fn json(self) -> Map<String, Value> {
        let owned = self.fields_v1.and_then(|fields| serde_json::from_slice::<Value>(&fields.raw).ok());
        Fields::default()
            .with("manager", self.manager)
            .with("operation", self.operation)
            .with("apiVersion", self.api_version)
            .with("time", time(self.time))
            .with("fieldsType", self.fields_type)
            .set("fieldsV1", owned)
            .with("subresource", self.subresource)
            .done()
    }
}

pub(super) fn meta(meta: Option<ObjectMeta>) -> Value {
    Value::Object(meta.map(ObjectMeta::json).unwrap_or_default())
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Namespace {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub(super) spec: Option<NamespaceSpec>,
    #[prost(message, optional, tag = "3")]
    pub(super) status: Option<NamespaceStatus>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NamespaceSpec {
    #[prost(string, repeated, tag = "1")]
    pub(super) finalizers: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NamespaceStatus {
    #[prost(string, tag = "1")]
    pub(super) phase: String,
}

impl Namespace {
    pub(super) fn json(self) -> Map<String, Value> {
        let spec = self.spec.map(|spec| Fields::default().with("finalizers", spec.finalizers).done());
        let status = self.status.map(|status| Fields::default().with("phase", status.phase).done());
        Fields::default()
            .set("metadata", Some(meta(self.metadata)))
            .with("spec", spec.unwrap_or_default())
            .with("status", status.unwrap_or_default())
            .done()
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Lease {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub(super) spec: Option<LeaseSpec>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LeaseSpec {
    #[prost(string, optional, tag = "1")]
    pub(super) holder_identity: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub(super) lease_duration_seconds: Option<i32>,
    #[prost(message, optional, tag = "3")]
    pub(super) acquire_time: Option<Time>,
    #[prost(message, optional, tag = "4")]
    pub(super) renew_time: Option<Time>,
    #[prost(int32, optional, tag = "5")]
    pub(super) lease_transitions: Option<i32>,
    #[prost(string, optional, tag = "6")]
    pub(super) strategy: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub(super) preferred_holder: Option<String>,
}

impl Lease {
    pub(super) fn json(self) -> Map<String, Value> {
        let spec = self.spec.map(|spec| {
            Fields::default()
                .set("holderIdentity", spec.holder_identity)
                .set("leaseDurationSeconds", spec.lease_duration_seconds)
                .with("acquireTime", micro_time(spec.acquire_time))
                .with("renewTime", micro_time(spec.renew_time))
                .set("leaseTransitions", spec.lease_transitions)
                .set("strategy", spec.strategy)
                .set("preferredHolder", spec.preferred_holder)
                .done()
        });
        Fields::default().set("metadata", Some(meta(self.metadata))).with("spec", spec.unwrap_or_default()).done()
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ObjectReference {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) namespace: String,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) uid: String,
    #[prost(string, tag = "5")]
    pub(super) api_version: String,
    #[prost(string, tag = "6")]
    pub(super) resource_version: String,
    #[prost(string, tag = "7")]
    pub(super) field_path: String,
}

impl ObjectReference {
    pub(super) fn json(self) -> Map<String, Value> {
        Fields::default()
            .with("kind", self.kind)
            .with("namespace", self.namespace)
            .with("name", self.name)
            .with("uid", self.uid)
            .with("apiVersion", self.api_version)
            .with("resourceVersion", self.resource_version)
            .with("fieldPath", self.field_path)
            .done()
    }
}

fn reference(reference: Option<ObjectReference>) -> Value {
    Value::Object(reference.map(ObjectReference::json).unwrap_or_default())
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EventSource {
    #[prost(string, tag = "1")]
    pub(super) component: String,
    #[prost(string, tag = "2")]
    pub(super) host: String,
}

fn source(source: Option<EventSource>) -> Value {
    let source = source.unwrap_or_default();
    Value::Object(Fields::default().with("component", source.component).with("host", source.host).done())
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EventSeries {
    #[prost(int32, tag = "1")]
    pub(super) count: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) last_observed_time: Option<Time>,
}

fn series(series: Option<EventSeries>) -> Value {
    let series = series.map(|series| {
        let last = micro_time(series.last_observed_time);
        Fields::default().with("count", series.count).with("lastObservedTime", last).done()
    });
    Value::Object(series.unwrap_or_default())
}

/// `v1` Event.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CoreEvent {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub(super) involved_object: Option<ObjectReference>,
    #[prost(string, tag = "3")]
    pub(super) reason: String,
    #[prost(string, tag = "4")]
    pub(super) message: String,
    #[prost(message, optional, tag = "5")]
    pub(super) source: Option<EventSource>,
    #[prost(message, optional, tag = "6")]
    pub(super) first_timestamp: Option<Time>,
    #[prost(message, optional, tag = "7")]
    pub(super) last_timestamp: Option<Time>,
    #[prost(int32, tag = "8")]
    pub(super) count: i32,
    #[prost(string, tag = "9")]
    pub(super) type_: String,
    #[prost(message, optional, tag = "10")]
    pub(super) event_time: Option<Time>,
    #[prost(message, optional, tag = "11")]
    pub(super) series: Option<EventSeries>,
    #[prost(string, tag = "12")]
    pub(super) action: String,
    #[prost(message, optional, tag = "13")]
    pub(super) related: Option<ObjectReference>,
    #[prost(string, tag = "14")]
    pub(super) reporting_component: String,
    #[prost(string, tag = "15")]
    pub(super) reporting_instance: String,
}

impl CoreEvent {
    pub(super) fn json(self) -> Map<String, Value> {
        Fields::default()
            .set("metadata", Some(meta(self.metadata)))
            .with("involvedObject", reference(self.involved_object))
            .with("reason", self.reason)
            .with("message", self.message)
            .with("source", source(self.source))
            .with("firstTimestamp", time(self.first_timestamp))
            .with("lastTimestamp", time(self.last_timestamp))
            .with("count", self.count)
            .with("type", self.type_)
            .with("eventTime", micro_time(self.event_time))
            .with("series", series(self.series))
            .with("action", self.action)
            .with("related", reference(self.related))
            .with("reportingComponent", self.reporting_component)
            .with("reportingInstance", self.reporting_instance)
            .done()
    }
}

/// `events.k8s.io/v1` Event.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EventsEvent {
    #[prost(message, optional, tag = "1")]
    pub(super) metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub(super) event_time: Option<Time>,
    #[prost(message, optional, tag = "3")]
    pub(super) series: Option<EventSeries>,
    #[prost(string, tag = "4")]
    pub(super) reporting_controller: String,
    #[prost(string, tag = "5")]
    pub(super) reporting_instance: String,
    #[prost(string, tag = "6")]
    pub(super) action: String,
    #[prost(string, tag = "7")]
    pub(super) reason: String,
    #[prost(message, optional, tag = "8")]
    pub(super) regarding: Option<ObjectReference>,
    #[prost(message, optional, tag = "9")]
    pub(super) related: Option<ObjectReference>,
    #[prost(string, tag = "10")]
    pub(super) note: String,
    #[prost(string, tag = "11")]
    pub(super) type_: String,
    #[prost(message, optional, tag = "12")]
    pub(super) deprecated_source: Option<EventSource>,
    #[prost(message, optional, tag = "13")]
    pub(super) deprecated_first_timestamp: Option<Time>,
    #[prost(message, optional, tag = "14")]
    pub(super) deprecated_last_timestamp: Option<Time>,
    #[prost(int32, tag = "15")]
    pub(super) deprecated_count: i32,
}

impl EventsEvent {
    pub(super) fn json(self) -> Map<String, Value> {
        Fields::default()
            .set("metadata", Some(meta(self.metadata)))
            .with("eventTime", micro_time(self.event_time))
            .with("series", series(self.series))
            .with("reportingController", self.reporting_controller)
            .with("reportingInstance", self.reporting_instance)
            .with("action", self.action)
            .with("reason", self.reason)
            .with("regarding", reference(self.regarding))
            .with("related", reference(self.related))
            .with("note", self.note)
            .with("type", self.type_)
            .with("deprecatedSource", source(self.deprecated_source))
            .with("deprecatedFirstTimestamp", time(self.deprecated_first_timestamp))
            .with("deprecatedLastTimestamp", time(self.deprecated_last_timestamp))
            .with("deprecatedCount", self.deprecated_count)
            .done()
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DeleteOptions {
    #[prost(int64, optional, tag = "1")]
    pub(super) grace_period_seconds: Option<i64>,
    #[prost(message, optional, tag = "2")]
    pub(super) preconditions: Option<Preconditions>,
    #[prost(bool, optional, tag = "3")]
    pub(super) orphan_dependents: Option<bool>,
    #[prost(string, optional, tag = "4")]
    pub(super) propagation_policy: Option<String>,
    #[prost(string, repeated, tag = "5")]
    pub(super) dry_run: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Preconditions {
    #[prost(string, optional, tag = "1")]
    pub(super) uid: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) resource_version: Option<String>,
}

impl DeleteOptions {
    pub(super) fn json(self) -> Map<String, Value> {
        let preconditions = self.preconditions.map(|preconditions| {
            Fields::default()
                .set("uid", preconditions.uid)
                .set("resourceVersion", preconditions.resource_version)
                .done()
        });
        Fields::default()
            .set("gracePeriodSeconds", self.grace_period_seconds)
            .set("preconditions", preconditions)
            .set("orphanDependents", self.orphan_dependents)
            .set("propagationPolicy", self.propagation_policy)
            .with("dryRun", self.dry_run)
            .done()
    }
}
