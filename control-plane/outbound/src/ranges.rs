//! Which addresses are no business of the outside: the special-purpose registries of IANA, and what clouds keep for
//! themselves.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// What an address is for, if it is not for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Special {
    /// No address at all; connects to this machine on many systems.
    Unspecified,
    /// This machine.
    Loopback,
    /// A network of one's own.
    Private,
    /// Between the customers of a provider (CGNAT).
    Shared,
    /// This wire.
    LinkLocal,
    /// Where clouds hand out credentials.
    Metadata,
    /// Many at once.
    Multicast,
    /// For documents.
    Documentation,
    /// For measuring.
    Benchmark,
    /// A wrapping of other addresses that nobody needs any more.
    Translation,
    /// Given to nobody.
    Reserved,
}

impl Special {
    /// Whether it is refused even where the operator has named the host: nobody names these on purpose.
    pub fn never_meant(self) -> bool {
        matches!(self, Self::Unspecified | Self::LinkLocal | Self::Metadata | Self::Multicast | Self::Reserved)
    }
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::Shared => "an address shared by a provider's customers",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud's own service",
            Self::Multicast => "a multicast address",
            Self::Documentation => "an address for documentation",
            Self::Benchmark => "an address for benchmarks",
            Self::Translation => "an address of a translation mechanism",
            Self::Reserved => "a reserved address",
        })
    }
}

/// Services of clouds on addresses that would pass otherwise, or that would be merely private: Azure, Alibaba, Oracle.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];

/// Amazon, Google.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// What an address is for; `None`: it is a public one.
pub fn special(address: IpAddr) -> Option<Special> {
    match address {
        IpAddr::V4(address) => of_v4(address),
        IpAddr::V6(address) => of_v6(address),
    }
}

/// The IPv4 address that is connected to by way of an IPv6 one.
pub(crate) fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [first, after, third, .., last_but_one, last] = address.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    if let Some(mapped) = address.to_ipv4_mapped() {
        return Some(mapped);
    }
    // NAT64, by which public hosts are reached where there is no IPv4.
    if address.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return Some(of(last_but_one, last));
    }
    // 6to4.
    (first == 0x2002).then(|| of(after, third))
}

fn of_v4(address: Ipv4Addr) -> Option<Special> {
    let [a, b, c, _] = address.octets();
    if METADATA_V4.contains(&address) {
        return Some(Special::Metadata);
    }
    match (a, b, c) {
        (0, ..) => Some(Special::Unspecified),
        (127, ..) => Some(Special::Loopback),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Some(Special::Private),
        (100, 64..=127, _) => Some(Special::Shared),
        (169, 254, _) => Some(Special::LinkLocal),
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => Some(Special::Documentation),
        (198, 18..=19, _) => Some(Special::Benchmark),
        (192, 88, 99) => Some(Special::Translation),
        (224..=239, ..) => Some(Special::Multicast),
        (192, 0, 0) | (240.., ..) => Some(Special::Reserved),
        _ => None,
    }
}

fn of_v6(address: Ipv6Addr) -> Option<Special> {
    if let Some(inner) = carried(address) {
        return of_v4(inner);
    }
    if METADATA_V6.contains(&address) {
        return Some(Special::Metadata);
    }
    if address.is_unspecified() {
        return Some(Special::Unspecified);
    }
    if address.is_loopback() {
        return Some(Special::Loopback);
    }
    let [a, b, ..] = address.segments();
    match (a, b) {
        (0xfc00..=0xfdff, _) => Some(Special::Private),
        // Site-local addresses are from before; some networks still have them.
        (0xfe80..=0xfeff, _) => Some(Special::LinkLocal),
        (0xff00.., _) => Some(Special::Multicast),
        (0x2001, 0xdb8) | (0x3fff, 0..=0xfff) => Some(Special::Documentation),
        (0x2001, 2) => Some(Special::Benchmark),
        // Teredo; IPv4-compatible and translated ones; NAT64 within a network.
        (0x2001, 0) | (0 | 0x64, _) => Some(Special::Translation),
        (0x2001, 1..=0x1ff) => Some(Special::Reserved),
        (0x2000..=0x3fff, _) => None,
        // Only an eighth of IPv6 is given out.
        _ => Some(Special::Reserved),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::unspecified(Special::Unspecified, &["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0"])]
    #[case::loopback(Special::Loopback, &["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"])]
    #[case::private(Special::Private, &[
        "10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "fc00::1", "fd12:3456::1",
        "::ffff:10.0.0.1", "::ffff:c0a8:1", "64:ff9b::a00:1", "2002:c0a8:101::1", "2002:a00:1::",
    ])]
    #[case::shared(Special::Shared, &["100.64.0.1", "100.127.255.255", "::ffff:100.64.0.1"])]
    #[case::link_local(Special::LinkLocal, &[
        "169.254.0.1", "169.254.169.254", "fe80::1", "febf::1", "fec0::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ])]
    #[case::metadata(Special::Metadata, &["168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254", "::ffff:168.63.129.16"])]
    #[case::multicast(Special::Multicast, &["224.0.0.1", "239.255.255.255", "ff02::1"])]
    #[case::documentation(Special::Documentation, &["192.0.2.1", "198.51.100.7", "203.0.113.255", "2001:db8::1", "3fff::1", "3fff:fff::1"])]
    #[case::benchmark(Special::Benchmark, &["198.18.0.1", "198.19.255.255", "2001:2::1"])]
    #[case::translation(Special::Translation, &["192.88.99.1", "::10.0.0.1", "::8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9b:1::1", "2001::1"])]
    #[case::reserved(Special::Reserved, &["192.0.0.1", "240.0.0.1", "255.255.255.255", "2001:10::1", "4000::1", "100::1", "5f00::1"])]
    fn what_is_not_for_everybody_is_known_in_every_wrapping(#[case] wanted: Special, #[case] addresses: &[&str]) {
        for address in addresses {
            assert_eq!(special(address.parse().unwrap()), Some(wanted), "{address}");
        }
    }

    #[test]
    fn public_addresses_are_public_to_the_last_bit_of_the_ranges_beside_them() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "3ffe::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert_eq!(special(address.parse().unwrap()), None, "{address}");
        }
    }
}
