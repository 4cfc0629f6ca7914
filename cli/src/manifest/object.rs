//! Objects of documents: parsed, `List`s taken apart, and each able to say where it came from.

use std::sync::Arc;

use serde_json::Value;

use super::{Document, Fault, Problem, json, yaml};

/// One object, and the place in a file it came from.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    /// The object.
    pub(crate) object: Value,
    document: Arc<Document>,
    /// Path of the object inside its document: empty, or `items[3]` in a List.
    prefix: String,
    /// Line in the file on which the object starts.
    line: usize,
}

impl Manifest {
    /// `apiVersion`; empty when missing (which [`manifests`] has refused).
    pub(crate) fn api_version(&self) -> &str {
        text(&self.object, "/apiVersion")
    }

    /// `kind`.
    pub(crate) fn kind(&self) -> &str {
        text(&self.object, "/kind")
    }

    /// `metadata.name`.
    pub(crate) fn name(&self) -> &str {
        text(&self.object, "/metadata/name")
    }

    /// `metadata.namespace`, when given.
    pub(crate) fn namespace(&self) -> Option<&str> {
        Some(text(&self.object, "/metadata/namespace")).filter(|name| !name.is_empty())
    }

    /// A problem at the object as a whole.
    pub(crate) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem { file: Arc::clone(&self.document.file), line: Some(self.line), message: message.into() }
    }

    /// A problem at one of its fields, on the line where that field stands.
    pub(crate) fn problem_at(&self, field: &str, message: impl Into<String>) -> Problem {
        let path = match (self.prefix.is_empty(), field.is_empty()) {
            (true, _) => field.to_owned(),
            (false, true) => self.prefix.clone(),
            (false, false) => format!("{}.{field}", self.prefix),
        };
        let line = self.document.line_of(&path).max(self.line);
        Problem { file: Arc::clone(&self.document.file), line: Some(line), message: message.into() }
    }
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The objects of a document, each good enough to be sent, or what is wrong with it.
pub(crate) fn manifests(document: Document) -> Vec<Result<Manifest, Problem>> {
    let parsed = if document.text.trim_start().starts_with('{') && document.text.trim_end().ends_with('}') {
        // A flow mapping may be YAML as well; JSON is tried first because only it joins `\ud83d\ude00`.
        json::parse(&document.text).or_else(|fault| match yaml_values(&document.text) {
            Ok(values) => Ok(values),
            Err(_) => Err(fault),
        })
    } else {
        yaml_values(&document.text)
    };
    let document = Arc::new(document);
    match parsed {
        Err(fault) => vec![Err(document.problem(fault))],
        Ok(values) => values.into_iter().flat_map(|(line, value)| objects(&document, line, value)).collect(),
    }
}

fn yaml_values(text: &str) -> Result<Vec<(usize, Value)>, Fault> {
    Ok(yaml::parse(text)?
        .filter(|value| !value.is_null())
        .map(|value| (super::locate::line_of(text, ""), value))
        .into_iter()
        .collect())
}

fn objects(document: &Arc<Document>, line: usize, mut value: Value) -> Vec<Result<Manifest, Problem>> {
    let is_list = text(&value, "/kind").ends_with("List") && value.get("items").is_some_and(Value::is_array);
    if !is_list {
        return vec![checked(document, String::new(), document.line + line - 1, value)];
    }
    let items = match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    // The lines of a list's items cost a pass over the text each; they are looked up only for a complaint.
    let at = document.line + line - 1;
    let item = |(index, value)| checked(document, format!("items[{index}]"), at, value);
    items.into_iter().enumerate().map(item).collect()
}

/// An object has to say what it is before it can be sent anywhere.
fn checked(document: &Arc<Document>, prefix: String, line: usize, object: Value) -> Result<Manifest, Problem> {
    let manifest = Manifest { object, document: Arc::clone(document), prefix, line };
    if !manifest.object.is_object() {
        return Err(manifest.problem_at("", "is not an object: a manifest has apiVersion, kind and metadata"));
    }
    for (pointer, field) in [("/apiVersion", "apiVersion"), ("/kind", "kind"), ("/metadata/name", "metadata.name")] {
        let message = match manifest.object.pointer(pointer) {
            Some(Value::String(given)) if !given.is_empty() => continue,
            Some(Value::Null) | None if field == "metadata.name" && has_generate_name(&manifest.object) => {
                "metadata.generateName cannot be applied: the object needs a name".to_owned()
            }
            Some(Value::String(_) | Value::Null) | None => format!("{field} is missing"),
            Some(_) => format!("{field} must be text"),
        };
        return Err(manifest.problem_at(field, message));
    }
    Ok(manifest)
}

fn has_generate_name(object: &Value) -> bool {
    !text(object, "/metadata/generateName").is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<String, String>> {
        let document = Document { file: "f.yaml".into(), line: 10, text: text.to_owned() };
        manifests(document).into_iter().map(|m| m.map(|m| m.name().to_owned()).map_err(|p| p.to_string())).collect()
    }

    #[test]
    fn lists_are_taken_apart_and_their_bad_items_named_with_line() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n- {apiVersion: v1, metadata: {name: b}}\n";
        assert_eq!(read(text), [Ok("a".to_owned()), Err("f.yaml:14: kind is missing".to_owned())]);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert_eq!(
            read("just text\n")[0],
            Err("f.yaml:10: is not an object: a manifest has apiVersion, kind and metadata".to_owned())
        );
        assert_eq!(
            read("apiVersion: v1\nkind: Namespace\nmetadata:\n  labels: {}\n")[0],
            Err("f.yaml:12: metadata.name is missing".to_owned())
        );
    }

    #[test]
    fn json_documents_follow_one_another() {
        let one = r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}"#;
        assert_eq!(read(&format!("{one}\n{one}\n")).len(), 2);
    }

    #[test]
    fn a_flow_mapping_that_is_not_json_is_yaml() {
        assert_eq!(read("{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n"), [Ok("a".to_owned())]);
    }

    #[test]
    fn a_document_of_nothing_yields_nothing() {
        assert_eq!(read("null\n"), []);
    }
}
