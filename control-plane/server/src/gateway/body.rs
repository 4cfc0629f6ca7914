//! Bodies of requests: read whole before the handler runs, so that one place bounds their size, time and memory.

use std::{io::Read, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    error::ApiError,
    proofs::{FILE_BYTES_MAX, FORM_BYTES_MAX},
};

/// Bytes of a body, packed and unpacked: as in Kubernetes. More is a 413.
const BODY_BYTES_MAX: usize = crate::body::MAX_BODY_BYTES;
/// From the head of a request to the end of its body: 3 MiB at 100 KB a second.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// Memory for the bodies of all requests at once. Beyond it they wait, within their deadline.
const BUDGET_BYTES: usize = 128 * 1024 * 1024;
/// How much of a refused body is read and thrown away, so that the client gets to read the answer: a client that is
/// still sending when the connection closes sees a broken pipe instead.
const DISCARD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long that may take.
const DISCARD_DEADLINE: Duration = Duration::from_secs(2);
/// The budget is counted in KiB, since a semaphore's permits are.
const BUDGET_UNIT: usize = 1024;

/// Bytes of a body whose sender nobody knows, and of what holds a few short fields.
pub(crate) const SMALL_BODY_MAX: usize = 64 * 1024;
/// How long it may take: it is a packet or two, and whoever holds up the room holds up everybody who logs in.
const SMALL_BODY_DEADLINE: Duration = Duration::from_secs(3);
/// Memory for the bodies of all requests at once whose senders nobody knows: five hundred of the largest.
const SMALL_BUDGET_BYTES: usize = 32 * 1024 * 1024;

/// Bytes of a form with a picture.
const UPLOAD_MAX: usize = FILE_BYTES_MAX + FORM_BYTES_MAX;
/// How long it may take: 10 MiB at 100 KB a second, on a phone in a stairwell.
const UPLOAD_DEADLINE: Duration = Duration::from_mins(2);
/// Memory for all such forms at once, apart from other bodies: six of the largest, and dozens of what our page sends.
const UPLOAD_BUDGET_BYTES: usize = 6 * UPLOAD_MAX;

/// Memory for bodies. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    room: Arc<Semaphore>,
    /// Bytes of one body.
    each: usize,
    /// From the head of a request to the end of its body.
    deadline: Duration,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            room: Arc::new(Semaphore::new(BUDGET_BYTES / BUDGET_UNIT)),
            each: BODY_BYTES_MAX,
            deadline: BODY_DEADLINE,
        }
    }

    /// For senders whom nobody knows.
    pub(super) fn small() -> Self {
        Self {
            room: Arc::new(Semaphore::new(SMALL_BUDGET_BYTES / BUDGET_UNIT)),
            each: SMALL_BODY_MAX,
            deadline: SMALL_BODY_DEADLINE,
        }
    }

    /// For pictures that phones send.
    pub(super) fn uploads() -> Self {
        Self {
            room: Arc::new(Semaphore::new(UPLOAD_BUDGET_BYTES / BUDGET_UNIT)),
            each: UPLOAD_MAX,
            deadline: UPLOAD_DEADLINE,
        }
    }

    async fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = bytes.div_ceil(BUDGET_UNIT) as u32;
        self.room.clone().acquire_many_owned(units).await.ok()
    }
}

/// Reads a body, unpacked; the headers then describe what was read. The memory is reserved for as long as the second
/// value lives.
pub(super) async fn read(
    headers: &mut HeaderMap,
    body: Body,
    budget: &Budget,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), ApiError> {
    if body.is_end_stream() {
        return Ok((Bytes::new(), None));
    }
    let packed = match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => false,
        Some(b"gzip") => true,
        Some(_) => {
            discard(body).await;
            return Err(ApiError::unsupported_media_type(&["gzip", "identity"]));
        }
    };
    let most = budget.each;
    let announced = body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if announced.is_some_and(|bytes| bytes > most) {
        discard(body).await;
        return Err(ApiError::too_large(most));
    }
    let needed = if packed { 2 * most } else { announced.unwrap_or(most) };
    let reading = async {
        let reserved = budget.reserve(needed).await;
        (collect(body, most).await, reserved)
    };
    let Ok((collected, reserved)) = tokio::time::timeout(budget.deadline, reading).await else {
        return Err(ApiError::request_timeout("the body of the request did not arrive in time"));
    };
    let collected = collected?;
    let bytes = if packed { unpack(&collected, most)? } else { collected };
    headers.remove(CONTENT_ENCODING);
    headers.remove(TRANSFER_ENCODING);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    Ok((bytes, reserved))
}

