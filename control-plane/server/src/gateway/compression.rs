//! Packing answers.

use http::{HeaderValue, Response, header::CONTENT_TYPE};
use http_body::Body;
use tower_http::{
    CompressionLevel,
    compression::{CompressionLayer, predicate::Predicate},
};

/// Answers below this travel in a few packets anyway.
const PACK_BYTES_MIN: u64 = 4 * 1024;

/// Marks an answer whose size is not known, and that is to be packed all the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packable;

/// Packs answers for clients that take gzip. Watches are streams: packing would hold events back.
pub(super) fn layer() -> CompressionLayer<Whole> {
    CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest).compress_when(Whole)
}

/// Whether an answer of that size is worth packing.
pub(crate) fn packed_when_whole(bytes: u64) -> bool {
    bytes >= PACK_BYTES_MIN
}

/// Picks answers that are whole and large.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole;

impl Predicate for Whole {
    fn should_compress<B: Body>(&self, response: &Response<B>) -> bool {
        // Pictures are packed already.
        let head = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if head.is_some_and(|media| media.starts_with(b"image/")) {
            return false;
        }
        let known = response.body().size_hint().exact();
        known.map_or_else(|| response.extensions().get::<Packable>().is_some(), packed_when_whole)
    }
}
