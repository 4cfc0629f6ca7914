//! Following a collection: what is there and then every change, once and in order, over cuts and restarts of the
//! server. What is done with it is the reader's business.

use std::{pin::Pin, time::Duration};

use futures::{AsyncBufRead, AsyncBufReadExt as _, StreamExt as _, io::Lines};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::{
    connection::Connection,
    failure::{Failure, Outcome},
    pages::following,
};

/// First pause before connecting again; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// The server ends a watch after this long, and it is resumed: no connection lives for ever.
const WATCH_FOR: Duration = Duration::from_mins(10);
/// A watch that ends this much early was cut; clocks and buffers take a moment.
const EARLY: Duration = Duration::from_secs(10);
/// A bookmark comes every minute: after two and a half of silence nobody is at the other end.
const MAX_SILENCE: Duration = Duration::from_secs(150);

/// Which collection is followed, and how.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its path.
    pub(crate) collection: String,
    /// Selectors as query parameters, each with a leading `&`.
    pub(crate) selectors: String,
    /// As Table rows instead of objects.
    pub(crate) table: bool,
    /// How many objects a page of the list holds; `None`: all come at once.
    pub(crate) page: Option<usize>,
    /// After this long without a server it is given up; `None`: never.
    pub(crate) give_up_after: Option<Duration>,
}

/// What a reader gets to see.
#[derive(Debug)]
pub(crate) enum Seen {
    /// A page of what is there. With the first page everything seen before counts no more, after the last one the list
    /// is whole.
    Listed { list: Value, first: bool, last: bool },
    /// The changes from here on come as they happen.
    Live,
    /// A change, with the state after it.
    Changed { change: Change, object: Value },
    /// The connection is gone, and why. It is tried again; nothing will be left out.
    Cut(String),
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is new, or has come into the selection.
    Added,
    /// It is another.
    Modified,
    /// It is gone, or has left the selection; told with its last state.
    Deleted,
}

/// A reader's place in the history of a collection.
pub(crate) struct Follow {
    connection: Connection,
    source: Source,
    version: String,
    state: State,
    /// No list was whole yet: a server that cannot be reached is no cut but a failure.
    new: bool,
    pause: Duration,
    alive_at: Instant,
}

enum State {
    List { path: String, first: bool },
    Connect,
    Live { lines: Lines<Pin<Box<dyn AsyncBufRead + Send>>>, since: Instant, moved: bool },
    Pause,
}

impl Follow {
    pub(crate) fn new(connection: Connection, source: Source) -> Self {
        let state = State::List { path: source.list_path(), first: true };
        let version = String::new();
        Self { connection, source, version, state, new: true, pause: FIRST_PAUSE, alive_at: Instant::now() }
    }

    /// The next thing to see. An error is final: the server refused, was never there, or was gone for too long.
    pub(crate) async fn next(&mut self) -> Outcome<Seen> {
        loop {
            let attempt = match &mut self.state {
                State::List { .. } => self.list().await.map(Some),
                State::Connect => self.connect().await,
                State::Live { .. } => Ok(self.change().await),
                State::Pause => {
                    tokio::time::sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(MAX_PAUSE);
                    self.state = State::Connect;
                    Ok(None)
                }
            };
            match attempt {
                Ok(Some(seen)) => return Ok(seen),
                Ok(None) => {}
                Err(Failure::Unknown(error)) if !self.new => {
                    if self.source.give_up_after.is_some_and(|limit| self.alive_at.elapsed() > limit) {
                        return Err(error.context("gave the watch up").into());
                    }
                    self.state = State::Pause;
                    return Ok(Seen::Cut(format!("{error:#}")));
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn list(&mut self) -> Outcome<Seen> {
        let State::List { path, first } = &self.state else { unreachable!("called in this state") };
        let (path, first) = (path.clone(), *first);
        let answer = if self.source.table {
            self.connection.get_table(&path).await?
        } else {
            self.connection.get(&path).await?
        };
        let list = match answer.accepted() {
            Ok(list) => list,
            // The page's revision is gone: the list is begun anew.
            Err(refusal) if refusal.code == 410 && !first => {
                self.expired();
                return Ok(Seen::Cut("the list expired while it was read".to_owned()));
            }
            Err(refusal) => return Err(refusal.into()),
        };
        self.alive_at = Instant::now();
        if first {
            self.version = version(&list).unwrap_or_default();
        }
        let next = following(&list, &path);
        let whole = next.is_none();
        self.new &= !whole;
        self.state = match next {
            Some(path) => State::List { path, first: false },
            None => State::Connect,
        };
        Ok(Seen::Listed { list, first, last: whole })
    }

    /// History is gone: after a pause, for a server that forgets that fast, it is listed again.
    fn expired(&mut self) {
        self.version.clear();
        self.state = State::Pause;
    }

    async fn connect(&mut self) -> Outcome<Option<Seen>> {
        if self.version.is_empty() {
            self.state = State::List { path: self.source.list_path(), first: true };
            return Ok(None);
        }
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={}{}",
            self.source.collection,
            WATCH_FOR.as_secs(),
            self.version,
            self.source.selectors
        );
        match self.connection.watch(&path, self.source.table).await? {
            Ok(stream) => {
                let stream: Pin<Box<dyn AsyncBufRead + Send>> = Box::pin(stream);
                self.alive_at = Instant::now();
                self.state = State::Live { lines: stream.lines(), since: self.alive_at, moved: false };
                Ok(Some(Seen::Live))
            }
            Err(refusal) if refusal.code == 410 => {
                self.expired();
                Ok(None)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The next change of a live watch; `None` when the state has changed instead.
    async fn change(&mut self) -> Option<Seen> {
        let State::Live { lines, since, moved } = &mut self.state else { unreachable!("called in this state") };
        // A cut connection is no loss: the next stretch resumes after the last version.
        let line = timeout(MAX_SILENCE, lines.next()).await.ok().flatten().and_then(Result::ok);
        let event = line.and_then(|line| serde_json::from_str::<Value>(&line).ok());
        let Some(mut event) = event.filter(|event| event["type"] != "ERROR" || event["object"]["code"] == 410) else {
            let early = since.elapsed() + EARLY < WATCH_FOR;
            if *moved || since.elapsed() > MAX_PAUSE {
                self.pause = FIRST_PAUSE;
            }
            self.alive_at = Instant::now();
            self.state = State::Pause;
            return early.then(|| Seen::Cut("the connection ended".to_owned()));
        };
        if event["type"] == "ERROR" {
            self.expired();
            return None;
        }
        let object = event["object"].take();
        if let Some(version) = version(&object) {
            *moved |= version != self.version;
            self.version = version;
        }
        let change = match event["type"].as_str() {
            Some("ADDED") => Change::Added,
            Some("MODIFIED") => Change::Modified,
            Some("DELETED") => Change::Deleted,
            // A bookmark, or something of a later version.
            _ => return None,
        };
        Some(Seen::Changed { change, object })
    }
}

impl Source {
    fn list_path(&self) -> String {
        match self.page {
            Some(page) => format!("{}?limit={page}{}", self.collection, self.selectors),
            None => format!("{}?{}", self.collection, self.selectors.trim_start_matches('&')),
        }
    }
}

/// The version of a list, an object, or a table of one row.
fn version(object: &Value) -> Option<String> {
    let own = object.pointer("/metadata/resourceVersion");
    let row = object.pointer("/rows/0/object/metadata/resourceVersion");
    [own, row].into_iter().flatten().filter_map(Value::as_str).find(|version| !version.is_empty()).map(str::to_owned)
}
