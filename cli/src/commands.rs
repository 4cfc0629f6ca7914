//! The commands, one a file: each takes its arguments, asks the server, and hands what it found to `output`.

pub(crate) mod apply;
pub(crate) mod bootstrap;
pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod cordon;
pub(crate) mod crds;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod diff;
pub(crate) mod drain;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod migrate;
pub(crate) mod probe;
pub(crate) mod summary;
pub(crate) mod up;
pub(crate) mod version;
pub(crate) mod watch;
