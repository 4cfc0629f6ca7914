//! Calls to addresses that others have named: webhooks, SMS and mail servers of tenants, issuers, travel-time servers.
//!
//! A name is resolved once, what it resolves to is checked, and the address that was checked is the one connected to. No
//! redirects, no proxy. Private, link-local, shared and mapped ranges are refused unless the operator allows them.

#![warn(missing_docs)]

mod args;
mod client;
mod guard;
mod lookup;
mod ranges;
mod trust;

pub use args::{NotANetwork, OutboundArgs};
pub use client::{Answer, Call, CallError, Client, ClientError, Limits, UrlError, checked};
pub use guard::{Denied, Guard, Refusal};
pub use lookup::{Found, Lookup, Lookups, Resolver};
pub use ranges::{Special, special};
pub use trust::{Trust, TrustError};
