//! The tracking agent: history, geofences, ETA, timeline. Owns the schema `tracking`.

#![warn(missing_docs)]
