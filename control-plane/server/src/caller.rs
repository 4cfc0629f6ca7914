//! Who calls: put on every request by the gateway once it knows, and read by the verbs.

use std::{net::IpAddr, sync::Arc};

use dropmate_api::roles::{self, Grant, Permit};

use crate::request_info::ResourceInfo;

/// An authenticated caller, a request extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// User name: `operator`, `ada@example.com`, `system:serviceaccount:dropmate-system:dispatch`.
    pub user: String,
    /// The user's or service account's uid; empty for static callers.
    pub uid: String,
    /// Groups the user is in: `system:authenticated`.
    pub groups: Vec<String>,
    /// Whether the user name is an e-mail address that is known to be the user's: then a Member with that address takes
    /// effect without an invitation.
    pub verified: bool,
    /// The session (`sid`) or token id that the caller came with; empty for static callers.
    pub session: String,
}

impl Caller {
    /// A caller by user name alone, in the groups that follow from it.
    pub fn named(user: &str) -> Self {
        Self { user: user.to_owned(), groups: roles::groups(user), ..Self::default() }
    }

    /// As logs say it: a person by the uid, whose address is nobody's business there.
    pub(crate) fn said(&self) -> &String {
        if self.user.contains('@') { &self.uid } else { &self.user }
    }
}

/// What the table of roles said to a request for a resource, a request extension.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    /// Everything that the caller holds.
    pub(crate) grants: Arc<[Grant]>,
    /// What was asked.
    pub(crate) info: ResourceInfo,
    /// The limits of the yes.
    pub(crate) permit: Permit,
}

/// The address a request came from, a request extension: set from the accepted socket, and then by the gateway to what a
/// trusted proxy says (`--trusted-proxies`). Absent in process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// The request's id, a request extension; it goes into the log line and the revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);
