//! What a request of a tracker app comes to.

use dropmate_ingest::Fix;

/// The fixes of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parsed {
    pub(super) fixes: Vec<Fix>,
    /// Points that cannot be read: counted, answered as if they were good, and never asked for again.
    pub(super) unread: usize,
}

impl Parsed {
    /// Adds a point that was read, or was not.
    pub(super) fn push(&mut self, fix: Option<Fix>) {
        match fix {
            Some(fix) => self.fixes.push(fix),
            None => self.unread += 1,
        }
    }

    /// Nothing but something that cannot be read.
    pub(super) fn unreadable() -> Self {
        Self { unread: 1, ..Self::default() }
    }
}
