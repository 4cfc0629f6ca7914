//! Who calls: put on every request by the gateway once it knows, and read by the verbs.

use dropmate_api::roles;

/// An authenticated caller, a request extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User name: `operator`, `system:serviceaccount:dropmate-system:dispatch`.
    pub user: String,
    /// Groups the user is in: `system:authenticated`.
    pub groups: Vec<String>,
}

impl Caller {
    /// A caller by user name alone, in the groups that follow from it.
    pub fn named(user: &str) -> Self {
        Self { user: user.to_owned(), groups: roles::groups(user) }
    }
}

/// The request's id, a request extension; it goes into the log line and the revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);
