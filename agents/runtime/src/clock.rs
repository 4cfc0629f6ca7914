//! The business clock of a control plane in another process: `GET /v1/clock`, asked regularly.
//!
//! Whoever has clocks puts the readings to them; that every few seconds something is asked also tells whether the API can
//! be reached.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{Backoff, CallError, Now, Reach, call};

/// How often the clock is read. A server that was started again with another time or speed is followed this soon, and
/// three missed answers in a row make an agent unready.
pub const EVERY: Duration = Duration::from_secs(10);

/// What the other clock said, as of a moment of our own system time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Our system time of the reading: half of the round trip after asking.
    pub at: Timestamp,
    /// How far off `at` may be, to either side.
    pub uncertainty: Duration,
    /// Business time there.
    pub business: Timestamp,
    /// Its speed; above 0.
    pub speed: f64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    business_now: Timestamp,
    speed: Speed,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "f64")]
struct Speed(f64);

impl TryFrom<f64> for Speed {
    type Error = &'static str;

    fn try_from(speed: f64) -> Result<Self, &'static str> {
        if speed > 0.0 && speed.is_finite() { Ok(Self(speed)) } else { Err("a clock's speed is above 0") }
    }
}

/// Reads the clock, again and again.
pub struct Follower {
    /// Of the control plane whose clock it is.
    pub client: Client,
    /// Our own system time.
    pub now: Now,
    /// Is told whether the API answers.
    pub reach: Reach,
    /// Ends it.
    pub shutdown: CancellationToken,
}

impl Follower {
    /// One reading, however often that has to be tried. `None` once shut down.
    pub async fn read(&self) -> Option<Reading> {
        self.shutdown.run_until_cancelled(self.try_until_read()).await
    }

    /// Hands on a reading every [`EVERY`], until shut down.
    pub async fn follow(self, mut read: impl FnMut(Reading)) {
        while self.shutdown.run_until_cancelled(sleep(EVERY)).await.is_some() {
            let Some(reading) = self.read().await else { return };
            read(reading);
        }
    }

    async fn try_until_read(&self) -> Reading {
        let mut backoff = Backoff::default();
        loop {
            match self.try_read().await {
                Ok(reading) => {
                    self.reach.answered();
                    return reading;
                }
                Err(error) => {
                    self.reach.failed(&error);
                    sleep(backoff.after_failure()).await;
                }
            }
        }
    }

    async fn try_read(&self) -> Result<Reading, CallError> {
        let request = http::Request::get("/v1/clock")
            .body(Vec::new())
            .map_err(kube::core::request::Error::BuildRequest)
            .map_err(kube::Error::BuildRequest)?;
        let (asked_at, started) = ((self.now)(), Instant::now());
        let answer = call(self.client.request::<Answer>(request)).await?;
        Ok(reading(asked_at, started.elapsed(), answer))
    }
}

/// The answer was right at some moment of the round trip; the middle is at most half of it off.
fn reading(asked_at: Timestamp, round_trip: Duration, answer: Answer) -> Reading {
    let half = round_trip / 2;
    Reading {
        at: asked_at + SignedDuration::try_from(half).unwrap_or(SignedDuration::ZERO),
        uncertainty: half,
        business: answer.business_now,
        speed: answer.speed.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_stands_for_the_middle_of_its_round_trip() {
        let asked_at: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        let answer = Answer { business_now: asked_at, speed: Speed(60.0) };
        let reading = reading(asked_at, Duration::from_millis(800), answer);
        assert_eq!(reading.at, asked_at + SignedDuration::from_millis(400));
        assert_eq!(reading.uncertainty, Duration::from_millis(400));
    }
}
