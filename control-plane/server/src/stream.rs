//! `GET /v1/stream`: what happens to orders and where drivers are, as it happens, over a WebSocket.
//!
//! Order changes come from the log of revisions and none is missed: a client that comes back with the `epoch` and the
//! `seq` of its last frame gets what it missed, or is told to begin anew. Positions are hints: of each driver the newest,
//! at most one a second. A client sees what its role may watch, and not longer than it may.

mod client;
mod epoch;
mod frames;
mod metrics;
mod origin;
mod positions;
mod sight;
mod snapshot;
mod start;
mod streams;

use std::time::Duration;

use axum::{
    Extension,
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    response::Response,
};
use dropmate_identity::TICKET_SECONDS;
use http::{HeaderMap, StatusCode, Uri, header::ORIGIN};
use jiff::SignedDuration;
use serde_json::json;

use self::{client::Client, start::Asked};
pub(crate) use self::{
    epoch::epoch,
    origin::Origins,
    positions::{Room, Seat},
    start::epoch_of,
    streams::Streams,
};
use crate::{
    auth,
    caller::Admission,
    error::{ApiError, Result},
    gateway::{Held, Surface, bearer, refused},
    serve::OpenConnection,
    state::AppState,
};

/// Where it is.
pub(crate) const PATH: &str = "/v1/stream";
/// What is read of a client at once: clients answer pings and say nothing, and each holds its buffer all the time.
const READ_BYTES: usize = 1024;
/// What is written to it at once; the library's own sizes cost 134 kB a connection.
const WRITE_BYTES: usize = 2 * 1024;
/// What waits to be written to a connection at most: a frame is put there as a whole, and the largest order (a body of
/// 3 MiB) must fit after what is still on its way. No memory is taken up before it is needed.
const WRITE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The largest message from a client: it has nothing to say but that it is there.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// The longest `Origin` that is looked at.
const ORIGIN_BYTES_MAX: usize = 512;
/// Positions older than this (business time) leave, and how often that is looked at.
const POSITIONS_KEPT: SignedDuration = SignedDuration::from_hours(24);
const FORGET_EVERY: Duration = Duration::from_mins(1);

/// The `Origin` of a request, empty where there is none: outside browsers.
pub(crate) fn origin(headers: &HeaderMap) -> &str {
    headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default()
}

/// The ticket in a query.
pub(crate) fn ticket_of(uri: &Uri) -> Option<String> {
    Asked::of(uri).ok()?.ticket.filter(|ticket| !ticket.is_empty())
}

/// The namespace in a query.
pub(crate) fn namespace(uri: &Uri) -> Option<String> {
    Asked::of(uri).ok()?.namespace.filter(|namespace| !namespace.is_empty())
}

/// `POST /v1/stream/tickets`: what a browser shows instead of its token.
pub(crate) async fn ticket(State(state): State<AppState>, headers: HeaderMap) -> Response {
    issued(&state, &headers).await.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}

async fn issued(state: &AppState, headers: &HeaderMap) -> Result<Response> {
    let identity = state.identity.as_ref().ok_or_else(ApiError::no_such_path)?;
    // The gateway has checked it; in process there is none, and no need for a ticket.
    let token = bearer(headers)
        .ok_or_else(|| ApiError::bad_request("a ticket stands for a bearer token: send it as Authorization"))?;
    let origin = origin(headers);
    if origin.len() > ORIGIN_BYTES_MAX {
        return Err(ApiError::bad_request(format!("Origin: is longer than {ORIGIN_BYTES_MAX} bytes")));
    }
    let ticket = identity.issue_ticket(token, origin).await.map_err(auth::said)?;
    Ok(auth::secret(StatusCode::CREATED, json!({"ticket": ticket, "expiresIn": TICKET_SECONDS})))
}

/// `GET /v1/stream?namespace=&epoch=&seq=`.
pub(crate) async fn open(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Extension(held): Extension<Held>,
    connection: Option<Extension<OpenConnection>>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let opened = async {
        let asked = Asked::of(&uri)?;
        let upgrade = upgrade.map_err(|rejection| {
            let why = format!("{rejection}: open it as a WebSocket (RFC 6455) over HTTP/1.1");
            ApiError::task(rejection.status(), why)
        })?;
        let tenure = held.take().ok_or_else(|| ApiError::internal("the request was answered before"))?;
        let allowed = state.streams.allows(origin(&headers));
        let beginning = start::begin(&state, &admission, &asked).await?;
        let client = Client::new(state, &admission, beginning, tenure.ended);
        let held = (connection, tenure.permit);
        Ok(upgrade
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(WRITE_BYTES)
            .max_write_buffer_size(WRITE_BYTES_MAX)
            .max_message_size(MESSAGE_BYTES_MAX)
            .max_frame_size(MESSAGE_BYTES_MAX)
            .on_upgrade(move |socket| async move {
                client.serve(socket, allowed).await;
                drop(held);
            }))
    };
    opened.await.unwrap_or_else(|error: ApiError| refused(&error, Surface::Tasks))
}

/// Lets go of positions that are too old, until the server drains.
pub(crate) async fn forget_old_positions(state: AppState) {
    loop {
        tokio::select! {
            biased;
            () = state.shutdown.cancelled() => return,
            () = tokio::time::sleep(FORGET_EVERY) => {}
        }
        if let Ok(before) = state.clock.business_now().checked_sub(POSITIONS_KEPT) {
            state.live.forget_before(before);
        }
    }
}
