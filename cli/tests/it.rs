//! The `dropmate` command as its users have it: real processes, a real server, real files.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where it stopped, helpers included")]

#[path = "it/apply.rs"]
mod apply;
#[path = "it/audit.rs"]
mod audit;
#[path = "it/bad_input.rs"]
mod bad_input;
#[path = "it/bootstrap.rs"]
mod bootstrap;
#[path = "it/completions.rs"]
mod completions;
#[path = "it/convert.rs"]
mod convert;
#[path = "it/dependencies.rs"]
mod dependencies;
#[path = "it/diff.rs"]
mod diff;
#[path = "it/drivers.rs"]
mod drivers;
#[path = "it/fake.rs"]
mod fake;
#[path = "it/get.rs"]
mod get;
#[path = "it/gitops.rs"]
mod gitops;
#[path = "it/history.rs"]
mod history;
#[path = "it/kubectl.rs"]
mod kubectl;
#[path = "it/links.rs"]
mod links;
#[path = "it/notifications.rs"]
mod notifications;
#[path = "it/phones.rs"]
mod phones;
#[path = "it/probe.rs"]
mod probe;
#[path = "it/prune.rs"]
mod prune;
#[path = "it/sessions.rs"]
mod sessions;
#[path = "it/support.rs"]
mod support;
#[path = "it/up.rs"]
mod up;
#[path = "it/watch.rs"]
mod watch;
