//! Whether a write may happen: its expectation and its guards against what the database holds.

use std::collections::HashMap;

use serde_json::Value;

use crate::{Expect, Guard, Key, Refusal, Revision, Write};

/// What the database holds under a key. The body is only there if a guard names the key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) uid: &'a str,
    pub(crate) revision: Revision,
    pub(crate) body: &'a str,
}

/// Judges the writes of one batch against the state before it. A body that several guards name is parsed once.
pub(crate) struct Checker<'a, F> {
    find: F,
    parsed: HashMap<&'a Key, Value>,
}

impl<'a, F: Fn(&Key) -> Option<Found<'a>>> Checker<'a, F> {
    pub(crate) fn new(find: F) -> Self {
        Self { find, parsed: HashMap::new() }
    }

    pub(crate) fn check(&mut self, write: &'a Write) -> Result<(), Refusal> {
        match (write.expect, (self.find)(&write.key)) {
            (Expect::Absent, Some(_)) => return Err(Refusal::Exists),
            (Expect::Revision(_), None) => return Err(Refusal::Missing),
            (Expect::Revision(expected), Some(found)) if expected != found.revision => return Err(Refusal::Changed),
            (Expect::Absent, None) | (Expect::Revision(_), Some(_)) => {}
        }
        match write.guards.iter().position(|guard| !self.holds(guard)) {
            Some(index) => Err(Refusal::Guard(index)),
            None => Ok(()),
        }
    }

    fn holds(&mut self, guard: &'a Guard) -> bool {
        let Some(found) = (self.find)(&guard.key) else { return false };
        if guard.uid.as_ref().is_some_and(|uid| uid != found.uid) {
            return false;
        }
        if guard.pointer.is_empty() {
            return true;
        }
        // A body that is not JSON has no value anywhere, so that every pointer into it is absent.
        let body =
            self.parsed.entry(&guard.key).or_insert_with(|| serde_json::from_str(found.body).unwrap_or(Value::Null));
        *body.pointer(&guard.pointer).unwrap_or(&Value::Null) == guard.equals
    }
}
