//! One client, from its first frame to its last.

use std::{pin::Pin, sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use dropmate_store::{Event, ReadError, Revision, Scope, Watch};
use futures::{FutureExt, SinkExt, StreamExt, stream::FuturesUnordered};
use serde_json::value::RawValue;
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, sleep_until, timeout},
};

use super::{
    frames::{self, Words},
    metrics::Metrics,
    positions::{Placed, Room, Seat},
    sight::Seeing,
    snapshot::Snapshot,
    start::Beginning,
};
use crate::{caller::Admission, error::ApiError, state::AppState};

/// How often a client is asked whether it is there, and after how many such questions without a word it is not.
const HEARTBEAT: Duration = Duration::from_secs(25);
const UNANSWERED_MAX: u32 = 2;
/// How long a client may take nothing of what is written to it; the kernel's buffers hold a good deal before.
const STALL_MAX: Duration = Duration::from_secs(10);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// Changes sent before the client's own words are looked at again.
const CHANGES_AT_ONCE: usize = 64;
/// Messages of a client between two heartbeats: it answers pings, and has nothing else to say.
const MESSAGES_MAX: u32 = 256;

/// What one client sees.
pub(super) struct Sees {
    pub(super) state: AppState,
    pub(super) scope: Scope,
    pub(super) words: Arc<Words>,
    pub(super) seeing: Arc<Seeing>,
    rooms: Vec<Room>,
}

impl Sees {
    /// The latest positions of all drivers that the client sees, in words.
    pub(super) fn places(&self) -> Vec<Box<RawValue>> {
        let live = &self.state.live;
        let known = self.rooms.iter().flat_map(|room| match room {
            Room::Everywhere => live.latest_everywhere(),
            Room::Namespace(namespace) => live.latest_in(namespace),
            Room::Driver(namespace, driver) => live.latest(namespace, driver).into_iter().collect(),
        });
        known.filter_map(|position| RawValue::from_string(frames::place(&position).into()).ok()).collect()
    }
}

type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A client that is about to be served.
pub(super) struct Client {
    sees: Sees,
    seq: Revision,
    watch: Option<Watch>,
    seats: Vec<Seat>,
    ended: Ended,
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The page it comes from may not.
    Origin,
    /// The token or the role is no longer the caller's.
    Ended,
    /// The client does not keep up, or the store does not: come back with `epoch` and `seq`.
    Slow,
    /// The server goes.
    Draining,
    /// The client has said too much.
    Flood,
    /// The client went.
    Gone,
    /// The client has not been heard of.
    Silent,
}

impl End {
    fn reason(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Ended => "ended",
            Self::Slow => "slow",
            Self::Draining => "draining",
            Self::Flood => "flood",
            Self::Gone => "gone",
            Self::Silent => "silent",
        }
    }

    /// What the client is told, if it is there to hear it.
    fn goodbye(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Origin => Some((4403, "this origin may not; see --allowed-origins")),
            Self::Ended => Some((4401, "the token or the role has ended")),
            Self::Slow => Some((1013, "too slow; come back with epoch and seq")),
            Self::Draining => Some((1001, "the server is going; come back with epoch and seq")),
            Self::Flood => Some((1008, "too many messages")),
            Self::Gone | Self::Silent => None,
        }
    }
}

impl Client {
    pub(super) fn new(state: AppState, admission: &Admission, beginning: Beginning, ended: Ended) -> Self {
        let Beginning { scope, words, seq, watch, rooms } = beginning;
        let seeing = state.streams.seeing(&admission.permit.sight, &state.clock);
        let seats = rooms.iter().map(|room| state.streams.enter(room.clone())).collect();
        Self { sees: Sees { state, scope, words, seeing, rooms }, seq, watch, seats, ended }
    }

    /// Serves it to its end.
    pub(super) async fn serve(self, socket: WebSocket, allowed: bool) {
        let metrics = self.sees.state.streams.metrics().clone();
        let _counted = Counted::new(&metrics);
        let Self { sees, seq, watch, seats, ended } = self;
        let mut line = Line { socket, ended, metrics: metrics.clone(), unanswered: 0, messages: 0 };
        let end = if allowed { run(&mut line, &sees, seq, watch, seats).await } else { End::Origin };
        metrics.closed(end.reason());
        tracing::debug!(reason = end.reason(), "a live stream ended");
        if let Some((code, reason)) = end.goodbye() {
            let close = Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }));
            let _ = timeout(GOODBYE, async {
                line.socket.send(close).await.ok()?;
                // Until the other side has said it too: what is still on its way would break the connection.
                while let Some(Ok(_)) = line.socket.next().await {}
                Some(())
            })
            .await;
        }
    }
}

/// The connection to a client.
struct Line {
    socket: WebSocket,
    ended: Ended,
    metrics: Metrics,
    /// Questions whether it is there since it was last heard.
    unanswered: u32,
    messages: u32,
}

impl Line {
    /// Puts a message where it will be sent with the next ones.
    async fn put(&mut self, kind: &'static str, text: Utf8Bytes) -> Result<(), End> {
        self.metrics.sent(kind);
        let Self { socket, ended, .. } = self;
        writing(ended, socket.feed(Message::Text(text))).await
    }

    async fn flush(&mut self) -> Result<(), End> {
        let Self { socket, ended, .. } = self;
        writing(ended, socket.flush()).await
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.unanswered >= UNANSWERED_MAX {
            return Err(End::Silent);
        }
        self.unanswered += 1;
        self.messages = 0;
        let Self { socket, ended, .. } = self;
        writing(ended, socket.send(Message::Ping(Bytes::new()))).await
    }

