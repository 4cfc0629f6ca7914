//! Values as Kubernetes prints them in messages.

use std::fmt::Write;

use serde_json::{Number, Value};

/// No message echoes more of a value than this, so that an answer stays small whatever was sent.
const ECHO_BYTES_MAX: usize = 1024;

/// Floats from here on are printed with an exponent, as Go does.
const EXPONENT_FROM: f64 = 1e21;

/// A value in a message: strings quoted, numbers plain, the rest as JSON.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::String(s) => quote(s),
        Value::Number(n) => number(n),
        other => shorten(&other.to_string()).to_owned(),
    }
}

/// A number in a message.
pub(crate) fn number(n: &Number) -> String {
    if n.is_f64() { float(n.as_f64().unwrap_or_default()) } else { n.to_string() }
}

/// A float in a message: `90`, `1.5`, `1e+21`.
pub(crate) fn float(f: f64) -> String {
    if f != 0.0 && (f.abs() >= EXPONENT_FROM || f.abs() < 1e-4) {
        let scientific = format!("{f:e}");
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    f.to_string()
}

/// A string in double quotes, with what cannot be printed escaped.
pub fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in shorten(s).chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn shorten(s: &str) -> &str {
    &s[..s.floor_char_boundary(ECHO_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_go_prints_them() {
        assert_eq!(float(90.0), "90");
        assert_eq!(float(-0.5), "-0.5");
        assert_eq!(float(1e21), "1e+21");
        assert_eq!(float(0.00001), "1e-05");
        assert_eq!(float(123_456_789.25), "123456789.25");
    }

    #[test]
    fn a_huge_value_is_not_echoed_whole() {
        assert!(quote(&"ä".repeat(1 << 20)).len() <= ECHO_BYTES_MAX + 2);
    }

    #[test]
    fn what_cannot_be_printed_is_escaped() {
        assert_eq!(quote("a\"b\\\n\u{1}ö"), "\"a\\\"b\\\\\\n\\x01ö\"");
    }
}
