//! What the audit asks and is told: changes beyond the log's own history, and requests that changed nothing.

use jiff::{SignedDuration, Timestamp};

use crate::{Entry, Key, Revision};

/// How far the clocks of replicas may be apart: revisions follow times only this closely.
const SKEW: SignedDuration = SignedDuration::from_mins(1);

/// What to tell. A bound or name that is absent leaves all in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Not before this time.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// Group-resource.
    pub resource: Option<String>,
    /// Namespace; the empty one is that of cluster-wide objects.
    pub namespace: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// User name.
    pub actor: Option<String>,
    /// Resources that are left out: what their writers do every few seconds.
    pub without: Vec<String>,
}

/// Which part of what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// Only below this revision or id.
    pub before: u64,
    /// At most so many.
    pub limit: usize,
    /// How many are looked through at most, wanted or not: an actor may have done next to nothing in a long stretch, and
    /// a query has its deadline.
    pub look: usize,
}

/// Changes that were found, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPiece {
    /// Their revisions and times.
    pub found: Vec<(Revision, Timestamp)>,
    /// Everything that was asked for down to this revision is there; `None`: everything.
    pub upto: Option<(Revision, Timestamp)>,
}

/// Noted requests that were found, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessPiece {
    /// The requests, with their ids.
    pub found: Vec<(u64, Access)>,
    /// Everything that was asked for down to this id is there; `None`: everything.
    pub upto: Option<(u64, Timestamp)>,
}

/// A request that changed no object, or several alike within a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// When the (last) request came.
    pub at: Timestamp,
    /// Who asked; empty if nobody knows.
    pub actor: String,
    /// From where; empty in process.
    pub address: String,
    /// By which program.
    pub client: String,
    /// The (last) request's id.
    pub request_id: String,
    /// What was asked for.
    pub verb: String,
    /// Group-resource, or what stands for one.
    pub resource: String,
    /// The namespace, if it was in one.
    pub namespace: String,
    /// The name, if one was named.
    pub name: String,
    /// `read`, `done`, `denied`.
    pub outcome: String,
    /// The HTTP status.
    pub code: u16,
    /// How many requests.
    pub count: u64,
}

/// An entry that compaction takes out of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its revision.
    pub revision: Revision,
    /// When the state that it wrote came to its end.
    pub until: Timestamp,
    /// Whether it is kept for the audit.
    pub kept: bool,
}

impl AuditQuery {
    /// Whether an entry is asked for.
    pub(crate) fn wants(&self, entry: &Entry) -> bool {
        let key = &entry.event.object.key;
        self.wants_key(&key.resource, &key.namespace, &key.name)
            && self.wants_time(entry.at)
            && is(self.actor.as_ref(), &entry.actor.user)
            && (self.resource.is_some() || !self.without.contains(&key.resource))
    }

    /// Whether a request is asked for.
    pub(crate) fn wants_access(&self, access: &Access) -> bool {
        self.wants_key(&access.resource, &access.namespace, &access.name)
            && self.wants_time(access.at)
            && is(self.actor.as_ref(), &access.actor)
    }

    fn wants_key(&self, resource: &str, namespace: &str, name: &str) -> bool {
        is(self.resource.as_ref(), resource) && is(self.namespace.as_ref(), namespace) && is(self.name.as_ref(), name)
    }

    fn wants_time(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }

    /// The one object that is asked for.
    pub(crate) fn key(&self) -> Option<Key> {
        let (resource, name) = (self.resource.clone()?, self.name.clone()?);
        Some(Key { resource, namespace: self.namespace.clone()?, name })
    }

    /// Whether nothing older than this time can be asked for.
    pub(crate) fn ends_before(&self, at: Timestamp) -> bool {
        self.from.is_some_and(|from| at.checked_add(SKEW).is_ok_and(|at| at < from))
    }

    /// A time after which nothing is asked for.
    pub(crate) fn surely_before(&self) -> Option<Timestamp> {
        self.to?.checked_add(SKEW).ok()
    }

    /// What is not asked for, unless it is named.
    pub(crate) fn left_out(&self) -> &[String] {
        if self.resource.is_some() { &[] } else { &self.without }
    }
}

impl AccessPiece {
    /// From what was found, newest first, and the id where the search ended.
    pub(crate) fn of(
        found: Vec<(u64, Access)>,
        end: Option<(u64, Timestamp)>,
        query: &AuditQuery,
        limit: usize,
    ) -> Self {
        let upto = match found.last() {
            Some((id, access)) if found.len() >= limit => Some((*id, access.at)),
            _ => end.filter(|(_, at)| !query.ends_before(*at)),
        };
        Self { found, upto }
    }
}

impl AuditPiece {
    /// From rows of revision, time and whether it is the row that tells how far the search went (revision 0: to the end).
    pub(crate) fn of(
        rows: impl IntoIterator<Item = (Revision, Timestamp, bool)>,
        query: &AuditQuery,
        limit: usize,
    ) -> Self {
        let mut piece = Self::default();
        for (revision, at, is_end) in rows {
            match is_end {
                true if revision > 0 && !query.ends_before(at) => piece.upto = Some((revision, at)),
                true => {}
                false => piece.found.push((revision, at)),
            }
        }
        piece.found.sort_unstable_by_key(|(revision, _)| std::cmp::Reverse(*revision));
        if piece.found.len() >= limit {
            piece.upto = piece.found.last().copied();
        }
        piece
    }
}

fn is(wanted: Option<&String>, found: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}
