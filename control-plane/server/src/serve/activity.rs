//! What a connection is doing, seen from its bytes and its requests, so that a connection that does nothing is closed.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Sleep, sleep, timeout},
};

use super::Limits;

/// Shared by a connection's stream, its requests and its watchdog.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests in flight.
    requests: AtomicUsize,
    /// Requests that ever began: one may begin and end between two looks of the watchdog.
    begun: AtomicUsize,
    /// Bytes came since the last request began or ended: a request that is not whole yet.
    partial: AtomicBool,
    changed: Notify,
}

impl Activity {
    /// A request begins; it ends when the guard is dropped.
    pub(super) fn request(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.partial.store(false, Ordering::SeqCst);
        self.changed.notify_one();
        InFlight(self.clone())
    }

    fn received(&self) {
        if !self.partial.swap(true, Ordering::SeqCst) && self.requests.load(Ordering::SeqCst) == 0 {
            self.changed.notify_one();
        }
    }

    /// Waits until the connection has done nothing useful for too long; says what it failed to do. Frames of HTTP/2
    /// that belong to no request (pings, settings) are told apart from headers by `partial_counts`.
    pub(super) async fn idle(&self, limits: &Limits, partial_counts: bool) -> &'static str {
        loop {
            if self.requests.load(Ordering::SeqCst) > 0 {
                self.changed.notified().await;
                continue;
            }
            let begun = self.begun.load(Ordering::SeqCst);
            let partial = partial_counts && self.partial.load(Ordering::SeqCst);
            let strict = begun == 0 || partial;
            let (deadline, reason) = if strict { (limits.header, "header") } else { (limits.idle, "idle") };
            let moved = || {
                // Further bytes of the same headers do not move the deadline.
                let first_byte = !strict && partial_counts && self.partial.load(Ordering::SeqCst);
                self.begun.load(Ordering::SeqCst) != begun || first_byte
            };
            let asleep = timeout(deadline, async {
                while !moved() {
                    self.changed.notified().await;
                }
            });
            if asleep.await.is_err() && !moved() {
                return reason;
            }
        }
    }
}

/// A request being served.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.partial.store(false, Ordering::SeqCst);
        self.0.requests.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_one();
    }
}

/// An answer's body that keeps its request in flight to its end.
#[derive(Debug)]
pub(super) struct Held<B> {
    body: B,
    _in_flight: InFlight,
}

impl<B> Held<B> {
    pub(super) fn new(body: B, in_flight: InFlight) -> Self {
        Self { body, _in_flight: in_flight }
    }
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that notes what arrives, and fails when what is written is not taken for too long.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, stall: Duration) -> Self {
        Self { stream, activity, stall, stalled: None }
    }

    fn or_stalled<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let stall = self.stall;
        let sleep = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.received();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.or_stalled(cx, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.or_stalled(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.or_stalled(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.or_stalled(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, advance};

    use super::*;

    async fn closed_after(activity: &Arc<Activity>, partial_counts: bool) -> (&'static str, u64) {
        let start = Instant::now();
        let reason = activity.idle(&Limits::default(), partial_counts).await;
        (reason, start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_first_request_is_closed_at_the_header_deadline() {
        assert_eq!(closed_after(&Arc::default(), true).await, ("header", 10));
    }

    #[tokio::test(start_paused = true)]
    async fn dribbled_headers_do_not_move_the_deadline() {
        let activity = Arc::<Activity>::default();
        drop(activity.request());
        let dribbling = activity.clone();
        let dribble = tokio::spawn(async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                dribbling.received();
            }
        });
        assert_eq!(closed_after(&activity, true).await, ("header", 10 + 1));
        dribble.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_a_connection_may_be_idle_for_long_and_a_watch_is_never_idle() {
        let activity = Arc::<Activity>::default();
        let watch = activity.request();
        let held = activity.clone();
        tokio::spawn(async move {
            sleep(Duration::from_hours(1)).await;
            drop(watch);
            held.received();
        });
        advance(Duration::from_secs(1)).await;
        let (reason, seconds) = closed_after(&activity, false).await;
        assert_eq!(reason, "idle");
        assert!(seconds >= 3_600 + 119, "{seconds}");
    }
}
