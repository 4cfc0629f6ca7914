//! Removal of fields that the schema does not know.

use serde_json::Value;

use super::{node::Node, path::Path};

pub(super) fn prune(root: &Node, object: &mut Value) -> Vec<String> {
    let mut pruned = Vec::new();
    walk(root, object, &mut Path::default(), &mut pruned);
    pruned.sort();
    pruned
}

fn walk(node: &Node, value: &mut Value, path: &mut Path, pruned: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, child| {
                let mark = path.enter_field(name);
                let known = match node.child(name) {
                    Some(node) => {
                        walk(node, child, path, pruned);
                        true
                    }
                    None => node.preserve_unknown,
                };
                if !known {
                    pruned.push(path.render());
                }
                path.leave(mark);
                known
            });
        }
        Value::Array(items) => {
            if let Some(node) = node.items.as_deref() {
                for (index, item) in items.iter_mut().enumerate() {
                    let mark = path.enter_index(index);
                    walk(node, item, path, pruned);
                    path.leave(mark);
                }
            }
        }
        _ => {}
    }
}
