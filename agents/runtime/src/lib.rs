//! What every agent stands on: a lease that makes one process act and fences its writes, caches of what it watches,
//! ticks in which it looks and acts, calls whose failures are sorted by what to do next, and events that tell people.
//!
//! Knows nothing of orders and drivers, keeps no truth of its own, and reads no clock but the one it is given: waiting
//! goes by tokio's time, without jitter, so a run under paused time can be repeated.

use std::sync::Arc;

use jiff::Timestamp;

pub mod backoff;
pub mod cache;
pub mod call;
pub mod events;
pub mod lease;
pub mod metrics;
pub mod per_tick;

pub use backoff::Backoff;
pub use cache::{Cache, Caches};
pub use call::{CallError, call};
pub use events::Recorder;
pub use lease::{Election, Term};
pub use metrics::Metrics;
pub use per_tick::Ticks;

/// A source of system time, for what people read (`renewTime`, events). Nothing is decided by it.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;
