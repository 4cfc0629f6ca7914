//! The path of the field that is being looked at.

use std::fmt::Write;

/// A field path in one growing and shrinking buffer: `spec.items[0].quantity`.
#[derive(Default)]
pub(super) struct Path(String);

/// Where a path was before it went deeper.
#[must_use]
#[derive(Clone, Copy)]
pub(super) struct Mark(usize);

impl Path {
    /// One field, or map key, deeper.
    pub(super) fn enter_field(&mut self, name: &str) -> Mark {
        let mark = Mark(self.0.len());
        if !self.0.is_empty() {
            self.0.push('.');
        }
        self.0.push_str(name);
        mark
    }

    /// To a list item.
    pub(super) fn enter_index(&mut self, index: usize) -> Mark {
        let mark = Mark(self.0.len());
        // Writing to a String cannot fail.
        let _ = write!(self.0, "[{index}]");
        mark
    }

    pub(super) fn leave(&mut self, mark: Mark) {
        self.0.truncate(mark.0);
    }

    pub(super) fn render(&self) -> String {
        self.0.clone()
    }
}
