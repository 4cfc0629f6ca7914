//! Objects as rows and columns: what `kubectl get` shows. The server knows the columns, so every client shows the same.

mod age;
mod cells;

use dropmate_api::registry::{Column, Kind};
use dropmate_store::{Object, Revision};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) use self::cells::Cell;
use crate::{
    error::{ApiError, Result},
    noted::Noted,
    object,
    resources::at_version,
};

/// What of each object goes along with its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Include {
    /// Nothing.
    None,
    /// Its metadata.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

impl Include {
    /// Reads the query's `includeObject`; `None` where it names something else.
    pub(crate) fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("" | "Metadata") => Some(Self::Metadata),
            Some("None") => Some(Self::None),
            Some("Object") => Some(Self::Object),
            Some(_) => None,
        }
    }
}

/// A Table of these objects (in their served form). `metadata` is that of the list, or of the object.
pub(crate) fn table(kind: &Kind, objects: &[Value], include: Include, metadata: &Value, now: Timestamp) -> Value {
    let rows: Vec<Value> = objects.iter().map(|object| row(kind, object, include, now)).collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions(kind),
        "rows": rows,
    })
}

/// What is kept of an object for its row. For Events it is nothing: their cells look at the form in which they are served.
pub(crate) fn cells(kind: &Kind, object: &Value) -> Vec<Cell> {
    let columns = if is_event(kind) { Vec::new() } else { columns(kind) };
    columns.into_iter().map(|column| Cell::of(column, object)).collect()
}

/// Writes a stored object's row at a version.
pub(crate) fn write_row(
    kind: &Kind,
    object: &Object,
    revision: Revision,
    include: Include,
    now: Timestamp,
    out: &mut Vec<u8>,
) -> Result<()> {
    let Some(noted) = Noted::of(object).filter(|noted| !noted.cells.is_empty()) else {
        return write(&row(kind, &at_version(kind, object, revision)?, include, now), out);
    };
    out.extend_from_slice(b"{\"cells\":[");
    for (index, cell) in noted.cells.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        cell.write(now, out);
    }
    out.extend_from_slice(b"],\"object\":");
    match include {
        Include::None => out.extend_from_slice(b"null"),
        Include::Metadata => write_partial_metadata(kind, object, revision, out)?,
        Include::Object => object::with_version(&object.body, revision, out),
    }
    out.push(b'}');
    Ok(())
}

/// Writes a stored object's metadata alone, at a version.
pub(crate) fn write_partial_metadata(
    kind: &Kind,
    object: &Object,
    revision: Revision,
    out: &mut Vec<u8>,
) -> Result<()> {
    if !kind.renamed.is_empty() {
        return write(&partial_metadata(&at_version(kind, object, revision)?), out);
    }
    let body = format!(
        "{{\"apiVersion\":\"meta.k8s.io/v1\",\"kind\":\"PartialObjectMetadata\",\"metadata\":{}}}",
        object::metadata_of(&object.body)
    );
    object::with_version(&body, revision, out);
    Ok(())
}

/// Writes a Table of one stored object in a watch, where only the first one says what the columns are.
pub(crate) fn write_watched(
    kind: &Kind,
    object: &Object,
    revision: Revision,
    include: Include,
    first: bool,
    now: Timestamp,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.extend_from_slice(b"{\"apiVersion\":\"meta.k8s.io/v1\",\"columnDefinitions\":");
    write(&if first { definitions(kind) } else { Value::Null }, out)?;
    let metadata = format!(",\"kind\":\"Table\",\"metadata\":{{\"resourceVersion\":\"{revision}\"}},\"rows\":[");
    out.extend_from_slice(metadata.as_bytes());
    write_row(kind, object, revision, include, now, out)?;
    out.extend_from_slice(b"]}");
    Ok(())
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, value).map_err(ApiError::internal)
}

/// A Table without rows: a bookmark, where `object` holds its metadata.
pub(crate) fn bookmark(kind: &Kind, object: &Value, first: bool) -> Value {
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": object["metadata"]["resourceVersion"]},
        "columnDefinitions": if first { definitions(kind) } else { Value::Null },
        // Clients look for the annotation that ends the initial events in the row's object.
        "rows": [{"cells": vec![Value::Null; columns(kind).len()], "object": object}],
    })
}

/// An object's metadata alone.
pub(crate) fn partial_metadata(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// A list of objects' metadata, still empty.
pub(crate) fn partial_metadata_list(metadata: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadataList",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "items": [],
    })
}

const NAME: Column = Column {
    name: "Name",
    type_: "string",
    description: "Name must be unique within a namespace. It cannot be changed.",
    json_path: ".metadata.name",
    priority: 0,
};

const AGE: Column = Column {
    name: "Age",
    type_: "date",
    description: "How long ago the object was created.",
    json_path: ".metadata.creationTimestamp",
    priority: 0,
};

