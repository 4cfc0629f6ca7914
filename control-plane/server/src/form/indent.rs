//! JSON on one line as JSON for people, piece by piece: a list of ten thousand objects is never in memory for it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};

/// A body that is indented as it is sent.
pub(super) struct Indented {
    body: Body,
    indenter: Indenter,
}

impl Indented {
    pub(super) fn new(body: Body) -> Self {
        Self { body, indenter: Indenter::default() }
    }
}

impl HttpBody for Indented {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let indenter = &mut self.indenter;
        Poll::Ready(frame.map(|frame| Ok(frame?.map_data(|piece| Bytes::from(indenter.take(&piece))))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// Where in the text the next piece begins.
#[derive(Debug, Default)]
struct Indenter {
    depth: usize,
    quoted: bool,
    escaped: bool,
    /// After a bracket: whether a line begins depends on what comes.
    opened: bool,
}

impl Indenter {
    fn take(&mut self, piece: &[u8]) -> Vec<u8> {
        // Indented objects are half as long again.
        let mut out = Vec::with_capacity(piece.len() + piece.len() / 2);
        for &byte in piece {
            if self.quoted {
                self.quoted = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
                out.push(byte);
                continue;
            }
            match byte {
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if !std::mem::take(&mut self.opened) {
                        self.begin_line(&mut out);
                    }
                    out.push(byte);
                }
                b',' => {
                    out.push(byte);
                    self.begin_line(&mut out);
                }
                b':' => out.extend_from_slice(b": "),
                b' ' | b'\n' | b'\r' | b'\t' => {}
                _ => {
                    if std::mem::take(&mut self.opened) {
                        self.begin_line(&mut out);
                    }
                    out.push(byte);
                    self.quoted = byte == b'"';
                    if matches!(byte, b'{' | b'[') {
                        self.depth += 1;
                        self.opened = true;
                    }
                }
            }
        }
        out
    }

    fn begin_line(&self, out: &mut Vec<u8>) {
        const STEP: usize = 2;
        out.push(b'\n');
        out.resize(out.len() + STEP * self.depth, b' ');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a\"\\\\{}\\[\\]:, \né]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a\"\\\\{]{0,3}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_text_is_that_of_the_whole_value_however_it_is_cut(value in values(), cut in 1_usize..9) {
            let mut indenter = Indenter::default();
            let text = value.to_string();
            let out: Vec<u8> = text.as_bytes().chunks(cut).flat_map(|piece| indenter.take(piece)).collect();
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{value:#}"));
        }
    }
}