async fn collect(mut body: Body, most: usize) -> Result<Bytes, ApiError> {
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let broken_off = |_| ApiError::bad_request("the body of the request is broken off");
        if let Ok(data) = frame.map_err(broken_off)?.into_data() {
            if collected.len() + data.len() > most {
                discard(body).await;
                return Err(ApiError::too_large(most));
            }
            collected.extend_from_slice(&data);
        }
    }
    Ok(collected.freeze())
}

/// Unpacks up to the limit and not a byte further, however much is packed in it.
fn unpack(packed: &[u8], most: usize) -> Result<Bytes, ApiError> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(packed)
        .take(most as u64 + 1)
        .read_to_end(&mut unpacked)
        .map_err(|_| ApiError::bad_request("the body of the request is not gzip"))?;
    if unpacked.len() > most { Err(ApiError::too_large(most)) } else { Ok(unpacked.into()) }
}

/// Reads a body that nobody wants, for a bounded time and amount.
pub(super) async fn discard(mut body: Body) {
    let reading = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > DISCARD_BYTES_MAX {
                return;
            }
        }
    };
    // Whether it ended or was given up makes no difference: the answer follows.
    let _ = tokio::time::timeout(DISCARD_DEADLINE, reading).await;
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use futures::stream;

    use super::*;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    async fn code(headers: &[(http::HeaderName, &'static str)], body: Body) -> u16 {
        let mut headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        match read(&mut headers, body, &Budget::new()).await {
            Ok(_) => 200,
            Err(refusal) => refusal.code().as_u16(),
        }
    }

    #[tokio::test]
    async fn a_body_at_the_limit_is_read_and_one_byte_more_is_413() {
        assert_eq!(code(&[], Body::from(vec![b' '; BODY_BYTES_MAX])).await, 200);
        assert_eq!(code(&[], Body::from(vec![b' '; BODY_BYTES_MAX + 1])).await, 413);
        let chunks = stream::iter((0..=3).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024 * 1024])));
        assert_eq!(code(&[], Body::from_stream(chunks)).await, 413);
    }

    #[tokio::test]
    async fn of_a_stranger_a_small_body_is_read_and_no_larger_one() {
        for (bytes, taken) in [(SMALL_BODY_MAX, true), (SMALL_BODY_MAX + 1, false)] {
            let whole = Body::from(vec![b' '; bytes]);
            assert_eq!(read(&mut HeaderMap::new(), whole, &Budget::small()).await.is_ok(), taken, "{bytes}");
            let piece = stream::iter([Ok::<_, std::io::Error>(vec![b' '; bytes])]);
            let pieces = read(&mut HeaderMap::new(), Body::from_stream(piece), &Budget::small()).await;
            assert_eq!(pieces.is_ok(), taken, "{bytes}");
        }
    }

    #[tokio::test]
    async fn gzip_is_unpacked_and_a_bomb_is_413() {
        let gzip = [(CONTENT_ENCODING, "gzip")];
        let mut headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
        let (bytes, _) = read(&mut headers, Body::from(pack(b"{}")), &Budget::new()).await.unwrap();
        assert_eq!(bytes.as_ref(), b"{}");
        assert!(!headers.contains_key(CONTENT_ENCODING));
        // 16 MiB in a few KiB.
        let bomb = pack(&vec![0; 16 * 1024 * 1024]);
        assert!(bomb.len() < BODY_BYTES_MAX);
        assert_eq!(code(&gzip, Body::from(bomb)).await, 413);
        assert_eq!(code(&gzip, Body::from("not gzip")).await, 400);
        assert_eq!(code(&[(CONTENT_ENCODING, "br")], Body::from("x")).await, 415);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_408() {
        let silent = stream::pending::<Result<Bytes, std::io::Error>>();
        let started = tokio::time::Instant::now();
        assert_eq!(code(&[], Body::from_stream(silent)).await, 408);
        assert_eq!(started.elapsed(), BODY_DEADLINE);
    }
}
