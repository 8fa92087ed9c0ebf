//! Addresses that are not public. Pure functions of the address.
//!
//! These are the addresses in IANA's registries of special-purpose addresses, and the addresses of the metadata
//! services of clouds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns the kind of a special address, such as `a private address`, or `None` for a public address. An IPv6 address
/// that maps or translates to an IPv4 address has the kind of the IPv4 address.
pub fn special_kind(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

/// Networks, each as its first address and the length of its prefix, and the kind of their addresses. The first network
/// that contains an address determines its kind.
const SPECIAL_V4_NETWORKS: &[(Ipv4Addr, u32, &str)] = &[
    (Ipv4Addr::new(169, 254, 169, 254), 32, METADATA),
    (Ipv4Addr::new(169, 254, 170, 2), 32, METADATA),
    (Ipv4Addr::new(100, 100, 100, 200), 32, METADATA),
    (Ipv4Addr::new(192, 0, 0, 192), 32, METADATA),
    // Azure's wire server, which lies among public addresses.
    (Ipv4Addr::new(168, 63, 129, 16), 32, METADATA),
    (Ipv4Addr::new(127, 0, 0, 0), 8, LOOPBACK),
    (Ipv4Addr::new(10, 0, 0, 0), 8, PRIVATE),
    (Ipv4Addr::new(172, 16, 0, 0), 12, PRIVATE),
    (Ipv4Addr::new(192, 168, 0, 0), 16, PRIVATE),
    (Ipv4Addr::new(100, 64, 0, 0), 10, PRIVATE),
    (Ipv4Addr::new(169, 254, 0, 0), 16, LINK_LOCAL),
    (Ipv4Addr::UNSPECIFIED, 8, UNSPECIFIED),
    (Ipv4Addr::new(192, 0, 0, 0), 24, RESERVED),
    (Ipv4Addr::new(192, 0, 2, 0), 24, RESERVED),
    (Ipv4Addr::new(192, 88, 99, 0), 24, RESERVED),
    (Ipv4Addr::new(198, 18, 0, 0), 15, RESERVED),
    (Ipv4Addr::new(198, 51, 100, 0), 24, RESERVED),
    (Ipv4Addr::new(203, 0, 113, 0), 24, RESERVED),
    (Ipv4Addr::new(224, 0, 0, 0), 4, MULTICAST),
    (Ipv4Addr::new(240, 0, 0, 0), 4, RESERVED),
];

const LOOPBACK: &str = "a loopback address";
const PRIVATE: &str = "a private address";
const LINK_LOCAL: &str = "a link-local address";
const METADATA: &str = "the address of a cloud's metadata";
const MULTICAST: &str = "a multicast address";
const RESERVED: &str = "a reserved address";
/// The kind of addresses such as `0.0.0.0`. Many kernels connect to this machine if the target is such an address.
const UNSPECIFIED: &str = "an unspecified address";

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let is_inside = |first: Ipv4Addr, prefix: u32| (address.to_bits() ^ first.to_bits()).leading_zeros() >= prefix;
    SPECIAL_V4_NETWORKS.iter().find(|(first, prefix, _)| is_inside(*first, *prefix)).map(|(.., kind)| *kind)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    let v4 = |high: u16, low: u16| special_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some(UNSPECIFIED),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(LOOPBACK),
        // The metadata services of AWS and Google.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254] => Some(METADATA),
        // Addresses that NAT64 and 6to4 translate to an IPv4 address.
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => v4(high, low),
        [0xfe80..=0xfebf, ..] => Some(LINK_LOCAL),
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] | [0x0064, 0xff9b, 1, ..] => Some(PRIVATE),
        [0xff00..=0xffff, ..] => Some(MULTICAST),
        // Protocol assignments, including Teredo, and documentation.
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Some(RESERVED),
        // Global unicast.
        [0x2000..=0x3fff, ..] => None,
        _ => Some(RESERVED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expected: Option<&str>, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(special_kind(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn public_addresses_have_no_kind() {
        check(None, &["1.1.1.1", "9.255.255.255", "11.0.0.0", "126.255.255.255", "128.0.0.0", "100.63.255.255"]);
        check(None, &["100.128.0.0", "169.253.0.1", "172.15.255.255", "172.32.0.0", "192.167.0.1", "192.169.0.0"]);
        check(None, &["168.63.129.15", "223.255.255.255", "198.17.255.255", "198.20.0.0", "192.0.1.0", "192.0.3.0"]);
        check(None, &["2606:4700::1111", "2000::", "2001:200::", "2001:4860:4860::8888", "3ffe::1", "::ffff:1.1.1.1"]);
        check(None, &["64:ff9b::1.1.1.1", "2002:101:101::1"]);
    }

    #[test]
    fn loopback_is_recognised_in_all_forms() {
        check(Some(LOOPBACK), &["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1"]);
        check(Some(LOOPBACK), &["64:ff9b::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:7f00:1:2:3:4:5:6"]);
    }

    #[test]
    fn private_networks_are_recognised_in_all_forms() {
        check(Some(PRIVATE), &["10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1"]);
        check(Some(PRIVATE), &["100.64.0.1", "100.127.255.255", "fc00::", "fd12:3456::1", "fdff::", "fec0::1"]);
        check(Some(PRIVATE), &["::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::1", "64:ff9b:1::1.1.1.1"]);
    }

    #[test]
    fn link_local_and_metadata_are_recognised_in_all_forms() {
        check(Some(LINK_LOCAL), &["169.254.0.1", "169.254.255.255", "fe80::1", "febf::1", "::ffff:169.254.1.1"]);
        check(Some(METADATA), &["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192"]);
        check(Some(METADATA), &["fd00:ec2::254", "fd20:ce::254", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254"]);
        check(Some(METADATA), &["2002:a9fe:a9fe::1", "::ffff:a9fe:a9fe"]);
    }

    #[test]
    fn unspecified_multicast_and_reserved_are_recognised() {
        check(Some(UNSPECIFIED), &["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0", "64:ff9b::"]);
        check(Some(MULTICAST), &["224.0.0.1", "239.255.255.255", "ff02::1", "::ffff:224.0.0.1"]);
        check(Some(RESERVED), &["192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.1"]);
        check(Some(RESERVED), &["203.0.113.1", "240.0.0.1", "255.255.255.255", "192.88.99.1"]);
        // IPv4-compatible addresses, Teredo, documentation, and unassigned networks.
        check(Some(RESERVED), &["::127.0.0.1", "::a00:1", "2001::1", "2001:1::1", "2001:1ff::", "2001:db8::1"]);
        check(Some(RESERVED), &["3fff::1", "4000::1", "5f00::1", "100::1", "64:ff9a::1", "fe00::1", "64:ff9b:2::1"]);
    }
}
