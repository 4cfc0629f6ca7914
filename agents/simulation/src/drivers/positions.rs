//! Phones tell where they are: a fix each few seconds of business time while there is something to do, sent together a few
//! at a time as phones send them, under the driver's own name.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use dropmate_agent::{CallError, call};
use dropmate_api::Location;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde_json::{Value, json};

use super::Phone;

/// Business time between two fixes of a driver with orders, as tracker apps are set.
const EVERY: SignedDuration = SignedDuration::from_secs(15);

/// The same of one who has nothing to do.
const EVERY_IDLE: SignedDuration = SignedDuration::from_mins(2);

/// Fixes are sent at most this often (system time), however fast the business clock runs.
const SEND_EVERY: Duration = Duration::from_secs(1);

/// The same of those who have nothing to do.
const SEND_EVERY_IDLE: Duration = Duration::from_secs(10);

/// Fixes in one request: far below what the server takes.
const SENT_AT_ONCE: usize = 100;

/// Fixes that wait for a network; then the oldest go, as on a phone.
const KEPT: usize = 500;

/// A client as the driver of that namespace and name.
pub type AsDriver = Arc<dyn Fn(&str, &str) -> Client + Send + Sync>;

impl Phone {
    /// Tells where the driver is, for ever.
    pub(super) async fn tell_positions(&self, client: Client) {
        let mut waiting: VecDeque<Value> = VecDeque::new();
        let mut told_at = self.clock.business_now() - EVERY;
        loop {
            let now = self.clock.business_now();
            let busy = self.fleet.of_driver(&self.key).is_some_and(|(_, mine)| !mine.is_empty());
            let (every, pause) = if busy { (EVERY, SEND_EVERY) } else { (EVERY_IDLE, SEND_EVERY_IDLE) };
            // After a pause only what fits into one request is told of it.
            let first = told_at.max(now - every * (SENT_AT_ONCE as i32 - 1));
            let mut at = first;
            while now.duration_since(at) >= every {
                at += every;
                let memory = super::lock(&self.memory).clone();
                let place = self
                    .fleet
                    .of_driver(&self.key)
                    .and_then(|(driver, mine)| super::phone::place_at(&driver, &mine, &memory, at));
                waiting.extend(place.map(|place| position(at, place, busy)));
                told_at = at;
            }
            while waiting.len() > KEPT {
                waiting.pop_front();
            }
            if !waiting.is_empty() {
                let sent = waiting.len().min(SENT_AT_ONCE);
                let batch: Vec<&Value> = waiting.iter().take(sent).collect();
                if self.send(&client, &batch).await {
                    waiting.drain(..sent);
                }
            }
            let next = self.clock.system_delay_until(told_at + every).max(pause);
            tokio::time::sleep(next).await;
        }
    }

    /// Whether they need not be sent again.
    async fn send(&self, client: &Client, positions: &[&Value]) -> bool {
        let body = json!({"positions": positions}).to_string().into_bytes();
        let request = http::Request::post(format!("/v1/me/positions?namespace={}", self.key.0))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(kube::core::request::Error::BuildRequest)
            .map_err(kube::Error::BuildRequest);
        let sent = match request {
            Ok(request) => call(client.request_text(request)).await,
            Err(error) => Err(error.into()),
        };
        match sent {
            Ok(_) => true,
            Err(error @ (CallError::Transient(_) | CallError::Timeout)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "positions will be sent again");
                false
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "positions were refused");
                true
            }
        }
    }
}

fn position(at: Timestamp, place: Location, moving: bool) -> Value {
    let mut position =
        json!({"at": at, "latitude": place.latitude, "longitude": place.longitude, "accuracyMeters": 8.0});
    if !moving {
        position["speedMetersPerSecond"] = json!(0.0);
    }
    position
}
