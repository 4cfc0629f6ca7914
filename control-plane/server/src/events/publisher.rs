//! Publishes what happened, as it happens: to whoever listens in this process, and to a stream in Redis where there is
//! one. One replica does it, under a Lease.
//!
//! The log is the outbox, and how far it was read stands in the Lease. After a crash the last seconds are read again; in
//! Redis each event has its revision and number as its id, so that none is there twice. A Redis that was emptied is filled
//! again from the log. Nobody waits for any of it.

use std::{sync::Arc, time::Duration};

use dropmate_api::events::cloud::CloudEvent;
use dropmate_live::{Appended, Entry, EntryId, Topic};
use dropmate_store::{Moment, ReadError, Revision};
use jiff::SignedDuration;
use tokio::{
    sync::broadcast,
    time::{Instant, sleep, sleep_until},
};
use uuid::Uuid;

use super::{
    lease::{self, Renewal, Term},
    metrics::Metrics,
    read::{self, Page},
};
use crate::{error::Result, state::AppState};

/// The stream's name in Redis, after our prefix.
const STREAM: &str = "events";
/// Events that the stream keeps, more or less: an hour of a large business, some 300 MB at most.
const STREAM_KEPT: usize = 100_000;
/// How long history waits for a Redis that is away: what it has missed by then, nobody waits for.
const AWAY_MAX: Duration = Duration::from_hours(1);
/// How far back an emptied stream is filled again.
const REFILL: SignedDuration = SignedDuration::from_mins(10);
/// Entries and bytes appended at once: Redis runs nothing else meanwhile, and all of it has to get there in half a second.
const PIECE: usize = 256;
const PIECE_BYTES: usize = 512 * 1024;
/// Revisions read at once.
const REVISIONS: usize = 500;
/// How long between two tries to win the Lease, or to reach what did not answer.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Events to whoever listens in this process.
pub(crate) type Heard = broadcast::Sender<Arc<CloudEvent>>;

/// Runs until the server drains.
pub(super) async fn run(state: AppState, heard: Heard, metrics: Metrics) {
    let holder = Uuid::new_v4().to_string();
    let mut watched = None;
    while !state.shutdown.is_cancelled() {
        match lease::win(&state, &holder, &mut watched).await {
            Ok(Some(term)) => {
                tracing::info!(lease.name = lease::NAME, lease.holder = holder, "this process publishes events");
                metrics.leading.set(1);
                if let Err(error) = publish(&state, term, &heard, &metrics).await {
                    tracing::warn!(error = error.message(), "events could not be published; trying again");
                }
                metrics.leading.set(0);
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(error = error.message(), "the lease could not be looked at or taken"),
        }
        tokio::select! {
            biased;
            () = state.shutdown.cancelled() => {}
            () = sleep(AGAIN_AFTER) => {}
        }
    }
}

/// Publishes for a term.
async fn publish(state: &AppState, mut term: Term, heard: &Heard, metrics: &Metrics) -> Result<()> {
    let (epoch, newest) = read::history(&state.store).await?;
    let lately = ten_minutes_ago(state).await?;
    let read = term.cursor().filter(|cursor| *cursor <= newest).unwrap_or(lately);
    let mut publisher = Publisher {
        state,
        epoch,
        heard,
        metrics,
        told: read,
        // What Redis may have lost while nobody looked is offered again; what it has is refused by its number.
        appended: read.min(lately),
        last: None,
        redis_again_at: Instant::now(),
        away_since: None,
    };
    let mut revisions = state.store.revisions();
    let mut renew_at = Instant::now() + lease::RENEW_EVERY;
    loop {
        revisions.mark_unchanged();
        let more = match publisher.step().await {
            Ok(more) => more,
            Err(error) => {
                tracing::debug!(%error, "the log could not be read on");
                sleep(AGAIN_AFTER).await;
                false
            }
        };
        if Instant::now() >= renew_at {
            publisher.look_after().await;
            renew_at = Instant::now() + AGAIN_AFTER;
            match term.renew(state, publisher.read()).await {
                Renewal::Renewed => renew_at = Instant::now() + lease::RENEW_EVERY,
                Renewal::Failed => {}
                Renewal::Lost => {
                    tracing::warn!(lease.name = lease::NAME, "the lease is lost");
                    return Ok(());
                }
            }
        }
        if state.shutdown.is_cancelled() {
            break;
        }
        if more && term.is_trusted() {
            continue;
        }
        let wake_at = publisher.wakes_at().map_or(renew_at, |at| at.min(renew_at));
        tokio::select! {
            biased;
            () = state.shutdown.cancelled() => break,
            () = sleep_until(wake_at) => {}
            changed = revisions.changed() => if changed.is_err() { break },
        }
    }
    term.release(state, publisher.read()).await;
    Ok(())
}

/// The revision of ten minutes ago, as far as it can be told.
async fn ten_minutes_ago(state: &AppState) -> std::result::Result<Revision, ReadError> {
    let then = state.clock.system_now().checked_sub(REFILL).unwrap_or(jiff::Timestamp::MIN);
    let resource = read::resources().iter().next().map_or("", String::as_str);
    let oldest = read::oldest(&state.store).await?;
    Ok(match state.store.revision_at(resource, then).await? {
        Moment::At { revision, .. } => revision.max(oldest),
        Moment::TooOld { .. } => oldest,
    })
}

struct Publisher<'a> {
    state: &'a AppState,
    epoch: String,
    heard: &'a Heard,
    metrics: &'a Metrics,
    /// All up to here was told in this process.
    told: Revision,
    /// All up to here is in the stream.
    appended: Revision,
    /// The stream's last entry, if this term has appended one.
    last: Option<EntryId>,
    /// Redis is not asked before then.
    redis_again_at: Instant,
    /// Since when it has not answered.
    away_since: Option<Instant>,
}

