//! `apply` and `diff`: objects brought to what their manifests say by server-side apply, so that the server knows which
//! field is whose and refuses what would change somebody else's.

mod changes;
mod conflicts;
mod member;
mod migrate;
mod one;
mod prune;
mod read;
mod refusal;
mod report;
mod run;
mod set;
mod subject;

pub(crate) use run::{Options, run};
