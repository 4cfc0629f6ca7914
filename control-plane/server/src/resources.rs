//! The verbs of the resource API, each written once over the registry of kinds.

mod amend;
mod answer;
mod apply;
mod call;
mod collection;
mod commit;
mod create;
mod delete;
mod get;
mod limits;
mod list;
mod order;
mod owners;
mod page_body;
mod prepare;
mod propagation;
mod update;
mod watch;

pub(crate) use amend::amend;
pub(crate) use answer::write_json;
pub(crate) use call::{Call, client};
pub(crate) use collection::{create_in_collection, delete_collection, list_or_watch};
pub(crate) use commit::{at_version, body, namespace_key, served, write};
pub(crate) use create::{bootstrap_namespaces, create_by_server};
pub(crate) use delete::{DeleteOptions, Deleted, delete, remove};
pub(crate) use get::get;
pub(crate) use limits::Eyes;
pub(crate) use order::{NotTaken, bind, report_progress, take, unbind};
pub(crate) use propagation::{FOREGROUND, ORPHAN, Propagation};
pub(crate) use update::{patch, patch_types, replace};
