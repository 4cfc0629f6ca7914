//! `GET /v1/track/{token}/stream`: the same as [`show`](super::show), as it happens, over a WebSocket.
//!
//! Frames are those of `/v1/stream`: first `hello`, then `reset` with all there is to see; after that `event` with all of it
//! when something has changed, and `position` when only the driver has moved. What is sent is judged at the moment at
//! which it is sent, so that nothing leaves that would not be shown to whoever asks then.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension,
    extract::{
        Path, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use bytes::Bytes;
use dropmate_api::{Location, order::binding::bound_driver};
use futures::StreamExt;
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::{
    sync::{broadcast::error::RecvError, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{Address, Found, View, find, look, look_up, network, told};
use crate::{
    error::{ApiError, Result},
    gateway::Held,
    serve::OpenConnection,
    state::AppState,
    stream::{Room, Seat, epoch_of, origin},
};

/// How often a client is asked whether it is there, and after how many such questions without a word it is not.
const HEARTBEAT: Duration = Duration::from_secs(25);
const UNANSWERED_MAX: u32 = 2;
/// How long a client may take nothing of what is written to it.
const STALL_MAX: Duration = Duration::from_secs(10);
/// Streams of one link at once: a household has some phones, and each some tabs.
const LISTENERS_MAX: usize = 16;
/// Who finds all of them taken comes back after so many seconds.
const FULL_RETRY_SECONDS: u32 = 30;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// Messages of a client between two heartbeats: it answers pings, and has nothing else to say.
const MESSAGES_MAX: u32 = 64;
/// Buffers: a phone is told a few hundred bytes now and then, and answers pings.
const READ_BYTES: usize = 1024;
const WRITE_BYTES: usize = 1024;
/// The largest frame is a view with a long timeline.
const WRITE_BYTES_MAX: usize = 256 * 1024;
const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// At least so long between two looks at what one customer sees: a busy driver does not keep us busy for each customer.
const LOOKS_APART: Duration = Duration::from_millis(200);
/// How often it is looked at even if nobody says that anything has changed: time passes, and positions become old.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How often each process asks for links that another one has revoked: revoked access ends within five seconds.
const REVOCATIONS_EVERY: Duration = Duration::from_secs(2);

/// How far revocations have come, as all streams of the process hear.
#[derive(Debug)]
pub(super) struct Revocations(watch::Sender<u64>, Mutex<Option<dropmate_ingest::Revocations>>);

impl Default for Revocations {
    fn default() -> Self {
        Self(watch::Sender::new(0), Mutex::new(None))
    }
}

/// Looks for links that were revoked by whatever process, as long as anybody has a stream, until the server drains.
pub(crate) async fn follow_revocations(state: AppState) {
    let Some(ingest) = state.ingest.clone() else { return };
    let Revocations(sender, seen) = &state.track.shared.revocations;
    loop {
        tokio::select! {
            biased;
            () = state.shutdown.cancelled() => return,
            () = tokio::time::sleep(REVOCATIONS_EVERY) => {}
        }
        if sender.receiver_count() == 0 {
            continue;
        }
        match ingest.revocations().await {
            Ok(now) => {
                let before = seen.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
                if before != Some(now) {
                    sender.send_modify(|count| *count += 1);
                }
            }
            // Then nobody knows, and each stream asks for itself.
            Err(_) => sender.send_modify(|count| *count += 1),
        }
    }
}

/// How many streams each link has.
#[derive(Debug, Default)]
pub(super) struct Listeners(Mutex<HashMap<[u8; 32], usize>>);

/// One of a link's streams, until it is dropped.
struct Listener {
    state: AppState,
    hash: [u8; 32],
}

impl Listener {
    fn enter(state: &AppState, hash: [u8; 32]) -> Result<Self, ApiError> {
        let mut listeners = state.track.shared.listeners.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = listeners.entry(hash).or_default();
        if *count >= LISTENERS_MAX {
            return Err(ApiError::too_many_requests("too many streams of this link at once", FULL_RETRY_SECONDS));
        }
        *count += 1;
        Ok(Self { state: state.clone(), hash })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut listeners = self.state.track.shared.listeners.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = listeners.get_mut(&self.hash) {
            *count -= 1;
            if *count == 0 {
                listeners.remove(&self.hash);
            }
        }
    }
}

/// Opens one.
pub(crate) async fn open(
    State(state): State<AppState>,
    address: Address,
    Path(token): Path<String>,
    Extension(held): Extension<Held>,
    connection: Option<Extension<OpenConnection>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let opened = async {
        let found = find(&state, network(address), &token).await?;
        let upgrade = upgrade.map_err(|rejection| {
            let why = format!("{rejection}: open it as a WebSocket (RFC 6455) over HTTP/1.1");
            ApiError::task(rejection.status(), why)
        })?;
        let tenure = held.take().ok_or_else(|| ApiError::internal("the request was answered before"))?;
        let listener = Listener::enter(&state, found.hash)?;
        let allowed = state.streams.allows(origin(&headers));
        let epoch = epoch_of(&state).await?;
        let held = (connection, tenure.permit, listener);
        Ok(upgrade
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(WRITE_BYTES)
            .max_write_buffer_size(WRITE_BYTES_MAX)
            .max_message_size(MESSAGE_BYTES_MAX)
            .max_frame_size(MESSAGE_BYTES_MAX)
            .on_upgrade(move |socket| async move {
                serve(state, socket, found, epoch, allowed).await;
                drop(held);
            }))
    };
    match opened.await {
        Ok(upgraded) => upgraded,
        refused => told(refused),
    }
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Origin,
    /// The link is good no more.
    Over,
    Slow,
    Draining,
    Flood,
    Gone,
}

impl End {
    fn goodbye(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Origin => Some((4403, "this origin may not; see --allowed-origins")),
            Self::Over => Some((4401, "the link is good no more")),
            Self::Slow => Some((1013, "too slow; come back")),
            Self::Draining => Some((1001, "the server is going; come back")),
            Self::Flood => Some((1008, "too many messages")),
            Self::Gone => None,
        }
    }
}

async fn serve(state: AppState, mut socket: WebSocket, found: Found, epoch: String, allowed: bool) {
    let streams = state.track.shared.metrics.streams.clone();
    streams.inc();
    let end = if allowed {
        match run(&state, &mut socket, found, &epoch).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    } else {
        End::Origin
    };
    streams.dec();
    tracing::debug!(?end, "a customer's stream ended");
    if let Some((code, reason)) = end.goodbye() {
        let close = Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }));
        let _ = timeout(GOODBYE, async {
            socket.send(close).await.ok()?;
            while let Some(Ok(_)) = socket.next().await {}
            Some(())
        })
        .await;
    }
}

