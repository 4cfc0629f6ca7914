//! Takes away what nobody will ask for: rows that are old, and files that no row names (an upload that was broken off
//! between the two, a namespace that went).

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::Proofs;
use crate::{error::Result, state::AppState};

/// How often. What is left over does no harm but take room.
const EVERY: Duration = Duration::from_hours(6);
/// The first one, so that an installation that is restarted each day sweeps as well.
const FIRST_AFTER: Duration = Duration::from_mins(10);
/// A file is written before its row: younger ones are left alone, also where clocks differ.
const YOUNG: SignedDuration = SignedDuration::from_hours(1);
/// Files looked up at once.
const PAGE: usize = 500;

/// Sweeps until the server drains. Every replica does: what one has taken away is not there for the next.
pub(crate) async fn run(state: AppState) {
    let Some(proofs) = state.proofs.clone() else { return };
    let mut pause = FIRST_AFTER;
    loop {
        tokio::select! {
            biased;
            () = state.shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = EVERY;
        match sweep(&proofs, state.clock.system_now()).await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "files of proofs that nobody names were deleted"),
            Err(error) => tracing::warn!(error = error.message(), "proofs could not be swept; trying again later"),
        }
    }
}

/// One sweep; says how many files went.
async fn sweep(proofs: &Proofs, now: Timestamp) -> Result<u64> {
    proofs.ingest.forget_old_proofs().await?;
    proofs.ingest.forget_old_pins().await?;
    proofs.ingest.forget_old_links().await?;
    proofs.ingest.forget_old_ratings().await?;
    let young = now - YOUNG;
    let mut gone = 0;
    let mut pages = proofs.store.pages(PAGE);
    while let Some(files) = pages.next().await? {
        let old: Vec<_> = files.into_iter().filter(|file| file.written_at < young).collect();
        let ids: Vec<String> = old.iter().map(|file| file.id.clone()).collect();
        let named: BTreeSet<String> = proofs.ingest.proofs_named(&ids).await?.into_iter().collect();
        for file in old.iter().filter(|file| !named.contains(&file.id)) {
            proofs.store.delete(&file.path).await?;
            proofs.metrics.swept.inc();
            gone += 1;
        }
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dropmate_ingest::{Ingest, ProofRow};
    use jiff::ToSpan;

    use super::*;
    use crate::{folder::Folder, proofs::store::ProofStore};

    fn row(id: &str, at: Timestamp) -> ProofRow {
        ProofRow {
            id: id.to_owned(),
            namespace: "acme".to_owned(),
            order_name: "o1".to_owned(),
            order_uid: "uid".to_owned(),
            driver: "sam".to_owned(),
            type_: "photo".to_owned(),
            client_event_id: id.to_owned(),
            sent: vec![1],
            media_type: "image/jpeg".to_owned(),
            bytes: 1,
            created_at: at.as_microsecond(),
        }
    }

    #[tokio::test]
    async fn a_file_that_no_row_names_goes_once_it_is_old_and_all_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        // The files have the system's time.
        let now = Timestamp::try_from(std::fs::metadata(folder.path()).unwrap().modified().unwrap()).unwrap();
        let ingest = Ingest::sqlite(&folder.path().join("ingest.db"), Arc::new(move || now)).await.unwrap();
        let files = Folder::private(&folder.path().join("proofs"));
        let ours = ProofStore::folder(&files, "ours").unwrap();
        let theirs = ProofStore::folder(&files, "theirs").unwrap();
        let proofs = Proofs::new(ours.clone(), ingest.clone());
        for id in ["prf_named", "prf_orphan", "prf_of_last_year"] {
            ours.put(id, id.into()).await.unwrap();
        }
        theirs.put("prf_theirs", "theirs".into()).await.unwrap();
        ingest.add_proof(&row("prf_named", now)).await.unwrap();
        ingest.add_proof(&row("prf_of_last_year", now - (450 * 24).hours())).await.unwrap();

        assert_eq!(sweep(&proofs, now).await.unwrap(), 0, "all are young");
        assert_eq!(sweep(&proofs, now + 2.hours()).await.unwrap(), 2);
        assert_eq!(ours.get("prf_named").await.unwrap().unwrap(), "prf_named");
        assert_eq!(ours.get("prf_orphan").await.unwrap(), None);
        assert_eq!(ours.get("prf_of_last_year").await.unwrap(), None);
        assert!(theirs.get("prf_theirs").await.unwrap().is_some());
        assert_eq!(sweep(&proofs, now + 2.hours()).await.unwrap(), 0);
    }
}
