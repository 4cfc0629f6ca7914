//! Like requests within a minute are told by their first and then by their number, so that a flood fills no disk.

use std::collections::HashMap;

use dropmate_store::Access;

use crate::limits::subnet;

/// Different requests told in one minute: two rows each at most.
const GROUPS_MAX: usize = 512;
/// The same of one caller, or of one address of callers that nobody knows; their further ones are told as one.
const GROUPS_MAX_EACH: usize = 32;
/// Those of callers that nobody knows, from however many networks: the rest is kept for those who are known.
const GROUPS_MAX_UNKNOWN: usize = 128;

/// What was seen since the minute began.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    groups: HashMap<Like, Access>,
    by_whom: HashMap<String, usize>,
    unknown: usize,
}

/// There is no room for another kind of request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// What requests that are told together have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Like {
    whom: String,
    outcome: String,
    /// Verb, resource, namespace, name.
    what: Option<[String; 4]>,
}

/// What one host has all of.
fn network(address: &str) -> String {
    address.parse().map_or_else(|_| address.to_owned(), |address| subnet(address).to_string())
}

impl Gathering {
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Takes in a request; the first of its like is to be written now.
    pub(super) fn add(&mut self, access: &Access) -> Result<Option<Access>, Full> {
        let known = !access.actor.is_empty();
        let whom =
            if known { format!("user {}", access.actor) } else { format!("address {}", network(&access.address)) };
        let what = [&access.verb, &access.resource, &access.namespace, &access.name].map(Clone::clone);
        let mut like = Like { whom, outcome: access.outcome.clone(), what: known.then_some(what) };
        if let Some(group) = self.groups.get_mut(&like) {
            group.again(access);
            return Ok(None);
        }
        let of_them = self.by_whom.get(&like.whom).copied().unwrap_or_default();
        if of_them >= GROUPS_MAX_EACH {
            like.what = None;
            if let Some(group) = self.groups.get_mut(&like) {
                group.again(access);
                return Ok(None);
            }
        }
        if self.groups.len() >= GROUPS_MAX || !known && self.unknown >= GROUPS_MAX_UNKNOWN {
            return Err(Full);
        }
        self.unknown += usize::from(!known);
        *self.by_whom.entry(like.whom.clone()).or_default() += 1;
        let mut told = access.clone();
        if like.what.is_none() {
            // It stands for others, of other names.
            for field in [&mut told.verb, &mut told.resource, &mut told.namespace, &mut told.name] {
                field.clear();
            }
        }
        self.groups.insert(like, Access { count: 0, ..told.clone() });
        Ok(Some(told))
    }

    /// Ends the minute: what came again, to be written, each with how often.
    pub(super) fn end(&mut self) -> Vec<Access> {
        self.by_whom.clear();
        self.unknown = 0;
        self.groups.drain().map(|(_, access)| access).filter(|access| access.count > 0).collect()
    }
}

/// One more of a kind.
trait Again {
    fn again(&mut self, access: &Access);
}

impl Again for Access {
    fn again(&mut self, access: &Access) {
        self.count += access.count;
        self.at = access.at;
        self.request_id.clone_from(&access.request_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(actor: &str, address: &str, name: &str) -> Access {
        let text = str::to_owned;
        Access {
            at: jiff::Timestamp::UNIX_EPOCH,
            actor: text(actor),
            address: text(address),
            client: String::new(),
            request_id: String::new(),
            verb: text("get"),
            resource: text("orders.dropmate.dev"),
            namespace: text("acme"),
            name: text(name),
            outcome: text("denied"),
            code: 403,
            count: 1,
        }
    }

    #[test]
    fn the_first_of_its_like_is_told_at_once_and_the_others_by_their_number() {
        let mut gathering = Gathering::default();
        assert_eq!(gathering.add(&access("ada", "1", "o1")), Ok(Some(access("ada", "1", "o1"))));
        for _ in 0..5 {
            assert_eq!(gathering.add(&access("ada", "1", "o1")), Ok(None));
        }
        assert!(gathering.add(&access("ada", "1", "o2")).unwrap().is_some(), "another object is another thing");
        let again = gathering.end();
        assert_eq!(again.len(), 1);
        assert_eq!((again[0].name.as_str(), again[0].count), ("o1", 5));
        assert!(gathering.is_empty());
    }

    #[test]
    fn a_flood_of_strangers_is_a_row_an_address_and_of_one_caller_a_few() {
        let mut gathering = Gathering::default();
        let mut rows = 0;
        for number in 0..1_000 {
            rows += usize::from(gathering.add(&access("", "192.0.2.1", &format!("o{number}"))).unwrap().is_some());
        }
        assert_eq!(rows, 1);
        for number in 0..1_000 {
            rows += usize::from(gathering.add(&access("eve", "1", &format!("o{number}"))).unwrap().is_some());
        }
        assert_eq!(rows, 1 + GROUPS_MAX_EACH + 1);
        let counts: u64 = gathering.end().iter().map(|access| access.count).sum();
        assert_eq!(counts as usize + rows, 2_000, "none is lost");
    }

    #[test]
    fn however_many_ask_the_rows_of_a_minute_are_bounded() {
        let mut gathering = Gathering::default();
        let told = |outcomes: &[Result<Option<Access>, Full>]| {
            outcomes.iter().filter(|outcome| matches!(outcome, Ok(Some(_)))).count()
        };
        let strangers: Vec<_> = (0..2_000).map(|n| gathering.add(&access("", &n.to_string(), "o"))).collect();
        assert_eq!(told(&strangers), GROUPS_MAX_UNKNOWN);
        assert_eq!(strangers.last(), Some(&Err(Full)));
        let known: Vec<_> = (0..2_000).map(|n| gathering.add(&access(&n.to_string(), "1", "o"))).collect();
        assert_eq!(told(&known), GROUPS_MAX - GROUPS_MAX_UNKNOWN, "strangers leave room for who is known");
        assert_eq!(known.last(), Some(&Err(Full)));
    }

    #[test]
    fn a_host_with_a_whole_network_is_one_stranger() {
        let mut gathering = Gathering::default();
        let told =
            (0..1_000).filter(|n| gathering.add(&access("", &format!("2001:db8::{n:x}"), "o")).unwrap().is_some());
        assert_eq!(told.count(), 1);
    }
}
