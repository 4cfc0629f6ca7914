//! Who calls: put on every request by the gateway once it knows, and read by the verbs.

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
        let mut groups = vec!["system:authenticated".to_owned()];
        if let Some(account) = user.strip_prefix("system:serviceaccount:") {
            groups.push("system:serviceaccounts".to_owned());
            if let Some((namespace, _)) = account.split_once(':') {
                groups.push(format!("system:serviceaccounts:{namespace}"));
            }
        }
        Self { user: user.to_owned(), groups }
    }
}

/// The request's id, a request extension; it goes into the log line and the revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);
