//! The control plane through its API: raw requests for exact texts, kube-rs in process, kubectl as a process.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

#[path = "it/agents.rs"]
mod agents;
#[path = "it/apply.rs"]
mod apply;
#[path = "it/archive.rs"]
mod archive;
#[path = "it/audit.rs"]
mod audit;
#[path = "it/auth.rs"]
mod auth;
#[path = "it/authorization.rs"]
mod authorization;
#[path = "it/bootstrap.rs"]
mod bootstrap;
#[path = "it/certificates.rs"]
mod certificates;
#[path = "it/client.rs"]
mod client;
#[path = "it/clients.rs"]
mod clients;
#[path = "it/errors.rs"]
mod errors;
#[path = "it/events.rs"]
mod events;
#[path = "it/forged.rs"]
mod forged;
#[path = "it/garbage.rs"]
mod garbage;
#[path = "it/garbage_starts.rs"]
mod garbage_starts;
#[path = "it/gateway.rs"]
mod gateway;
#[path = "it/history.rs"]
mod history;
#[path = "it/hostile.rs"]
mod hostile;
#[path = "it/hostile_process.rs"]
mod hostile_process;
#[path = "it/incidents.rs"]
mod incidents;
#[path = "it/kubectl.rs"]
mod kubectl;
#[path = "it/kubectl_apply.rs"]
mod kubectl_apply;
#[path = "it/kubectl_cascade.rs"]
mod kubectl_cascade;
#[path = "it/kubectl_tokens.rs"]
mod kubectl_tokens;
#[path = "it/kubectl_verbs.rs"]
mod kubectl_verbs;
#[path = "it/limits.rs"]
mod limits;
#[path = "it/lists.rs"]
mod lists;
#[path = "it/notifications.rs"]
mod notifications;
#[path = "it/objects.rs"]
mod objects;
#[path = "it/orders.rs"]
mod orders;
#[path = "it/outside.rs"]
mod outside;
#[path = "it/owners.rs"]
mod owners;
#[path = "it/phone.rs"]
mod phone;
#[path = "it/phones.rs"]
mod phones;
#[path = "it/pins.rs"]
mod pins;
#[path = "it/process.rs"]
mod process;
#[path = "it/proofs.rs"]
mod proofs;
#[path = "it/replicas.rs"]
mod replicas;
#[path = "it/restart.rs"]
mod restart;
#[path = "it/secrets.rs"]
mod secrets;
#[path = "it/server.rs"]
mod server;
#[path = "it/service_accounts.rs"]
mod service_accounts;
#[path = "it/shared.rs"]
mod shared;
#[path = "it/starts.rs"]
mod starts;
#[path = "it/stream.rs"]
mod stream;
#[path = "it/tables.rs"]
mod tables;
#[path = "it/tenants.rs"]
mod tenants;
#[path = "it/tls.rs"]
mod tls;
#[path = "it/track.rs"]
mod track;
#[path = "it/typed.rs"]
mod typed;
#[path = "it/typed_runtime.rs"]
mod typed_runtime;
#[path = "it/watches.rs"]
mod watches;
