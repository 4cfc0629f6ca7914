//! How long ways take: over the straight line, or as an OSRM or Valhalla server says. What a server cannot tell in time
//! goes by the straight line, and is marked.

mod cache;
mod server;

use std::{
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dropmate_api::VehicleType;
use dropmate_outbound::ClientError;
use futures::StreamExt;
use tokio::time::Instant;

use crate::{
    Metrics,
    eta::Leg,
    look::{Itinerary, Timed},
    travel::{cache::Cache, server::Server},
};

/// How long a travel-time server may take for one way unless the operator says otherwise: it answers in milliseconds.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// Ways asked for at the same time.
const AT_ONCE: usize = 8;

/// Ways asked for in one look; the rest goes by the straight line until the next.
const ASKED_MAX: usize = 512;

/// After a failure the server is left alone for so long, so that a look does not wait for it again and again.
const REST: Duration = Duration::from_secs(10);

/// Ways from the straight line, in metrics and details.
const STRAIGHT_LINE: &str = "straightLine";

/// Where travel times are from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The straight line, at the vehicle's average speed over it.
    #[default]
    StraightLine,
    /// An OSRM server.
    Osrm(String),
    /// A Valhalla server.
    Valhalla(String),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not straight-line, osrm=URL or valhalla=URL, with a URL like http://osrm.internal:5000"
            )
        };
        if text == "straight-line" {
            return Ok(Self::StraightLine);
        }
        let (kind, url) = text.split_once('=').ok_or_else(wrong)?;
        let uri: http::Uri = url.parse().map_err(|_| wrong())?;
        if !matches!(uri.scheme_str(), Some("http" | "https"))
            || uri.host().is_none_or(str::is_empty)
            || uri.query().is_some()
        {
            return Err(wrong());
        }
        let url = url.trim_end_matches('/').to_owned();
        match kind {
            "osrm" => Ok(Self::Osrm(url)),
            "valhalla" => Ok(Self::Valhalla(url)),
            _ => Err(wrong()),
        }
    }
}

/// Times ways. Clones share what is known.
#[derive(Clone, Debug)]
pub struct TravelTimes {
    server: Option<Arc<Server>>,
    known: Arc<Mutex<Known>>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Known {
    ways: Cache,
    rests_until: Option<Instant>,
}

impl TravelTimes {
    /// From that source; a server may take `timeout` for one way.
    pub fn new(source: &Source, timeout: Duration, metrics: Metrics) -> Result<Self, ClientError> {
        let server = Server::new(source, timeout)?.map(Arc::new);
        Ok(Self { server, known: Arc::default(), metrics })
    }

    /// Times all ways of these itineraries.
    pub async fn time(&self, itineraries: Vec<Itinerary>) -> Vec<Timed> {
        let Some(server) = &self.server else {
            self.metrics.legs(STRAIGHT_LINE, itineraries.iter().map(|itinerary| itinerary.legs.len() as u64).sum());
            return itineraries.into_iter().map(over_the_straight_line).collect();
        };
        self.ask(server, &itineraries).await;
        let now = Instant::now();
        let mut known = self.known();
        let (mut from_server, mut fallbacks) = (0, 0);
        let timed = itineraries
            .into_iter()
            .map(|itinerary| {
                let mut fallback = false;
                let seconds = itinerary.legs.iter().map(|leg| {
                    if let Some(seconds) = known.ways.get(itinerary.vehicle, leg, now) {
                        from_server += 1;
                        return seconds;
                    }
                    fallbacks += 1;
                    fallback = true;
                    straight(leg, itinerary.meters_per_second)
                });
                let seconds = seconds.collect();
                Timed { itinerary, seconds, source: server.name(), fallback }
            })
            .collect();
        drop(known);
        self.metrics.legs(server.name(), from_server);
        self.metrics.legs("fallback", fallbacks);
        timed
    }

    /// Asks for what is not known.
    async fn ask(&self, server: &Server, itineraries: &[Itinerary]) {
        let now = Instant::now();
        let wanted: Vec<(VehicleType, Leg)> = {
            let mut known = self.known();
            if known.rests_until.is_some_and(|until| now < until) {
                return;
            }
            let legs = itineraries.iter().flat_map(|of| of.legs.iter().map(|leg| (of.vehicle, *leg)));
            legs.filter(|(vehicle, leg)| known.ways.get(*vehicle, leg, now).is_none()).take(ASKED_MAX).collect()
        };
        futures::stream::iter(wanted)
            .for_each_concurrent(AT_ONCE, async |(vehicle, leg)| {
                if self.known().rests_until.is_some_and(|until| now < until) {
                    return;
                }
                match server.seconds(vehicle, &leg).await {
                    Ok(Some(seconds)) => self.known().ways.put(vehicle, &leg, seconds, Instant::now()),
                    // No road from here to there: the server is well.
                    Ok(None) => {}
                    Err(error) => {
                        let mut known = self.known();
                        if known.rests_until.is_none_or(|until| until <= Instant::now()) {
                            tracing::warn!(
                                source = server.name(),
                                error = %error,
                                "the travel-time server did not answer; going by the straight line for a while"
                            );
                        }
                        known.rests_until = Some(Instant::now() + REST);
                    }
                }
            })
            .await;
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn straight(leg: &Leg, meters_per_second: f64) -> f64 {
    (dropmate_planning::meters(leg.from, leg.to) / meters_per_second).ceil()
}

fn over_the_straight_line(itinerary: Itinerary) -> Timed {
    let seconds = itinerary.legs.iter().map(|leg| straight(leg, itinerary.meters_per_second)).collect();
    Timed { itinerary, seconds, source: STRAIGHT_LINE, fallback: false }
}
