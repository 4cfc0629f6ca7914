//! Watch: a stream of changes, one JSON line each.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use dropmate_api::registry::Kind;
use dropmate_store::{At, Event, Object, ReadError, Revision, Watch};
use futures::{FutureExt, stream};
use http::StatusCode;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    answer::{Answer, respond},
    call::Call,
};
use crate::{
    error::{ApiError, Result},
    options::ListOptions,
    selector::Selector,
};

/// How often a watcher that takes bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);
/// How long before the end of a watch its last bookmark comes.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// When a watch ends whose client named no time. Clients reconnect then, which spreads them over replicas.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(45);
/// What a piece sent to one watcher costs the server, about. With this share of time for each of them, a round over some
/// thousand watchers takes no more than one core, whatever the rate of changes is.
const PIECE_COST: Duration = Duration::from_micros(30);
/// The longest that a change waits for others to go with.
const PAUSE_MAX: Duration = Duration::from_millis(50);
/// Shorter pauses cost more than they save: timers count in milliseconds.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// Changes that are ready are joined into chunks of about this size.
const CHUNK_BYTES: usize = 64 * 1024;

/// `GET` of a collection with `watch=true`.
pub(crate) async fn watch(call: Call, answer: Answer, options: ListOptions, selector: Selector) -> Result<Response> {
    let started = start(&call, &options, &selector).await;
    let (initial, watch, revision) = match started {
        Ok(started) => started,
        // History that is gone is said in the stream: so clients tell it from a broken request.
        Err(error) if error.reason() == "Expired" => return Ok(respond(error_line(&error), StatusCode::OK)),
        Err(error) => return Err(error),
    };
    let now = Instant::now();
    let ends = now + options.timeout.unwrap_or(DEFAULT_TIMEOUT);
    let initial_end = (options.send_initial_events == Some(true) && options.bookmarks).then_some(revision);
    let watcher = Watcher {
        kind: call.kind(),
        selector,
        answer,
        initial: initial.into(),
        initial_end,
        watch,
        shutdown: call.state.shutdown.clone(),
        next_bookmark: options.bookmarks.then_some(now + BOOKMARK_EVERY.min(last_bookmark_after(&options))),
        ends,
        rests_until: now,
        done: false,
    };
    Ok(respond(Body::from_stream(stream::unfold(watcher, Watcher::next_chunk)), StatusCode::OK))
}

fn last_bookmark_after(options: &ListOptions) -> Duration {
    options.timeout.unwrap_or(DEFAULT_TIMEOUT).saturating_sub(LAST_BOOKMARK)
}

/// The objects that the stream begins with, the changes after them, and the revision between.
async fn start(call: &Call, options: &ListOptions, selector: &Selector) -> Result<(Vec<Arc<Object>>, Watch, Revision)> {
    let store = &call.state.store;
    let scope = call.scope();
    let version = options.resource_version.filter(|version| *version != 0);
    let with_state = options.send_initial_events.unwrap_or(version.is_none());
    let (objects, revision) = if with_state {
        let at = match options.resource_version {
            None => At::Latest,
            Some(0) => At::Any,
            Some(version) => At::NotOlder(version),
        };
        let page = store.list(&scope, at, None, None).await?;
        (page.objects.into_iter().filter(|object| selector.matches(object)).collect(), page.revision)
    } else if let Some(version) = version {
        call.check_tenancy(version).await?;
        (Vec::new(), version)
    } else {
        let (_, revision) = store.get(&call.key_of(""), At::Latest).await?;
        (Vec::new(), revision)
    };
    Ok((objects, store.watch(scope, revision).await?, revision))
}

struct Watcher {
    kind: &'static Kind,
    selector: Selector,
    answer: Answer,
    initial: VecDeque<Arc<Object>>,
    initial_end: Option<Revision>,
    watch: Watch,
    shutdown: CancellationToken,
    next_bookmark: Option<Instant>,
    ends: Instant,
    /// Changes are gathered until then.
    rests_until: Instant,
    done: bool,
}

/// How long a watcher rests after a piece, so that under load the next one holds several changes. A watcher that was
/// quiet for as long gets its next change at once.
fn pause(watchers: usize) -> Duration {
    let pause = PIECE_COST.saturating_mul(u32::try_from(watchers).unwrap_or(u32::MAX)).min(PAUSE_MAX);
    if pause < PAUSE_MIN { Duration::ZERO } else { pause }
}

enum Wake {
    End,
    Time,
    Change(Option<Result<Arc<Event>, ReadError>>),
}

