//! Positions on their way to clients: of each driver the newest, at most one a second, put into words once for all.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dropmate_live::{Live, Position};
use jiff::Timestamp;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::frames;

/// The time between two positions of a driver at least.
pub(super) const APART: Duration = Duration::from_secs(1);
/// Positions that a client may be behind, of everybody's and of one driver's; then it is told the newest of all.
const BEHIND: usize = 1_024;
const BEHIND_OF_ONE: usize = 4;
/// After so many newcomers rooms are closed in which nobody is any more.
const TIDY_EVERY: usize = 256;
/// A driver who was quiet for this long need not be kept in mind.
const QUIET: Duration = Duration::from_mins(1);

/// A position with its words.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(super) words: Box<str>,
}

/// Where somebody hears of positions.
pub(crate) type Seat = broadcast::Receiver<Arc<Placed>>;

/// Whose positions somebody listens to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Room {
    Everywhere,
    Namespace(String),
    Driver(String, String),
}

impl Room {
    fn behind(&self) -> usize {
        if matches!(self, Self::Driver(..)) { BEHIND_OF_ONE } else { BEHIND }
    }
}

/// Who listens to whose positions.
#[derive(Debug, Default)]
pub(super) struct Rooms(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    rooms: HashMap<Room, broadcast::Sender<Arc<Placed>>>,
    newcomers: usize,
}

impl Rooms {
    /// Every position there from now on.
    pub(super) fn enter(&self, room: Room) -> broadcast::Receiver<Arc<Placed>> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.newcomers += 1;
        if open.newcomers >= TIDY_EVERY {
            open.newcomers = 0;
            open.rooms.retain(|_, sender| sender.receiver_count() > 0);
        }
        let behind = room.behind();
        open.rooms.entry(room).or_insert_with(|| broadcast::Sender::new(behind)).subscribe()
    }

    fn publish(&self, position: &Position) {
        let rooms = [
            Room::Everywhere,
            Room::Namespace(position.namespace.clone()),
            Room::Driver(position.namespace.clone(), position.driver.clone()),
        ];
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut placed = None;
        for sender in rooms.iter().filter_map(|room| open.rooms.get(room)).filter(|s| s.receiver_count() > 0) {
            let placed = placed.get_or_insert_with(|| Arc::new(Placed { words: frames::place(position) }));
            // Who left a moment ago does not mind.
            let _ = sender.send(placed.clone());
        }
    }
}

type Name = (String, String);

/// Decides which positions go on, and when.
#[derive(Debug, Default)]
struct Conflation {
    last: HashMap<Name, Last>,
    due: BTreeSet<(Instant, Name)>,
}

#[derive(Debug)]
struct Last {
    sent: Instant,
    at: Timestamp,
    uid: String,
    waiting: Option<Arc<Position>>,
}

impl Conflation {
    /// A position came; it is to be sent now if it is given back.
    fn take(&mut self, position: Arc<Position>, now: Instant) -> Option<Arc<Position>> {
        let name = (position.namespace.clone(), position.driver.clone());
        match self.last.get_mut(&name) {
            Some(last) if last.at >= position.at && last.uid == position.uid => None,
            Some(last) if now < last.sent + APART => {
                last.at = position.at;
                last.uid.clone_from(&position.uid);
                if last.waiting.replace(position).is_none() {
                    self.due.insert((last.sent + APART, name));
                }
                None
            }
            _ => {
                let uid = position.uid.clone();
                self.last.insert(name, Last { sent: now, at: position.at, uid, waiting: None });
                Some(position)
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// What has waited long enough.
    fn ripe(&mut self, now: Instant) -> Vec<Arc<Position>> {
        let mut ripe = Vec::new();
        while self.next_due().is_some_and(|at| at <= now) {
            let Some((_, name)) = self.due.pop_first() else { break };
            if let Some(last) = self.last.get_mut(&name) {
                last.sent = now;
                ripe.extend(last.waiting.take());
            }
        }
        ripe
    }

    fn forget_the_quiet(&mut self, now: Instant) {
        self.last.retain(|_, last| last.waiting.is_some() || now < last.sent + QUIET);
    }
}

/// Gives positions on to whoever listens, until `stop`.
pub(super) async fn run(live: Live, rooms: Arc<Rooms>, stop: CancellationToken) {
    let mut seen = live.positions();
    let mut conflation = Conflation::default();
    let mut tidy = Instant::now() + QUIET;
    loop {
        let wake = conflation.next_due().map_or(tidy, |due| due.min(tidy));
        let came = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep_until(wake) => None,
            came = seen.recv() => Some(came),
        };
        let now = Instant::now();
        let newer = match came {
            None => Vec::new(),
            Some(Ok(position)) => vec![position],
            // What was missed is in what is known.
            Some(Err(RecvError::Lagged(_))) => live.latest_everywhere(),
            Some(Err(RecvError::Closed)) => return,
        };
        for position in newer.into_iter().filter_map(|position| conflation.take(position, now)) {
            rooms.publish(&position);
        }
        for position in conflation.ripe(now) {
            rooms.publish(&position);
        }
        if now >= tidy {
            conflation.forget_the_quiet(now);
            tidy = now + QUIET;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(driver: &str, second: i64) -> Arc<Position> {
        Arc::new(Position {
            namespace: "acme".to_owned(),
            driver: driver.to_owned(),
            uid: String::new(),
            at: Timestamp::from_second(1_800_000_000 + second).unwrap(),
            latitude: 43.65,
            longitude: -79.36,
            speed_meters_per_second: None,
            bearing: None,
            accuracy_meters: None,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn of_each_driver_the_newest_goes_on_once_a_second() {
        let mut conflation = Conflation::default();
        let began = Instant::now();
        let after = |millis| began + Duration::from_millis(millis);
        assert!(conflation.take(position("sam", 1), after(0)).is_some());
        assert!(conflation.take(position("kim", 1), after(0)).is_some(), "another driver is another matter");
        for (second, millis) in [(2, 100), (3, 200), (2, 300), (3, 400)] {
            assert!(conflation.take(position("sam", second), after(millis)).is_none());
        }
        assert!(conflation.ripe(after(999)).is_empty());
        assert_eq!(conflation.ripe(after(1_000)), [position("sam", 3)]);
        assert!(conflation.take(position("sam", 4), after(1_500)).is_none(), "a second after the last that went on");
        assert_eq!(conflation.ripe(after(2_000)), [position("sam", 4)]);
        assert!(conflation.take(position("sam", 5), after(3_000)).is_some());
        conflation.forget_the_quiet(after(3_000) + QUIET);
        assert!(conflation.last.is_empty() && conflation.due.is_empty());
    }
}
