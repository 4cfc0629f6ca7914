//! Those who see the same share what is written for them: each change is put into words once.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

use axum::extract::ws::Utf8Bytes;
use dropmate_api::{Clock, roles::Sight};
use dropmate_store::{Event, Revision};

use super::frames::{self, Words};
use crate::{error::Result, resources::Eyes};

/// Revisions whose frames are kept for those who see everything: as many as are on their way to clients at a time.
const KEPT: usize = 512;
/// The same for those who see only their own: seldom more than a few clients.
const KEPT_OWN: usize = 8;
/// Bytes of orders whose frames are kept for each way of seeing; large ones are put into words more often.
const KEPT_BYTES: usize = 4 * 1024 * 1024;
/// After so many newcomers those are forgotten whom nobody is any more.
const TIDY_EVERY: usize = 256;

type Frames = Result<Arc<[Utf8Bytes]>>;

/// A way of seeing orders, with the frames made for it lately.
#[derive(Debug)]
pub(super) struct Seeing {
    /// `None`: everything.
    pub(super) eyes: Option<Eyes>,
    made: Mutex<Made>,
}

#[derive(Debug, Default)]
struct Made {
    by_revision: HashMap<Revision, Arc<OnceLock<Frames>>>,
    /// Oldest first, each with the size of its order.
    order: VecDeque<(Revision, usize)>,
    bytes: usize,
}

impl Seeing {
    fn new(sight: &Sight, clock: &Clock) -> Self {
        Self { eyes: Eyes::with(sight, "orders", clock), made: Mutex::default() }
    }

    /// The frames of a change, made by whoever asks first.
    pub(super) fn frames(&self, words: &Words, change: &Event) -> Frames {
        let slot = {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(slot) = made.by_revision.get(&change.revision) {
                slot.clone()
            } else {
                let slot = Arc::<OnceLock<Frames>>::default();
                made.keep(change, slot.clone(), if self.eyes.is_none() { KEPT } else { KEPT_OWN });
                slot
            }
        };
        let make = || frames::of_change(words, self.eyes.as_ref(), change).map(Arc::from);
        slot.get_or_init(make).clone()
    }
}

impl Made {
    /// What is too much goes, oldest first; who is at it has it already.
    fn keep(&mut self, change: &Event, slot: Arc<OnceLock<Frames>>, most: usize) {
        let size = change.object.body.len();
        self.by_revision.insert(change.revision, slot);
        self.order.push_back((change.revision, size));
        self.bytes += size;
        while self.order.len() > most || self.bytes > KEPT_BYTES {
            let Some((oldest, size)) = self.order.pop_front() else { return };
            self.by_revision.remove(&oldest);
            self.bytes -= size;
        }
    }
}

/// All ways of seeing that somebody has now.
#[derive(Debug, Default)]
pub(super) struct Sights(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_name: HashMap<String, Weak<Seeing>>,
    newcomers: usize,
}

impl Sights {
    pub(super) fn of(&self, sight: &Sight, clock: &Clock) -> Arc<Seeing> {
        let name = format!("{sight:?}");
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = known.by_name.get(&name).and_then(Weak::upgrade) {
            return held;
        }
        known.newcomers += 1;
        if known.newcomers >= TIDY_EVERY {
            known.newcomers = 0;
            known.by_name.retain(|_, held| held.strong_count() > 0);
        }
        let new = Arc::new(Seeing::new(sight, clock));
        known.by_name.insert(name, Arc::downgrade(&new));
        new
    }
}
