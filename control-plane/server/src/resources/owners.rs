//! Who owns which field after a write: the manager's name as the request tells it, and the pure functions of
//! `dropmate_api::apply`.

use dropmate_api::apply::{self, Writer};
use serde_json::Value;

use super::call::Call;
use crate::{
    object,
    options::{MANAGER_BYTES_MAX, is_printable},
};

/// How a write tells who owns what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owners {
    /// Whoever changes a field owns it.
    Follow,
    /// Apply has told it already.
    Settled,
}

impl Call {
    /// Writes down in `new` who owns what.
    pub(super) fn own(&self, old: Option<&Value>, new: &mut Value, owners: Owners) {
        if owners == Owners::Follow {
            let schema = (self.kind().schema)();
            self.as_writer(|writer| apply::update(schema, old.unwrap_or(&Value::Null), new, writer));
        }
    }

    /// Does something as the writer that this request is.
    pub(super) fn as_writer<T>(&self, act: impl FnOnce(&Writer<'_>) -> T) -> T {
        let kind = self.kind();
        let at = object::metadata_time(self.state.clock.system_now());
        let manager = match self.query.get("fieldManager").map_or("", String::as_str) {
            "" => self.agent_name(),
            manager => manager.to_owned(),
        };
        act(&Writer {
            manager: &manager,
            api_version: &kind.api_version(),
            subresource: self.target.subresource.as_deref().unwrap_or(""),
            status_apart: kind.status_subresource,
            at: at.as_str().unwrap_or(""),
        })
    }

    /// The program's name: what its `User-Agent` says before the first slash. Agents in our own process send none; they
    /// are known by their account.
    fn agent_name(&self) -> String {
        let agent = self.actor.client.split('/').next().unwrap_or("");
        let account = self.actor.user.strip_prefix("system:serviceaccount:").and_then(|name| name.split(':').nth(1));
        let name = if agent.is_empty() { account.unwrap_or("") } else { agent };
        let mut printable: String = name.chars().filter(|c| is_printable(*c)).collect();
        printable.truncate(printable.floor_char_boundary(MANAGER_BYTES_MAX));
        printable
    }
}
