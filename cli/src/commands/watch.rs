//! `dropmate watch`: a live board of orders and drivers.
//!
//! Streams tell the board what happens, the board is a plain value, and a view of it is drawn when it differs from the
//! last one drawn.

mod board;
mod draw;
mod line;
#[cfg(test)]
mod samples;
mod screen;
mod ui;
mod view;

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use clap::Args;
use dropmate_api::Clock;
use jiff::Timestamp;
use ratatui::{crossterm::event, layout::Rect};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use self::{
    board::{Board, Event, Told},
    draw::{Paint, draw, places},
    line::{DriverLine, Line, OrderLine},
    screen::Screen,
    ui::{Flow, Ui},
    view::{About, View, view},
};
use crate::{
    commands::up::signals,
    connection::{Connection, ConnectionArgs},
    failure::{Failure, Outcome},
    follow::{Follow, Seen, Source},
    output,
    pages::PAGE,
};

/// Ten pictures a second are as many as anybody reads.
const MIN_FRAME: Duration = Duration::from_millis(100);
/// How often the spans of time are looked at again.
const TICK: Duration = Duration::from_secs(1);
/// How often the business clock is asked: it may be started anew at another speed.
const ASK_CLOCK_EVERY: Duration = Duration::from_mins(1);
/// Events that wait while the board is drawn. Beyond them the streams wait, and a stream that the server ends for it
/// resumes where it was.
const MAX_WAITING: usize = 256;

/// Watch orders and drivers on a live board in the terminal.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate watch -n acme
  dropmate watch -A                       # every namespace
  dropmate watch -n demo                  # beside `dropmate up --demo`

Late orders come first, then by promise. Keys: q quits, Tab changes the pane, arrows scroll, / filters, d shows
finished orders, ? tells the rest. Times are business time. For a pipe: dropmate get orders -w.")]
pub(crate) struct WatchArgs {
    /// Every namespace.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
}

/// Runs it until it is quit.
pub(crate) async fn run(connection: &ConnectionArgs, args: WatchArgs) -> Outcome {
    if !output::is_terminal() {
        return Err(anyhow!("the board needs a terminal; for a pipe or a file: dropmate get orders -w").into());
    }
    let connection = Connection::open(connection).await?;
    let namespace = (!args.all_namespaces).then(|| connection.namespace.clone());
    let (clock_sender, clock) = watch::channel(ask_clock(&connection).await?);
    let (sender, events) = mpsc::channel(MAX_WAITING);
    let mut tasks = JoinSet::new();
    let source = |plural| source(&connection, plural, args.all_namespaces);
    let follow = Follow::new(connection.clone(), source("orders"));
    tasks.spawn(tell::<OrderLine>(follow, sender.clone(), Event::Orders));
    let follow = Follow::new(connection.clone(), source("drivers"));
    tasks.spawn(tell::<DriverLine>(follow, sender, Event::Drivers));
    tasks.spawn(keep_clock(connection.clone(), clock_sender));
    show(namespace, events, clock, tasks).await
}

fn source(connection: &Connection, plural: &str, all_namespaces: bool) -> Source {
    let collection = if all_namespaces {
        format!("/apis/{}/{plural}", dropmate_api::API_VERSION)
    } else {
        format!("{}/{plural}", connection.ours())
    };
    // A board on a wall waits for its server as long as it takes, and says so.
    Source { collection, selectors: String::new(), table: false, page: Some(PAGE), give_up_after: None }
}

/// Hands on what a collection tells, object for object as a line. Ends only with a failure.
async fn tell<L: Line>(
    mut follow: Follow,
    sender: mpsc::Sender<Event>,
    event: fn(Told<L>) -> Event,
) -> Outcome<Infallible> {
    loop {
        let mut told = Vec::new();
        match follow.next().await? {
            Seen::Listed { mut list, first, last } => {
                let items = if let Value::Array(items) = list["items"].take() { items } else { Vec::new() };
                let mut lines = Vec::with_capacity(items.len());
                for item in items {
                    match read::<L>(item) {
                        Ok(line) => lines.push(line),
                        Err(unreadable) => told.push(unreadable),
                    }
                }
                told.push(Told::Listed { lines, first, last });
            }
            Seen::Changed { change, object } => {
                told.push(read(object).map_or_else(|unreadable| unreadable, |line| Told::Changed(change, line)));
            }
            Seen::Live => told.push(Told::Live),
            Seen::Cut(why) => told.push(Told::Cut(why)),
        }
        for told in told {
            sender.send(event(told)).await.context("the board is closed")?;
        }
    }
}