impl Publisher<'_> {
    /// How far events have been published, wherever they go. Redis holds hints: history waits for it for a while, not until
    /// the disk is full.
    fn read(&self) -> Revision {
        let given_up = self.away_since.is_some_and(|since| since.elapsed() > AWAY_MAX);
        if self.state.live.is_shared() && !given_up { self.appended.min(self.told) } else { self.told }
    }

    /// When Redis is to be tried again, if it is behind.
    fn wakes_at(&self) -> Option<Instant> {
        (self.state.live.is_shared() && self.appended < self.told).then_some(self.redis_again_at)
    }

    /// Publishes the next piece; whether there is more.
    async fn step(&mut self) -> std::result::Result<bool, ReadError> {
        let from = self.told;
        let page = self.page(from).await?;
        self.told = page.next;
        for event in &page.events {
            // Nobody may be listening.
            let _ = self.heard.send(Arc::new(event.clone()));
        }
        self.metrics.published("process", page.events.len());
        let mut more = page.next < page.newest;
        let news = !page.events.is_empty();
        if self.state.live.is_shared() && Instant::now() >= self.redis_again_at {
            let page = if self.appended == from { page } else { self.page(self.appended).await? };
            self.append(&page).await;
            more |= self.appended < self.told && Instant::now() >= self.redis_again_at;
        }
        if news {
            self.state.live.wake(Topic::Events);
        }
        Ok(more)
    }

    /// What follows a revision. Where history is gone before it was published, it is read from where it begins.
    async fn page(&self, after: Revision) -> std::result::Result<Page, ReadError> {
        let Self { state, epoch, .. } = self;
        match read::after(&state.store, &state.clock, epoch, after, REVISIONS).await {
            Err(ReadError::Expired { asked, floor }) => {
                self.metrics.gaps.inc();
                tracing::warn!(asked, floor, "history is gone before it was published");
                let oldest = read::oldest(&state.store).await?;
                read::after(&state.store, &state.clock, epoch, oldest.max(after), REVISIONS).await
            }
            outcome => outcome,
        }
    }

    /// Appends a page to the stream, as far as Redis takes it.
    async fn append(&mut self, page: &Page) {
        let entries: Vec<Entry> = page.events.iter().filter_map(entry).collect();
        for piece in pieces(&entries) {
            match self.state.live.append(STREAM, &self.epoch, self.last, piece, STREAM_KEPT).await {
                Appended::All { added } => {
                    self.away_since = None;
                    self.metrics.published("stream", added);
                    // The stream may be further on than we are, by the work of another.
                    self.last = piece.last().map(|entry| entry.id).max(self.last);
                }
                Appended::Behind(end) => return self.fill_again(end).await,
                Appended::Away | Appended::Unshared => {
                    self.redis_again_at = Instant::now() + AGAIN_AFTER;
                    self.away_since.get_or_insert_with(Instant::now);
                    return;
                }
            }
        }
        self.appended = page.next;
    }

    /// Looks whether the stream still has what was appended.
    async fn look_after(&mut self) {
        if self.last.is_some()
            && let Appended::Behind(end) =
                self.state.live.append(STREAM, &self.epoch, self.last, &[], STREAM_KEPT).await
        {
            self.fill_again(end).await;
        }
    }

    /// The stream has lost its end, or all of it.
    async fn fill_again(&mut self, end: Option<EntryId>) {
        let from = match end {
            // The rest of its last revision may be missing as well.
            Some(end) => end.major.saturating_sub(1),
            None => ten_minutes_ago(self.state).await.unwrap_or(self.appended),
        };
        tracing::warn!(from, "the stream of events in Redis has lost something and is filled again");
        self.metrics.refills.inc();
        self.last = None;
        self.appended = self.appended.min(from);
    }
}

/// An event as the stream has it: numbered by revision and ordinal, with its type apart so that readers need not look
/// into what is not for them.
fn entry(event: &CloudEvent) -> Option<Entry> {
    let (major, minor) = event.position()?;
    let body = serde_json::to_string(event).ok()?;
    Some(Entry { id: EntryId { major, minor }, fields: vec![("type", event.type_.clone()), ("event", body)] })
}

/// Entries by so many as go at once: one at least.
fn pieces(entries: &[Entry]) -> Vec<&[Entry]> {
    let size = |entry: &Entry| entry.fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let (mut pieces, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, entry) in entries.iter().enumerate() {
        let more = size(entry);
        if index > start && (bytes + more > PIECE_BYTES || index - start >= PIECE) {
            pieces.push(&entries[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += more;
    }
    if start < entries.len() {
        pieces.push(&entries[start..]);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_small_and_leave_nothing_out() {
        let entry =
            |major, bytes: usize| Entry { id: EntryId { major, minor: 0 }, fields: vec![("event", "x".repeat(bytes))] };
        let entries: Vec<_> = (0..600).map(|n| entry(n, if n % 100 == 7 { PIECE_BYTES * 2 } else { 100 })).collect();
        let pieces = pieces(&entries);
        assert_eq!(pieces.concat(), entries);
        for piece in &pieces {
            let bytes: usize = piece.iter().map(|entry| entry.fields[0].1.len() + 5).sum();
            assert!(piece.len() == 1 || piece.len() <= PIECE && bytes <= PIECE_BYTES, "{} of {bytes}", piece.len());
        }
        assert!(super::pieces(&[]).is_empty());
    }
}
