//! Who may be connected to.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

use crate::{
    lookup::{Lookup, Resolver},
    ranges::{Special, carried, special},
};

/// How long a name may take to be resolved.
const RESOLVE_WITHIN: Duration = Duration::from_secs(5);

/// Addresses of one name that are looked at: a name with more is broken or hostile.
const ADDRESSES_MAX: usize = 64;

/// Says which addresses may be connected to. Clones are cheap.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allowed: Arc<[IpNet]>,
    named: Arc<BTreeSet<String>>,
    resolver: Resolver,
}

/// An address that may not be connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} is {special} ({address}), which the operator has not allowed (--allow-outbound)")]
pub struct Refusal {
    /// As it was asked for.
    pub host: String,
    /// What it is.
    pub address: IpAddr,
    /// What that is for.
    pub special: Special,
}

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// To nowhere it may be followed to.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It cannot be resolved at the moment.
    #[error("{0} cannot be resolved")]
    Unresolved(String, #[source] std::io::Error),
    /// Nothing has that name.
    #[error("{0} has no address")]
    Nothing(String),
}

impl Guard {
    /// That lets through what is public and, besides, these networks.
    pub fn new(allowed: impl IntoIterator<Item = IpNet>) -> Self {
        Self { allowed: allowed.into_iter().collect(), ..Self::default() }
    }

    /// The same, but this host, which the operator has named, may be private or this machine. What nobody means
    /// (link-local, the metadata of clouds, multicast) stays refused, so that a name that is taken over leads to no
    /// credentials.
    #[must_use]
    pub fn naming(&self, host: &str) -> Self {
        let mut named = (*self.named).clone();
        named.insert(plain(host));
        Self { named: Arc::new(named), ..self.clone() }
    }

    /// The same with another way to resolve names.
    #[must_use]
    pub fn resolving(&self, lookup: Arc<dyn Lookup>) -> Self {
        Self { resolver: Resolver::new(lookup), ..self.clone() }
    }

    /// Whether everybody may be sent there.
    pub fn permits(&self, address: IpAddr) -> bool {
        special(address).is_none() || self.allows(address)
    }

    /// Whether a host that turned out to be at an address may be connected to.
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        let Some(special) = special(address).filter(|_| !self.allows(address)) else { return Ok(()) };
        if !special.never_meant() && self.named.contains(&plain(host)) {
            return Ok(());
        }
        Err(Refusal { host: host.to_owned(), address, special })
    }

    /// The addresses of a host that may be connected to: at least one. Connect to these and resolve nothing again.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Denied> {
        // A literal needs no asking, in whichever form it is written.
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            self.check(host, address)?;
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let failed = |error| Denied::Unresolved(host.to_owned(), error);
        let found = tokio::time::timeout(RESOLVE_WITHIN, self.resolver.addresses(host)).await;
        let found = found.map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
        let (mut permitted, mut refusal) = (Vec::new(), None);
        for address in found.into_iter().take(ADDRESSES_MAX) {
            match self.check(host, address) {
                Ok(()) => permitted.push(SocketAddr::new(address, port)),
                Err(refused) => refusal = Some(refused),
            }
        }
        match refusal {
            _ if !permitted.is_empty() => Ok(permitted),
            Some(refusal) => Err(refusal.into()),
            None => Err(Denied::Nothing(host.to_owned())),
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        let inner = match address {
            IpAddr::V6(address) => carried(address).map(IpAddr::V4),
            IpAddr::V4(_) => None,
        };
        [Some(address), inner]
            .into_iter()
            .flatten()
            .any(|address| self.allowed.iter().any(|net| net.contains(&address)))
    }
}

/// A host as it is compared: names know no case, and may end with a dot.
fn plain(host: &str) -> String {
    host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lookups;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_the_operator_allows_is_let_through_in_every_wrapping_and_nothing_else() {
        let guard = Guard::new(["10.1.0.0/16".parse().unwrap(), "fd12::/16".parse().unwrap()]);
        for allowed in ["8.8.8.8", "10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd12::1"] {
            assert!(guard.permits(address(allowed)), "{allowed}");
        }
        for refused in ["10.2.0.1", "127.0.0.1", "::ffff:10.2.0.1", "fd13::1", "169.254.169.254", "::1"] {
            assert!(!guard.permits(address(refused)), "{refused}");
        }
    }

    #[test]
    fn a_host_that_the_operator_names_may_be_private_but_never_the_metadata_of_a_cloud() {
        let guard = Guard::default().naming("OSRM.internal.");
        for private in ["10.0.0.7", "127.0.0.1", "::1", "fd00::7", "100.64.0.1"] {
            assert_eq!(guard.check("osrm.internal", address(private)), Ok(()), "{private}");
            assert!(guard.check("osrm.internal.evil.example", address(private)).is_err(), "{private}");
        }
        for never in
            ["169.254.169.254", "fe80::1", "fd00:ec2::254", "168.63.129.16", "100.100.100.200", "0.0.0.0", "224.0.0.1"]
        {
            assert!(guard.check("osrm.internal", address(never)).is_err(), "{never}");
        }
        let asked_for = Guard::new(["169.254.0.0/16".parse().unwrap()]);
        assert_eq!(asked_for.check("x", address("169.254.169.254")), Ok(()), "whoever allows it has it");
    }

    #[tokio::test]
    async fn of_several_addresses_only_the_public_ones_are_connected_to() {
        let lookups = Lookups::default();
        lookups.set("mixed.example", &[&["10.0.0.1", "93.184.215.14", "::1"]]);
        lookups.set("inside.example", &[&["10.0.0.1", "fd00::1"]]);
        lookups.set("nothing.example", &[&[]]);
        let guard = Guard::default().resolving(Arc::new(lookups));
        let found = guard.resolve("mixed.example", 443).await.unwrap();
        assert_eq!(found, ["93.184.215.14:443".parse().unwrap()]);
        let refused = guard.resolve("inside.example", 443).await.unwrap_err();
        assert!(matches!(refused, Denied::Refused(Refusal { special: Special::Private, .. })), "{refused}");
        assert!(matches!(guard.resolve("nothing.example", 443).await, Err(Denied::Nothing(_))));
        assert!(matches!(guard.resolve("unknown.example", 443).await, Err(Denied::Unresolved(..))));
        for literal in ["127.0.0.1", "[::1]", "::ffff:10.0.0.1"] {
            assert!(matches!(guard.resolve(literal, 80).await, Err(Denied::Refused(_))), "{literal}");
        }
    }
}
