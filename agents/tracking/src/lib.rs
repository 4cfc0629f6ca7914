//! The tracking agent: history, geofences, ETA, timeline. Owns the schema `tracking`.

#![warn(missing_docs)]

pub mod accuracy;
pub mod coarse;
pub mod eta;
pub mod fix;
pub mod geofence;
pub mod look;
pub mod promise;
pub mod stops;
pub mod timeline;
pub mod watch;