fn read<L: Line>(object: Value) -> Result<L, Told<L>> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    L::read(object).map_err(|error| Told::Unreadable(format!("{} {name} cannot be read: {error}", L::KIND)))
}

/// What `GET /v1/clock` answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reading {
    system_now: Timestamp,
    business_now: Timestamp,
    speed: f64,
}

/// The server's clocks, going on from its answer: this machine's clock may be wrong.
async fn ask_clock(connection: &Connection) -> Outcome<Clock> {
    let reading: Reading = serde_json::from_value(connection.get("/v1/clock").await?.accepted()?)
        .with_context(|| format!("{} does not tell the time", connection.server))?;
    let read_at = Instant::now();
    let now: dropmate_api::clock::Now = Arc::new(move || reading.system_now + read_at.elapsed());
    Ok(Clock::scaled(now, reading.business_now, reading.speed))
}

async fn keep_clock(connection: Connection, sender: watch::Sender<Clock>) -> Outcome<Infallible> {
    loop {
        tokio::time::sleep(ASK_CLOCK_EVERY).await;
        // Without an answer the last one goes on; that the server is away, the streams tell.
        if let Ok(clock) = ask_clock(&connection).await {
            sender.send(clock).context("the board is closed")?;
        }
    }
}

/// Draws until it is quit, or until a task fails.
async fn show(
    namespace: Option<String>,
    mut events: mpsc::Receiver<Event>,
    clock: watch::Receiver<Clock>,
    mut tasks: JoinSet<Outcome<Infallible>>,
) -> Outcome {
    let (mut board, mut ui) = (Board::default(), Ui::default());
    let paint = Paint { colours: output::colours() };
    let mut screen = Screen::take().context("cannot use this terminal")?;
    let mut keys = screen::keys();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = signals();
    tokio::pin!(ended);
    let mut drawn: Option<View> = None;
    let (mut changed, mut next_frame) = (true, Instant::now());
    loop {
        tokio::select! {
            signal = &mut ended => return Ok(signal?),
            Some(ended) = tasks.join_next() => return Err(failure(ended)),
            key = keys.recv() => match key.context("the keys cannot be read")?? {
                event::Event::Key(key) if ui.press(key) == Flow::Quit => return Ok(()),
                // What was drawn fits no more.
                event::Event::Resize(..) => (drawn, changed) = (None, true),
                _ => changed = true,
            },
            Some(event) = events.recv() => {
                let now = clock.borrow().business_now();
                board.apply(event, now);
                for _ in 0..MAX_WAITING {
                    let Ok(event) = events.try_recv() else { break };
                    board.apply(event, now);
                }
                changed = true;
            }
            _ = tick.tick() => changed = true,
            () = sleep_until(next_frame), if changed => {
                let size = screen.terminal.size()?;
                let heights = places(Rect::new(0, 0, size.width, size.height)).heights();
                let (now, speed) = { let clock = clock.borrow(); (clock.business_now(), clock.speed()) };
                let about = About { namespace: namespace.clone(), speed };
                let view = view(&board, &mut ui, heights, &about, now);
                if drawn.as_ref() != Some(&view) {
                    screen.terminal.draw(|frame| draw(frame, &view, paint))?;
                    drawn = Some(view);
                }
                (changed, next_frame) = (false, Instant::now() + MIN_FRAME);
            }
        }
    }
}

fn failure(ended: Result<Outcome<Infallible>, tokio::task::JoinError>) -> Failure {
    match ended {
        Ok(Err(failure)) => failure,
        Err(error) => anyhow::Error::new(error).context("a part of the board panicked").into(),
    }
}
