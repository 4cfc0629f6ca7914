//! What tells one history of revisions from another.

use sha2::{Digest, Sha256};

use dropmate_store::Revision;

/// Bits of a revision that count writes; above them, a restore from a backup counts itself, so that revisions rise.
const WRITES_BITS: u32 = 48;

/// The epoch of a history: made from the uid of the namespace that is there from the first start on, the same for all
/// replicas and over restarts, and another after every restore.
pub(crate) fn epoch(system_uid: &str, revision: Revision) -> String {
    let digest = hex::encode(&Sha256::digest(system_uid)[..6]);
    match revision >> WRITES_BITS {
        0 => digest,
        restores => format!("{digest}{restores:x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_lasts_until_another_installation_or_a_restore() {
        let first = epoch("a-uid", 7);
        assert_eq!((first.len(), &first), (12, &epoch("a-uid", 7_000_000)));
        assert_ne!(first, epoch("b-uid", 7));
        assert_ne!(first, epoch("a-uid", 7 | 1 << WRITES_BITS));
    }
}
