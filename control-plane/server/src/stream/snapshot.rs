//! All that a client may see, in pieces, where it has to begin anew.

use axum::extract::ws::Utf8Bytes;
use dropmate_store::{At, Key, Revision};
use serde_json::value::RawValue;

use super::{client::Sees, frames};
use crate::error::Result;

/// Orders read at once.
const PAGE: usize = 100;
/// When a frame is full: the library keeps the memory of the largest one for as long as the connection is open.
const FRAME_BYTES: usize = 16 * 1024;
/// Positions in one frame: some 150 bytes each.
const PLACES: usize = 100;

/// A walk over all orders at one revision.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    at: Option<Revision>,
    after: Option<Key>,
    orders_done: bool,
    /// The page that is being sent, as far as it is.
    orders: Vec<Box<RawValue>>,
    places: Option<Vec<Box<RawValue>>>,
}

impl Snapshot {
    /// The next piece; with the last one comes the revision at which the stream goes on.
    pub(super) async fn next(&mut self, sees: &Sees) -> Result<(Utf8Bytes, Option<Revision>)> {
        if self.orders.is_empty() && !self.orders_done {
            self.read(sees).await?;
        }
        let mut bytes = 0;
        let fits = self.orders.iter().take_while(|order| {
            bytes += order.get().len();
            bytes <= FRAME_BYTES
        });
        // One that is too large for a frame of its own kind goes alone.
        let count = fits.count().max(1).min(self.orders.len());
        let orders: Vec<_> = self.orders.drain(..count).collect();
        let mut places = Vec::new();
        if self.orders_done && self.orders.is_empty() {
            let left = self.places.get_or_insert_with(|| sees.places());
            places = left.drain(..left.len().min(PLACES)).collect();
        }
        let last = self.orders_done && self.orders.is_empty() && self.places.as_ref().is_some_and(Vec::is_empty);
        let seq = self.at.filter(|_| last);
        Ok((frames::reset(seq, &orders, &places)?, seq))
    }

    async fn read(&mut self, sees: &Sees) -> Result<()> {
        let at = self.at.map_or(At::Latest, At::Exact);
        let page = sees.state.store.list(&sees.scope, at, self.after.as_ref(), Some(PAGE)).await?;
        self.at = Some(page.revision);
        self.orders_done = page.next.is_none();
        self.after = page.next;
        let eyes = sees.seeing.eyes.as_ref();
        for object in page.objects.iter().filter(|object| eyes.is_none_or(|eyes| eyes.see(object))) {
            self.orders.push(frames::order(&sees.words, eyes, object, object.revision)?);
        }
        Ok(())
    }
}
