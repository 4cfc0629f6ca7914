//! Two lists, newest first, of which each may go on, told as one.

use jiff::Timestamp;

/// One of the lists: places in it (revisions, ids) with their times, and where it goes on.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    pub(super) found: Vec<(u64, Timestamp)>,
    /// Everything down to here is found; `None`: it ends with what is found.
    pub(super) upto: Option<(u64, Timestamp)>,
}

/// An element of the merged list: the index in the first list, or in the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    Change(usize),
    Access(usize),
}

/// The first `limit`, newest first, as far as they can be told: what the one list has not told yet may be newer than
/// what the other goes on with.
pub(super) fn merge(changes: &List, accesses: &List, limit: usize) -> Vec<Pick> {
    let (mut a, mut b) = (0, 0);
    let mut picks = Vec::new();
    while picks.len() < limit {
        // What comes next on each side: an element, or at the latest what the list goes on with.
        let next = |list: &List, at: usize| list.found.get(at).or(list.upto.as_ref()).map(|(_, time)| *time);
        let pick = match (next(changes, a), next(accesses, b)) {
            (None, None) => break,
            (Some(change), Some(access)) if change >= access => Pick::Change(a),
            (Some(_), None) => Pick::Change(a),
            (_, Some(_)) => Pick::Access(b),
        };
        match pick {
            Pick::Change(at) if at < changes.found.len() => a += 1,
            Pick::Access(at) if at < accesses.found.len() => b += 1,
            _ => break,
        }
        picks.push(pick);
    }
    picks
}

/// Where a list goes on once that many of its elements have been told; 0: nowhere.
pub(super) fn goes_on(list: &List, told: usize, begun: u64) -> u64 {
    if told == list.found.len() {
        return list.upto.map_or(0, |(place, _)| place);
    }
    told.checked_sub(1).map_or(begun, |last| list.found[last].0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(times: &[i64], upto: Option<i64>) -> List {
        let place = |time: &i64| (*time as u64 * 10, Timestamp::from_second(*time).unwrap());
        List { found: times.iter().map(place).collect(), upto: upto.as_ref().map(place) }
    }

    #[test]
    fn two_whole_lists_are_told_by_time() {
        let (changes, accesses) = (list(&[9, 5, 1], None), list(&[7, 6], None));
        let picks = merge(&changes, &accesses, 10);
        assert_eq!(picks, [Pick::Change(0), Pick::Access(0), Pick::Access(1), Pick::Change(1), Pick::Change(2)]);
        assert_eq!(merge(&changes, &accesses, 2), picks[..2]);
        assert_eq!((goes_on(&changes, 3, 99), goes_on(&changes, 1, 99), goes_on(&changes, 0, 99)), (0, 90, 99));
    }

    #[test]
    fn nothing_is_told_before_what_may_be_newer_is_known() {
        // The changes go on at 6: they may have something between that and 2.
        let (changes, accesses) = (list(&[9], Some(6)), list(&[7, 2], None));
        assert_eq!(merge(&changes, &accesses, 10), [Pick::Change(0), Pick::Access(0)]);
        assert_eq!((goes_on(&changes, 1, 99), goes_on(&accesses, 1, 99)), (60, 70));
        // Even where nothing can be told, the search has come further.
        assert_eq!(merge(&list(&[], Some(6)), &list(&[2], None), 10), []);
    }
}
