//! Finds the line of a field path such as `spec.items[0].quantity`. Runs only when there is something to complain
//! about, over a text that was parsed before and so is known to be within bounds.

use saphyr_parser::{Event, Parser, Span};

/// Where the values of a document stand.
#[derive(Debug)]
enum Node {
    Map(Vec<(String, usize, Node)>),
    List(Vec<(usize, Node)>),
    Leaf,
}

/// The line (1 is the text's first) of the field, or of the nearest one above it that is there.
pub(super) fn line_of(text: &str, path: &str) -> usize {
    let first = 1 + text.lines().take_while(|line| is_filler(line)).count();
    if path.is_empty() {
        return first;
    }
    let mut parser = Parser::new_from_str(text);
    let mut next = || parser.next_event().and_then(Result::ok);
    loop {
        match next() {
            Some((Event::StreamStart | Event::DocumentStart(_), _)) => {}
            Some((event, span)) => {
                let root = read(&mut next, &event, &span);
                return descend(&root, path, first);
            }
            None => return first,
        }
    }
}

fn is_filler(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#') || line == "---"
}

fn read<'t>(next: &mut impl FnMut() -> Option<(Event<'t>, Span)>, event: &Event<'t>, _span: &Span) -> Node {
    match event {
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            while let Some((event, span)) = next() {
                if matches!(event, Event::SequenceEnd) {
                    break;
                }
                items.push((span.start.line(), read(next, &event, &span)));
            }
            Node::List(items)
        }
        Event::MappingStart(..) => {
            let mut fields = Vec::new();
            while let Some((event, span)) = next() {
                let key = match event {
                    Event::Scalar(text, ..) => text.into_owned(),
                    Event::MappingEnd => break,
                    _ => String::new(),
                };
                let line = span.start.line();
                let Some((event, span)) = next() else { break };
                fields.push((key, line, read(next, &event, &span)));
            }
            Node::Map(fields)
        }
        _ => Node::Leaf,
    }
}

fn descend(node: &Node, path: &str, line: usize) -> usize {
    let path = path.strip_prefix('.').unwrap_or(path);
    match node {
        Node::Map(fields) => fields
            .iter()
            .filter_map(|(key, at, value)| after_key(path, key).map(|rest| (key.len(), rest, *at, value)))
            // `a.b` may be one key or two; the longer one is meant.
            .max_by_key(|(length, ..)| *length)
            .map_or(line, |(_, rest, at, value)| descend(value, rest, at)),
        Node::List(items) => {
            let index = path.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let Some((index, rest)) = index else { return line };
            match index.parse().ok().and_then(|index: usize| items.get(index)) {
                Some((at, value)) => descend(value, rest, *at),
                None => line,
            }
        }
        Node::Leaf => line,
    }
}

/// What follows the key in the path, if the path starts with it: `key`, `key.…`, `key[…` or `[key]`.
fn after_key<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    if key.is_empty() {
        return None;
    }
    if let Some(rest) = path.strip_prefix(key) {
        return (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest);
    }
    path.strip_prefix('[')?.strip_prefix(key)?.strip_prefix(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "---\n# an order\napiVersion: dropmate.dev/v1\nkind: Order\nmetadata:\n  name: o-1\n  labels: {app.dropmate.dev/x: y}\nspec:\n  pickup:\n    location:\n      latitude: 91\n  items:\n    - name: a\n      quantity: 1\n    - name: b\n      quantity: 0\n";

    #[test]
    fn a_field_is_found_on_its_line() {
        assert_eq!(line_of(ORDER, "spec.pickup.location.latitude"), 11);
        assert_eq!(line_of(ORDER, "spec.items[1].quantity"), 16);
        assert_eq!(line_of(ORDER, "metadata.labels.app.dropmate.dev/x"), 7);
        assert_eq!(line_of(ORDER, "metadata.labels[app.dropmate.dev/x]"), 7);
    }

    #[test]
    fn a_missing_field_is_placed_at_what_should_hold_it() {
        assert_eq!(line_of(ORDER, "spec.dropoff"), 8);
        assert_eq!(line_of(ORDER, "spec.pickup.address"), 9);
        assert_eq!(line_of(ORDER, "spec.items[7].name"), 12);
        assert_eq!(line_of(ORDER, ""), 3);
    }

    #[test]
    fn json_is_located_too() {
        assert_eq!(line_of("{\n \"spec\": {\n  \"hold\": 3\n }\n}", "spec.hold"), 3);
    }
}
