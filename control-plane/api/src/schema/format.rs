//! The formats that are checked; others are annotations, as in Kubernetes.

use std::sync::LazyLock;

use jiff::{Timestamp, civil};
use regex::Regex;

/// RFC 3339, and no more: jiff reads further forms that other clients could not.
static DATE_TIME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$")
        .expect("the expression is constant")
});

static UUID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$")
        .expect("the expression is constant")
});

/// A format that values are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    DateTime,
    Date,
    Uuid,
    Int32,
    Int64,
    Float,
    Double,
}

impl Format {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "date-time" => Self::DateTime,
            "date" => Self::Date,
            "uuid" => Self::Uuid,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "float" => Self::Float,
            "double" => Self::Double,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DateTime => "date-time",
            Self::Date => "date",
            Self::Uuid => "uuid",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float => "float",
            Self::Double => "double",
        }
    }

    /// Whether the text has the format; those of numbers say nothing about text.
    pub(super) fn accepts(self, text: &str) -> bool {
        match self {
            Self::DateTime => DATE_TIME.is_match(text) && text.parse::<Timestamp>().is_ok(),
            Self::Date => text.len() == "2026-01-01".len() && text.parse::<civil::Date>().is_ok(),
            Self::Uuid => UUID.is_match(text),
            Self::Int32 | Self::Int64 | Self::Float | Self::Double => true,
        }
    }
}
