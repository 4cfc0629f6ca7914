//! How many pictures are unpacked at once. A picture takes up to a hundred times the memory of its file, and a core for
//! a second: without a bound, a few drivers' uploads would be everybody's outage.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::picture::{self, Measured, Picture, Purpose, Refused, UNPACKED_MAX};
use crate::error::{ApiError, Result};

/// Pictures unpacked at once.
const AT_ONCE: usize = 2;
/// Pictures at work or waiting; their files are in memory meanwhile.
const WAITING_MAX: usize = 16;
/// How long one waits for its turn. Phones send again.
const WAIT: Duration = Duration::from_secs(20);
/// After how many seconds a phone that was sent away tries again.
const RETRY_AFTER_SECONDS: u32 = 5;
/// The room for pixels is counted in MiB, since a semaphore's permits are numbers.
const UNIT: u64 = 1024 * 1024;

/// The room for pictures. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Room {
    waiting: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    /// All pictures at work together take no more than the largest alone: 160 MiB, or 360 MB of one in passes.
    pixels: Arc<Semaphore>,
}

impl Room {
    pub(super) fn new() -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            pixels: Arc::new(Semaphore::new((UNPACKED_MAX / UNIT) as usize)),
        }
    }

    /// Makes a picture of ours out of a file, when there is room.
    pub(super) async fn remake(&self, file: Bytes, purpose: Purpose) -> Result<Picture> {
        let busy =
            || ApiError::too_many_requests("too many pictures at once; try again in a moment", RETRY_AFTER_SECONDS);
        let waiting = self.waiting.clone().try_acquire_owned().map_err(|_| busy())?;
        let turn = tokio::time::timeout(WAIT, self.turn(file.clone())).await.map_err(|_| busy())??;
        let work = move || {
            let (measured, held) = turn;
            let picture = picture::remade(&file, measured, purpose);
            // Also when nobody waits for the outcome any more, the room is taken until here.
            drop((held, waiting));
            picture
        };
        tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?.map_err(|why| refused(&why))
    }

    async fn turn(&self, file: Bytes) -> Result<(Measured, [OwnedSemaphorePermit; 2])> {
        let turn = self.turns.clone().acquire_owned().await.map_err(ApiError::internal)?;
        let measured = tokio::task::spawn_blocking(move || picture::measure(&file));
        let measured = measured.await.map_err(ApiError::internal)?.map_err(|why| refused(&why))?;
        // One that takes more than all the room has it to itself.
        let units = measured.room.min(UNPACKED_MAX).div_ceil(UNIT) as u32;
        let pixels = self.pixels.clone().acquire_many_owned(units).await.map_err(ApiError::internal)?;
        Ok((measured, [turn, pixels]))
    }
}

fn refused(why: &Refused) -> ApiError {
    match why {
        Refused::Kind => ApiError::unsupported_media_type(&["image/jpeg", "image/png", "image/webp"]),
        Refused::Broken | Refused::Large { .. } => ApiError::invalid_field("file", &why.to_string()),
    }
}
