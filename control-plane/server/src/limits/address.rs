//! Whose address a request came from, as far as it can be believed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// The client's address: the socket's peer, unless that is a trusted proxy. Then the hops in `X-Forwarded-For` are gone
/// through from the right, and the first that is not trusted itself is the client. `lines` are the header's lines, the
/// last one first. What cannot be read ends the search at the hop that wrote it: left of it may stand anything.
pub(super) fn client<'a>(peer: IpAddr, lines: impl Iterator<Item = &'a str>, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    let mut hops = lines.flat_map(|line| line.rsplit(','));
    while is_trusted(&client) {
        match hops.next().and_then(hop) {
            Some(address) => client = address,
            None => return client,
        }
    }
    client
}

/// `192.0.2.1`, `2001:db8::1`, and either with a port, as some proxies write it.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse().ok().or_else(|| text.parse().ok().map(|hop: SocketAddr| hop.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// A network as a flag says it: `10.0.0.0/8`, or one address.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical())))
}

/// What counts as one client: an IPv4 address, or the /64 of an IPv6 one, which a single host has all of.
pub(crate) fn subnet(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::no_proxy("203.0.113.9", &[], "203.0.113.9")]
    #[case::who_is_not_trusted_may_say_what_it_likes("203.0.113.9", &["1.2.3.4"], "203.0.113.9")]
    #[case::a_proxy_that_says_nothing("10.0.0.1", &[], "10.0.0.1")]
    #[case::one_proxy("10.0.0.1", &["198.51.100.7"], "198.51.100.7")]
    #[case::what_a_client_made_up_stands_left("10.0.0.1", &["1.2.3.4, 198.51.100.7"], "198.51.100.7")]
    #[case::two_proxies("10.0.0.1", &["198.51.100.7, 10.0.0.2"], "198.51.100.7")]
    #[case::two_lines("10.0.0.1", &["1.2.3.4", "198.51.100.7,10.0.0.2"], "198.51.100.7")]
    #[case::only_proxies("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3")]
    #[case::nonsense_ends_at_who_wrote_it("10.0.0.1", &["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2")]
    #[case::an_empty_hop("10.0.0.1", &["198.51.100.7,"], "10.0.0.1")]
    #[case::with_a_port("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7")]
    #[case::version_6("10.0.0.1", &["2001:db8::7"], "2001:db8::7")]
    #[case::version_6_with_a_port("fd00::1", &["[2001:db8::7]:443"], "2001:db8::7")]
    #[case::version_4_in_version_6("::ffff:10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7")]
    fn the_client_is_the_first_hop_from_the_right_that_is_not_trusted(
        #[case] peer: &str,
        #[case] lines: &[&str],
        #[case] expected: &str,
    ) {
        let trusted = ["10.0.0.0/8", "fd00::1"].map(|text| network(text).unwrap());
        let found = client(peer.parse().unwrap(), lines.iter().rev().copied(), &trusted);
        assert_eq!(found, expected.parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_host_s_whole_version_6_network_is_one_client() {
        let of = |text: &str| subnet(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn a_network_is_a_range_or_one_address() {
        assert_eq!(network(" 172.16.0.0/12 ").unwrap().to_string(), "172.16.0.0/12");
        assert_eq!(network("192.0.2.1").unwrap().to_string(), "192.0.2.1/32");
        assert_eq!(network("proxy"), None);
        assert_eq!(network("10.0.0.0/33"), None);
    }
}
