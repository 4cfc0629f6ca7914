//! The answer to a list, rendered as it is sent: however many objects and clients there are, only a piece of each answer
//! is in memory beside the objects themselves.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use bytes::Bytes;
use dropmate_store::Object;
use http_body::{Body, Frame, SizeHint};

use crate::error::{ApiError, Result};

/// Pieces of about this size: large enough to be packed and encrypted well.
const PIECE_BYTES: usize = 64 * 1024;
/// An object may run over a piece's end; a smaller one does so without the piece growing.
const SPARE_BYTES: usize = 8 * 1024;

/// Appends one object.
pub(super) type Render = Box<dyn FnMut(&Object, &mut Vec<u8>) -> Result<()> + Send>;

/// A list between what comes before its items and what comes after.
pub(super) struct PageBody {
    head: Vec<u8>,
    items: vec::IntoIter<Arc<Object>>,
    render: Render,
    tail: Vec<u8>,
    /// What is still to come, where it is known.
    left: Option<u64>,
    begun: bool,
    done: bool,
}

impl PageBody {
    /// Of the text before the items and that after them; `item_bytes` is the size of all items together, commas not
    /// counted, if it is known.
    pub(super) fn new(
        (head, tail): (Vec<u8>, Vec<u8>),
        items: Vec<Arc<Object>>,
        item_bytes: Option<usize>,
        render: Render,
    ) -> Self {
        let commas = items.len().saturating_sub(1);
        let left = item_bytes.map(|bytes| (head.len() + bytes + commas + tail.len()) as u64);
        Self { head, items: items.into_iter(), render, tail, left, begun: false, done: false }
    }

    fn piece(&mut self) -> Result<Vec<u8>> {
        let mut piece = Vec::with_capacity(PIECE_BYTES + SPARE_BYTES);
        piece.append(&mut self.head);
        while piece.len() < PIECE_BYTES {
            let Some(object) = self.items.next() else {
                piece.append(&mut self.tail);
                self.done = true;
                break;
            };
            if std::mem::replace(&mut self.begun, true) {
                piece.push(b',');
            }
            (self.render)(&object, &mut piece)?;
        }
        Ok(piece)
    }
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        let piece = this.piece();
        match &piece {
            Ok(piece) => this.left = this.left.map(|left| left.saturating_sub(piece.len() as u64)),
            Err(_) => this.done = true,
        }
        let failed = |error: ApiError| axum::Error::new(io::Error::other(error.message().to_owned()));
        Poll::Ready(Some(piece.map(|piece| Frame::data(Bytes::from(piece))).map_err(failed)))
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