impl Watcher {
    /// The next lines, as soon as there are any; `None` ends the stream.
    async fn next_chunk(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let mut chunk = Vec::new();
        if self.initial.is_empty() && self.initial_end.is_none() {
            if self.rests_until > Instant::now() {
                tokio::select! {
                    biased;
                    () = self.shutdown.cancelled() => return None,
                    () = tokio::time::sleep_until(self.rests_until) => {}
                }
            }
            while chunk.is_empty() {
                if self.done {
                    return None;
                }
                let wake_at = self.next_bookmark.map_or(self.ends, |at| at.min(self.ends));
                let wake = tokio::select! {
                    biased;
                    () = self.shutdown.cancelled() => Wake::End,
                    change = self.watch.next() => Wake::Change(change),
                    () = tokio::time::sleep_until(wake_at) => Wake::Time,
                };
                match wake {
                    Wake::End => return None,
                    Wake::Change(change) => self.take(change, &mut chunk),
                    Wake::Time => self.tick(&mut chunk),
                }
            }
            while chunk.len() < CHUNK_BYTES && !self.done {
                let Some(change) = self.watch.next().now_or_never() else { break };
                self.take(change, &mut chunk);
            }
            self.rests_until = Instant::now() + pause(self.watch.peers());
        } else {
            while chunk.len() < CHUNK_BYTES
                && let Some(object) = self.initial.pop_front()
            {
                self.line("ADDED", &object, object.revision, &mut chunk);
            }
            if self.initial.is_empty()
                && let Some(revision) = self.initial_end.take()
            {
                self.bookmark(revision, true, &mut chunk);
            }
        }
        Some((Ok(Bytes::from(chunk)), self))
    }

    fn take(&mut self, change: Option<Result<Arc<Event>, ReadError>>, chunk: &mut Vec<u8>) {
        match change {
            None => self.done = true,
            Some(Err(error)) => {
                self.done = true;
                chunk.extend_from_slice(error_line(&error.into()).as_bytes());
            }
            Some(Ok(event)) => self.change(&event, chunk),
        }
    }

    /// An object enters the selector as ADDED and leaves it as DELETED, with the body it had and the new version.
    fn change(&mut self, event: &Event, chunk: &mut Vec<u8>) {
        let selected = |object: &Arc<Object>| self.selector.is_empty() || self.selector.matches(object);
        let before = event.previous.as_ref().is_some_and(selected);
        if event.deleted {
            if before || (event.previous.is_none() && selected(&event.object)) {
                self.line("DELETED", &event.object, event.revision, chunk);
            }
            return;
        }
        match (before, selected(&event.object)) {
            (true, true) => self.line("MODIFIED", &event.object, event.revision, chunk),
            (false, true) => self.line("ADDED", &event.object, event.revision, chunk),
            (true, false) => {
                if let Some(previous) = &event.previous {
                    self.line("DELETED", previous, event.revision, chunk);
                }
            }
            (false, false) => {}
        }
    }

    fn line(&mut self, change: &str, object: &Object, revision: Revision, chunk: &mut Vec<u8>) {
        let begun = chunk.len();
        chunk.extend_from_slice(b"{\"type\":\"");
        chunk.extend_from_slice(change.as_bytes());
        chunk.extend_from_slice(b"\",\"object\":");
        if let Err(error) = self.answer.watched(self.kind, object, revision, chunk) {
            chunk.truncate(begun);
            chunk.extend_from_slice(error_line(&error).as_bytes());
            self.done = true;
            return;
        }
        chunk.extend_from_slice(b"}\n");
    }

    fn tick(&mut self, chunk: &mut Vec<u8>) {
        let now = Instant::now();
        if self.next_bookmark.is_some_and(|at| at <= now) {
            self.bookmark(self.watch.position(), false, chunk);
            let last = self.ends.checked_sub(LAST_BOOKMARK).filter(|last| *last > now);
            self.next_bookmark = last.map(|last| last.min(now + BOOKMARK_EVERY));
        }
        if self.ends <= now {
            self.done = true;
        }
    }

    fn bookmark(&mut self, revision: Revision, initial_end: bool, chunk: &mut Vec<u8>) {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = self.answer.bookmark(self.kind, &metadata);
        chunk.extend_from_slice(json!({"type": "BOOKMARK", "object": object}).to_string().as_bytes());
        chunk.push(b'\n');
    }
}

fn error_line(error: &ApiError) -> String {
    let mut line = json!({"type": "ERROR", "object": error.status()}).to_string();
    line.push('\n');
    line
}
