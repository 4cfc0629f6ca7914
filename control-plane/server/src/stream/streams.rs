//! What all live streams of a process share.

use std::sync::{Arc, OnceLock};

use dropmate_api::{Clock, roles::Sight};
use dropmate_live::Live;
use prometheus_client::registry::Registry;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::{
    Origins,
    frames::Words,
    metrics::Metrics,
    positions::{self, Placed, Room, Rooms},
    sight::{Seeing, Sights},
};
use crate::error::Result;

/// What all live streams share. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    origins: Origins,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    live: Live,
    stop: CancellationToken,
    rooms: Arc<Rooms>,
    giving: OnceLock<()>,
    sights: Sights,
    words: OnceLock<Arc<Words>>,
    metrics: Metrics,
}

impl Streams {
    pub(crate) fn new(live: Live, stop: CancellationToken) -> Self {
        let shared = Shared {
            live,
            stop,
            rooms: Arc::default(),
            giving: OnceLock::new(),
            sights: Sights::default(),
            words: OnceLock::new(),
            metrics: Metrics::default(),
        };
        Self { origins: Origins::default(), shared: Arc::new(shared) }
    }

    /// Pages of these may open streams.
    pub(crate) fn allow(&mut self, origins: Origins) {
        self.origins = origins;
    }

    pub(crate) fn allows(&self, origin: &str) -> bool {
        self.origins.allow(origin)
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        self.shared.metrics.register(registry);
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// How clients are told, in that epoch, which is one for the whole process.
    pub(super) fn words(&self, epoch: String, clock: &Clock) -> Result<Arc<Words>> {
        if let Some(words) = self.shared.words.get().filter(|words| words.epoch == epoch) {
            return Ok(words.clone());
        }
        let words = Arc::new(Words::new(epoch, clock.clone())?);
        let _ = self.shared.words.set(words.clone());
        Ok(words)
    }

    pub(super) fn seeing(&self, sight: &Sight, clock: &Clock) -> Arc<Seeing> {
        self.shared.sights.of(sight, clock)
    }

    /// Every position there from now on.
    pub(crate) fn enter(&self, room: Room) -> broadcast::Receiver<Arc<Placed>> {
        let Shared { live, rooms, stop, giving, .. } = &*self.shared;
        let receiver = rooms.enter(room);
        giving.get_or_init(|| {
            tokio::spawn(positions::run(live.clone(), rooms.clone(), stop.clone()));
        });
        receiver
    }
}
