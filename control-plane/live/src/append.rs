//! Streams that others read with `XREAD`: appended to in order, each entry once.

use crate::Live;

/// The number of an entry: entries are in the order of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId {
    /// What counts first.
    pub major: u64,
    /// What counts among those.
    pub minor: u64,
}

impl EntryId {
    /// As Redis says it.
    pub(crate) fn text(self) -> String {
        format!("{}-{}", self.major, self.minor)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('-')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

/// An entry of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// Names and values.
    pub fields: Vec<(&'static str, String)>,
}

/// What became of entries that were to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// All of them are there now; so many were not there before.
    All {
        /// How many were new.
        added: usize,
    },
    /// None was added: the stream ends before what the caller takes for its last entry. It was emptied, or has lost its
    /// end. It goes on after this one; `None`: there is nothing in it.
    Behind(Option<EntryId>),
    /// Redis does not take them now, or not all of them.
    Away,
    /// There is no Redis.
    Unshared,
}

impl Live {
    /// Appends entries, in order, to a stream of that name, of which about the newest `keep` are kept. `after` is the entry
    /// that the caller appended last, if any. However often it is done and by how many processes, an entry is there once,
    /// and none is missing between two others. Small pieces: all of it has to get there within half a second. `epoch` is the
    /// history that the numbers are of: a stream of another one is begun anew.
    pub async fn append(
        &self,
        stream: &'static str,
        epoch: &str,
        after: Option<EntryId>,
        entries: &[Entry],
        keep: usize,
    ) -> Appended {
        match &self.inner.share {
            Some(share) => share.append((stream, epoch), after, entries, keep).await,
            None => Appended::Unshared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_it_is_said() {
        let id = EntryId { major: u64::MAX, minor: 3 };
        assert_eq!(EntryId::parse(&id.text()), Some(id));
        for none in ["", "7", "7-", "-7", "a-1", "1-2-3", "18446744073709551616-0"] {
            assert_eq!(EntryId::parse(none), None, "{none}");
        }
        assert!(EntryId { major: 2, minor: 0 } > EntryId { major: 1, minor: 9 });
    }
}