enum Never {}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), End> {
    match timeout(STALL_MAX, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_elapsed) => Err(End::Slow),
    }
}

async fn put(socket: &mut WebSocket, type_: &str, seq: u64, data: &Value) -> Result<(), End> {
    let frame = json!({"type": type_, "seq": seq, "data": data}).to_string();
    send(socket, Message::Text(frame.into())).await
}

async fn run(state: &AppState, socket: &mut WebSocket, mut found: Found, epoch: &str) -> Result<Never, End> {
    let place = (found.link.namespace.clone(), found.link.order_name.clone());
    // First: what changes while we look is looked at again.
    let mut changed = state.track.shared.turns.listen(&place);
    let mut revoked = state.track.shared.revocations.0.subscribe();
    let mut seat = seat(state, &found);
    let hello = json!({"type": "hello", "epoch": epoch, "seq": found.revision}).to_string();
    send(socket, Message::Text(hello.into())).await?;
    let mut shown = look(state, &found).await.map_err(|error| ended(&error))?;
    put(socket, "reset", found.revision, &words(&shown)).await?;
    let (mut unanswered, mut messages) = (0, 0);
    let mut heartbeat = Instant::now() + HEARTBEAT;
    let mut looked = Instant::now();
    let mut next_look = looked + LOOK_EVERY;
    loop {
        let mut ask_again = false;
        tokio::select! {
            biased;
            () = state.shutdown.cancelled() => return Err(End::Draining),
            () = sleep_until(heartbeat) => {
                if unanswered >= UNANSWERED_MAX {
                    return Err(End::Gone);
                }
                (unanswered, messages) = (unanswered + 1, 0);
                heartbeat = Instant::now() + HEARTBEAT;
                send(socket, Message::Ping(Bytes::new())).await?;
                continue;
            }
            message = socket.next() => {
                (unanswered, messages) = (0, messages + 1);
                match message {
                    None | Some(Ok(Message::Close(_)) | Err(_)) => return Err(End::Gone),
                    Some(Ok(_)) if messages > MESSAGES_MAX => return Err(End::Flood),
                    Some(Ok(_)) => continue,
                }
            }
            heard = revoked.changed() => {
                heard.map_err(|_| End::Draining)?;
                state.track.shared.gate.forget_link(&found.hash);
                ask_again = true;
            }
            heard = changed.changed() => {
                heard.map_err(|_| End::Draining)?;
                ask_again = true;
            }
            moved = moved(&mut seat) => {
                if let Err(RecvError::Closed) = moved {
                    return Err(End::Draining);
                }
                next_look = (looked + LOOKS_APART).min(next_look);
            }
            () = sleep_until(next_look) => {}
        }
        if ask_again {
            next_look = (looked + LOOKS_APART).min(next_look);
        }
        if Instant::now() < next_look {
            continue;
        }
        looked = Instant::now();
        next_look = looked + LOOK_EVERY;
        let driver = found.order.status.as_ref().and_then(bound_driver).map(str::to_owned);
        found = look_up(state, found.hash).await.map_err(|error| ended(&error))?.ok_or(End::Over)?;
        if found.order.status.as_ref().and_then(bound_driver) != driver.as_deref() {
            seat = self::seat(state, &found);
        }
        let seen = look(state, &found).await.map_err(|error| ended(&error))?;
        if seen.without_position() != shown.without_position() {
            put(socket, "event", found.revision, &words(&seen)).await?;
        } else if seen.position() != shown.position()
            && let Some((Location { latitude, longitude }, at)) = seen.position()
        {
            let place = json!({"latitude": latitude, "longitude": longitude, "at": at});
            put(socket, "position", found.revision, &place).await?;
        }
        shown = seen;
    }
}

/// Where the positions of the order's driver are heard of.
fn seat(state: &AppState, found: &Found) -> Option<Seat> {
    let driver = found.order.status.as_ref().filter(|status| !status.phase.is_terminal()).and_then(bound_driver)?;
    Some(state.streams.enter(Room::Driver(found.link.namespace.clone(), driver.to_owned())))
}

async fn moved(seat: &mut Option<Seat>) -> Result<(), RecvError> {
    match seat {
        Some(seat) => match seat.recv().await {
            Ok(_) | Err(RecvError::Lagged(_)) => Ok(()),
            Err(closed) => Err(closed),
        },
        None => std::future::pending().await,
    }
}

fn words(view: &View) -> Value {
    serde_json::to_value(view).unwrap_or_default()
}

fn ended(error: &ApiError) -> End {
    if error.code() == http::StatusCode::NOT_FOUND { End::Over } else { End::Slow }
}
