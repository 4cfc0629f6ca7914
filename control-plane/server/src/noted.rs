//! What selectors and tables ask about an object: read out of its body once, and kept with it for all who ask.

use std::collections::BTreeMap;

use dropmate_api::{registry, roles::Parties};
use dropmate_store::Object;
use serde_json::Value;

use crate::table::{self, Cell};

/// What was read.
pub(crate) struct Noted {
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// What field selectors may name, by path in the stored form, as text; what is absent is the empty text.
    fields: BTreeMap<String, String>,
    /// The cells of its row.
    pub(crate) cells: Vec<Cell>,
    /// Whose it is, of an order.
    pub(crate) parties: Parties,
}

impl Noted {
    /// The notes on an object, made now if nobody has asked before.
    pub(crate) fn of(object: &Object) -> Option<&Self> {
        object.notes.get_or_make(|| Self::read(object))
    }

    pub(crate) fn field(&self, path: &str) -> &str {
        self.fields.get(path).map_or("", String::as_str)
    }

    fn read(object: &Object) -> Self {
        let body = serde_json::from_str(&object.body).unwrap_or(Value::Null);
        let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        let labels = body.pointer("/metadata/labels").and_then(Value::as_object);
        // A resource may be served as several kinds, and is stored as the first.
        let kinds = || registry::kinds().iter().filter(|kind| kind.storage == object.key.resource);
        let paths = kinds().flat_map(|kind| kind.selectable_fields.iter().map(|field| kind.stored_field(field)));
        Self {
            labels: labels.into_iter().flatten().filter_map(text).collect(),
            fields: paths.map(|path| (path.clone(), field(&body, &path))).collect(),
            cells: kinds()
                .find(|kind| kind.renamed.is_empty())
                .map(|kind| table::cells(kind, &body))
                .unwrap_or_default(),
            parties: if object.key.resource == "orders.dropmate.dev" { Parties::of(&body) } else { Parties::default() },
        }
    }
}

/// The field as text; empty where it is absent.
fn field(body: &Value, path: &str) -> String {
    // Of an Event: who reports it, in the old form or the new.
    if path == "source" {
        let component = field(body, "source.component");
        return if component.is_empty() { field(body, "reportingComponent") } else { component };
    }
    match path.split('.').try_fold(body, |value, part| value.get(part)) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