/// All columns: NAME, what the kind shows, AGE, and what `-o wide` adds. Events have their own order.
fn columns(kind: &Kind) -> Vec<&'static Column> {
    let own: &'static [Column] = kind.columns;
    if is_event(kind) {
        return own.iter().collect();
    }
    // Definitions say since when they are there, not how long.
    if kind.is_read_only() {
        return [&NAME].into_iter().chain(own).collect();
    }
    let narrow = own.iter().filter(|column| column.priority == 0);
    let wide = own.iter().filter(|column| column.priority > 0);
    [&NAME].into_iter().chain(narrow).chain([&AGE]).chain(wide).collect()
}

fn definitions(kind: &Kind) -> Value {
    columns(kind)
        .into_iter()
        .map(|column| {
            json!({
                "name": column.name,
                "type": column.type_,
                "format": if column.name == NAME.name { "name" } else { "" },
                "description": column.description,
                "priority": column.priority,
            })
        })
        .collect()
}

fn row(kind: &Kind, object: &Value, include: Include, now: Timestamp) -> Value {
    let cells: Vec<Value> = columns(kind)
        .into_iter()
        .map(
            |column| {
                if is_event(kind) { cells::of_event(column, object, now) } else { cells::cell(column, object, now) }
            },
        )
        .collect();
    let object = match include {
        Include::None => Value::Null,
        Include::Metadata => partial_metadata(object),
        Include::Object => object.clone(),
    };
    json!({"cells": cells, "object": object})
}

fn is_event(kind: &Kind) -> bool {
    kind.storage == "events"
}

#[cfg(test)]
mod tests {
    use dropmate_api::registry::by_resource;
    use dropmate_store::Key;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn order() -> Value {
        json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Order",
            "metadata": {"name": "o1", "namespace": "acme", "creationTimestamp": "2026-11-23T11:54:30Z"},
            "spec": {"pickup": {"address": "12 Mill St"}, "dropoff": {"address": "88 Queens Quay"}, "priority": 3,
                     "dueBy": "2026-11-23T13:00:00Z"},
            "status": {"phase": "Assigned", "driverName": "sam"},
        })
    }

    #[test]
    fn an_order_shows_phase_driver_eta_due_and_age() {
        let kind = by_resource("dropmate.dev", "v1", "orders").unwrap();
        let table = table(kind, &[order()], Include::default(), &json!({"resourceVersion": "7"}), now());
        let narrow: Vec<&str> = table["columnDefinitions"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|column| column["priority"] == 0)
            .map(|column| column["name"].as_str().unwrap())
            .collect();
        assert_eq!(narrow, ["Name", "Phase", "Driver", "ETA", "Due", "Age"]);
        assert_eq!(
            table["rows"][0]["cells"],
            json!([
                "o1",
                "Assigned",
                "sam",
                null,
                "2026-11-23T13:00:00Z",
                "5m30s",
                "12 Mill St",
                "88 Queens Quay",
                3,
                null
            ])
        );
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        assert_eq!(table["metadata"]["resourceVersion"], "7");
    }

    fn stored(kind: &Kind) -> Object {
        let key = Key { resource: kind.storage.into(), namespace: "acme".into(), name: "o1".into() };
        Object::new(key, "u".into(), 7, order().to_string().into())
    }

    fn written(write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Value {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn only_the_first_event_of_a_watch_defines_the_columns() {
        let kind = by_resource("dropmate.dev", "v1", "orders").unwrap();
        let stored = stored(kind);
        let watched = |first| written(|out| write_watched(kind, &stored, 9, Include::None, first, now(), out));
        assert!(watched(true)["columnDefinitions"].is_array());
        let later = watched(false);
        assert!(later["columnDefinitions"].is_null() && later["rows"][0]["object"].is_null());
        assert_eq!(later["metadata"]["resourceVersion"], "9");
    }

    #[test]
    fn a_row_is_the_same_whether_it_is_written_from_text_or_made_of_values() {
        let kind = by_resource("dropmate.dev", "v1", "orders").unwrap();
        let stored = stored(kind);
        let mut served = order();
        served["metadata"]["resourceVersion"] = "8".into();
        for include in [Include::None, Include::Metadata, Include::Object] {
            let text = written(|out| write_row(kind, &stored, 8, include, now(), out));
            assert_eq!(text, row(kind, &served, include, now()), "{include:?}");
        }
    }

    #[test]
    fn an_event_shows_what_kubectl_shows() {
        let kind = by_resource("", "v1", "events").unwrap();
        let event = json!({
            "metadata": {"name": "o1.17", "namespace": "acme"}, "type": "Normal", "reason": "Bound",
            "involvedObject": {"kind": "Order", "name": "o1"}, "message": "Bound to sam\n",
            "eventTime": "2026-11-23T11:59:00.000000Z", "series": {"count": 4, "lastObservedTime": "2026-11-23T11:59:48.000000Z"},
            "reportingComponent": "dropmate.dev/dispatch", "reportingInstance": "abc",
        });
        let table = table(kind, std::slice::from_ref(&event), Include::None, &json!({}), now());
        assert_eq!(
            table["rows"][0]["cells"],
            json!([
                "12s",
                "Normal",
                "Bound",
                "order/o1",
                "",
                "dropmate.dev/dispatch, abc",
                "Bound to sam",
                "60s",
                4,
                "o1.17"
            ])
        );
    }
}
