//! What could not be done is tried again, ever more seldom. Holds at most each object of the graph once.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::graph::Uid;

/// The first wait: long enough for whoever was faster to be done.
const FIRST: Duration = Duration::from_millis(100);
/// The longest: a person who mends what was wrong should not wait longer.
const LONGEST: Duration = Duration::from_secs(30);

/// Who waits for another try.
#[derive(Debug, Default)]
pub(super) struct Retries {
    by_time: BTreeSet<(Instant, Uid)>,
    /// How often each has failed, and when it is tried again.
    failed: HashMap<Uid, (u32, Instant)>,
}

impl Retries {
    /// It failed, again perhaps.
    pub(super) fn add(&mut self, uid: Uid, now: Instant) {
        let times = self.failed.get(&uid).map_or(0, |(times, _)| *times);
        self.forget(&uid);
        let at = now + FIRST.saturating_mul(2_u32.saturating_pow(times)).min(LONGEST);
        self.failed.insert(uid.clone(), (times + 1, at));
        self.by_time.insert((at, uid));
    }

    /// It went well.
    pub(super) fn forget(&mut self, uid: &Uid) {
        if let Some((_, at)) = self.failed.remove(uid) {
            self.by_time.remove(&(at, uid.clone()));
        }
    }

    /// Takes out those whose time has come, at most so many.
    pub(super) fn take_due(&mut self, now: Instant, most: usize) -> Vec<Uid> {
        let mut due = Vec::new();
        while due.len() < most
            && let Some((at, _)) = self.by_time.first()
            && *at <= now
            && let Some((_, uid)) = self.by_time.pop_first()
        {
            due.push(uid);
        }
        due
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.by_time.len()
    }

    /// Returns when the time of the first has come; never if none waits.
    pub(super) async fn wait(&self) {
        match self.by_time.first() {
            Some((at, _)) => sleep_until(*at).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_try_waits_longer_up_to_a_bound_and_success_starts_anew() {
        let mut retries = Retries::default();
        let uid = Uid::from("a");
        let mut waits = Vec::new();
        for _ in 0..12 {
            let start = Instant::now();
            retries.add(uid.clone(), start);
            assert!(retries.take_due(start, 9).is_empty());
            retries.wait().await;
            waits.push(start.elapsed().as_millis());
            assert_eq!(retries.take_due(Instant::now(), 9), std::slice::from_ref(&uid));
        }
        assert_eq!(waits[..3], [100, 200, 400]);
        assert_eq!(waits[11], 30_000);
        retries.forget(&uid);
        retries.add(uid.clone(), Instant::now());
        retries.wait().await;
        assert_eq!(retries.take_due(Instant::now(), 9), [uid]);
        assert_eq!(retries.len(), 0);
    }
}
