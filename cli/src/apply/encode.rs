//! JSON as Go's encoder writes it, so that the last-applied annotation is byte for byte what kubectl would write.

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// Keys sorted, `<`, `>`, `&` and the line separators escaped, whole floats without a point, and a newline at the end.
pub(crate) fn encode(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out.push('\n');
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(out, key);
                out.push(':');
                write_value(out, value);
            }
            out.push('}');
        }
    }
}

fn write_number(out: &mut String, number: &Number) {
    if let Some(float) = number.as_f64().filter(|_| number.is_f64()) {
        // Go writes exponents outside of [1e-6, 1e21) only, and signs the positive ones.
        let size = float.abs();
        if float != 0.0 && !(1e-6..1e21).contains(&size) {
            let text = format!("{float:e}");
            match text.split_once('e') {
                Some((digits, exponent)) if !exponent.starts_with('-') => write!(out, "{digits}e+{exponent}"),
                _ => write!(out, "{text}"),
            }
        } else {
            write!(out, "{float}")
        }
    } else {
        write!(out, "{number}")
    }
    .expect("writing to a String cannot fail");
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("writing to a String cannot fail");
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_and_a_newline_ends_it() {
        assert_eq!(encode(&json!({"b": 1, "a": [true, null]})), "{\"a\":[true,null],\"b\":1}\n");
    }

    #[test]
    fn numbers_look_as_in_go() {
        let numbers = json!([43.0, 43.6503, -79.5, 1e21, 1.5e-7, 0.000_001, 12_345_678_901_234_567_890_u64, -0.0]);
        assert_eq!(encode(&numbers), "[43,43.6503,-79.5,1e+21,1.5e-7,0.000001,12345678901234567890,-0]\n");
    }

    #[test]
    fn text_is_escaped_as_in_go() {
        assert_eq!(
            encode(&json!("a<b>&\"\\\n\u{1}\u{2028}é")),
            "\"a\\u003cb\\u003e\\u0026\\\"\\\\\\n\\u0001\\u2028é\"\n"
        );
    }
}