    fn heard(&mut self, message: Option<&Result<Message, axum::Error>>) -> Result<(), End> {
        self.unanswered = 0;
        self.messages += 1;
        match message {
            None | Some(Ok(Message::Close(_)) | Err(_)) => Err(End::Gone),
            Some(Ok(_)) if self.messages > MESSAGES_MAX => Err(End::Flood),
            Some(Ok(_)) => Ok(()),
        }
    }
}

/// Writes, unless the client takes nothing for too long or may not go on.
async fn writing(ended: &mut Ended, write: impl Future<Output = Result<(), axum::Error>>) -> Result<(), End> {
    tokio::select! {
        biased;
        written = timeout(STALL_MAX, write) => match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_elapsed) => Err(End::Slow),
        },
        () = ended => Err(End::Ended),
    }
}

enum Wake {
    Draining,
    Ended,
    Heard(Option<Result<Message, axum::Error>>),
    Changed(Option<Result<Arc<Event>, ReadError>>),
    Moved(usize, Result<Arc<Placed>, RecvError>),
    Heartbeat,
}

async fn run(line: &mut Line, sees: &Sees, seq: Revision, watch: Option<Watch>, mut seats: Vec<Seat>) -> End {
    match begin_and_go_on(line, sees, seq, watch, &mut seats).await {
        Ok(never) => match never {},
        Err(end) => end,
    }
}

enum Never {}

async fn begin_and_go_on(
    line: &mut Line,
    sees: &Sees,
    seq: Revision,
    watch: Option<Watch>,
    seats: &mut [Seat],
) -> Result<Never, End> {
    line.put("hello", frames::hello(&sees.words, seq)).await?;
    let mut watch = match watch {
        Some(watch) => {
            for place in sees.places() {
                line.put("position", frames::position(seq, place.get())).await?;
            }
            watch
        }
        None => reset(line, sees).await?,
    };
    line.flush().await?;
    let mut heartbeat = Instant::now() + HEARTBEAT;
    loop {
        let wake = tokio::select! {
            biased;
            () = sees.state.shutdown.cancelled() => Wake::Draining,
            () = &mut line.ended => Wake::Ended,
            () = sleep_until(heartbeat) => Wake::Heartbeat,
            message = line.socket.next() => Wake::Heard(message),
            change = watch.next() => Wake::Changed(change),
            (seat, placed) = next_of(seats) => Wake::Moved(seat, placed),
        };
        match wake {
            Wake::Draining => return Err(End::Draining),
            Wake::Ended => return Err(End::Ended),
            Wake::Heartbeat => {
                line.ping().await?;
                heartbeat = Instant::now() + HEARTBEAT;
            }
            Wake::Heard(message) => line.heard(message.as_ref())?,
            Wake::Changed(change) => {
                let mut change = Some(change);
                for _ in 0..CHANGES_AT_ONCE {
                    match change {
                        Some(Some(Ok(event))) => {
                            let frames = sees.seeing.frames(&sees.words, &event).map_err(|error| broken(&error))?;
                            for frame in frames.iter() {
                                line.put("event", frame.clone()).await?;
                            }
                        }
                        Some(Some(Err(ReadError::Expired { .. }))) => watch = reset(line, sees).await?,
                        // The store lets go of who does not keep up; or cannot read, which is the same to a client.
                        Some(Some(Err(_)) | None) => return Err(End::Slow),
                        None => break,
                    }
                    change = watch.next().now_or_never();
                }
                line.flush().await?;
            }
            Wake::Moved(seat, placed) => {
                moved(line, sees, &watch, placed).await?;
                while let Ok(placed) = seats[seat].try_recv() {
                    moved(line, sees, &watch, Ok(placed)).await?;
                }
                line.flush().await?;
            }
        }
    }
}

/// Sends a snapshot, and says where the stream goes on.
async fn reset(line: &mut Line, sees: &Sees) -> Result<Watch, End> {
    let mut snapshot = Snapshot::default();
    loop {
        let (frame, seq) = snapshot.next(sees).await.map_err(|error| broken(&error))?;
        line.put("reset", frame).await?;
        if let Some(seq) = seq {
            return sees.state.store.watch(sees.scope.clone(), seq).await.map_err(|_| End::Slow);
        }
    }
}

async fn moved(line: &mut Line, sees: &Sees, watch: &Watch, placed: Result<Arc<Placed>, RecvError>) -> Result<(), End> {
    let seq = watch.position();
    match placed {
        Ok(placed) => line.put("position", frames::position(seq, &placed.words)).await,
        // Some were missed: the newest of all say more than each of them did.
        Err(RecvError::Lagged(_)) => {
            for place in sees.places() {
                line.put("position", frames::position(seq, place.get())).await?;
            }
            Ok(())
        }
        Err(RecvError::Closed) => Err(End::Draining),
    }
}

/// The next position in any of the rooms.
async fn next_of(seats: &mut [Seat]) -> (usize, Result<Arc<Placed>, RecvError>) {
    match seats {
        [] => std::future::pending().await,
        [seat] => (0, seat.recv().await),
        seats => {
            let mut all: FuturesUnordered<_> =
                seats.iter_mut().enumerate().map(|(number, seat)| async move { (number, seat.recv().await) }).collect();
            match all.next().await {
                Some(next) => next,
                None => std::future::pending().await,
            }
        }
    }
}

fn broken(error: &ApiError) -> End {
    tracing::warn!(error = error.message(), "a live stream cannot go on");
    End::Slow
}

/// An open stream in the metrics, also when it is cut.
struct Counted(Metrics);

impl Counted {
    fn new(metrics: &Metrics) -> Self {
        metrics.clients.inc();
        Self(metrics.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.clients.dec();
    }
}
