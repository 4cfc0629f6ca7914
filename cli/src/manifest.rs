//! Manifests: YAML or JSON text, cut into documents and parsed with bounds, so that a hostile file costs no more than
//! an honest one, and with positions, so that every complaint names file and line.

mod files;
mod json;
mod locate;
mod object;
mod split;
mod yaml;

use std::{fmt, sync::Arc};

pub(crate) use files::{Input, inputs};
pub(crate) use object::{Manifest, manifests};
pub(crate) use split::Documents;

/// The largest document taken, the same as the largest body the server takes.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 3 * 1024 * 1024;

/// How deep values may nest. Real manifests stay under twenty; recursion over them must fit any stack.
const MAX_DEPTH: usize = 100;

/// One document of a file, not yet parsed.
#[derive(Debug)]
pub(crate) struct Document {
    /// The file as the user named it; `-` is standard input.
    pub(crate) file: Arc<str>,
    /// Line of the file on which `text` starts, from 1.
    pub(crate) line: usize,
    /// Its text.
    pub(crate) text: String,
}

/// Something wrong with a manifest, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The file as the user named it.
    pub(crate) file: Arc<str>,
    /// The line, from 1; absent where the file as a whole is meant.
    pub(crate) line: Option<usize>,
    /// What is wrong.
    pub(crate) message: String,
}

impl Problem {
    /// Where it is: `orders.yaml:12`.
    pub(crate) fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.to_string(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.message)
    }
}

/// Something wrong inside a document: the line counts from the document's first, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    line: usize,
    message: String,
}

impl Document {
    /// A problem at a line of this document (1 is its first).
    fn problem(&self, fault: Fault) -> Problem {
        Problem { file: Arc::clone(&self.file), line: Some(self.line + fault.line.max(1) - 1), message: fault.message }
    }

    /// The line of the file on which the field stands, or the nearest one above it that is there.
    pub(crate) fn line_of(&self, path: &str) -> usize {
        self.line + locate::line_of(&self.text, path) - 1
    }
}
