//! The entries of `allow.hosts`: names, domains, addresses and networks, with a port or without. Does no I/O.
//! `capability/grant/special_addresses` has the rules for private and special addresses.
//!
//! This is not the type of `trace_headers.hosts`, [`TraceHost`](super::TraceHost): permissions need networks and a
//! wildcard, and are compared with a name or a resolved address. For trace headers only the host in a URL counts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use super::trace_host::parse_host_and_port;

/// One entry of `allow.hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AllowedHost {
    pattern: HostPattern,
    /// `None` stands for every port.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum HostPattern {
    /// Every name.
    Any,
    /// One name, in lower case and Punycode, without a final dot.
    Name(String),
    /// The names that end with this text, which starts with a dot: `.shop.example`.
    Below(String),
    /// A network. An address is a network of one address.
    Network(IpNet),
}

impl AllowedHost {
    /// Parses `shop.example`, `*.shop.example` for all names below it, `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`, or
    /// `*` for every public host. Each may have `:PORT` for that port alone; IPv6 then needs brackets.
    ///
    /// # Errors
    /// Returns a message without a subject, such as `is no host: …`, if the text is none of these, has the port 0, or
    /// has address bits beyond the prefix of a network.
    pub fn read(text: &str) -> Result<Self, String> {
        let (pattern, port) = match text.strip_prefix('*') {
            Some("") => (HostPattern::Any, None),
            Some(rest) if rest.starts_with(':') => (HostPattern::Any, Some(parse_port(&rest[1..]).ok_or(SHAPE)?)),
            _ if text.contains('/') => parse_network(text)?,
            _ => parse_host(text)?,
        };
        match port {
            Some(0) => Err("names the port 0, which nobody listens on".to_owned()),
            port => Ok(Self { pattern, port }),
        }
    }

    /// Returns an entry that covers one name or address alone, with this port or with every port.
    pub fn exact(host: url::Host, port: Option<u16>) -> Self {
        let pattern = match host {
            url::Host::Domain(name) => HostPattern::Name(name.strip_suffix('.').map(str::to_owned).unwrap_or(name)),
            url::Host::Ipv4(address) => HostPattern::Network(IpAddr::from(address).into()),
            url::Host::Ipv6(address) => HostPattern::Network(IpAddr::from(address).to_canonical().into()),
        };
        Self { pattern, port }
    }

    /// Returns the entry with another port; `None` stands for every port.
    #[must_use]
    pub fn with_port(self, port: Option<u16>) -> Self {
        Self { port, ..self }
    }

    /// Returns true if the entry covers this name and port: it is the name itself, `*.` and a domain above the name, or
    /// `*`. The address that the name resolves to does not matter.
    pub fn matches_name(&self, name: &str, port: u16) -> bool {
        let matches = match &self.pattern {
            HostPattern::Any => true,
            HostPattern::Name(known) => known == name,
            HostPattern::Below(domain) => name.len() > domain.len() && name.ends_with(domain),
            HostPattern::Network(_) => false,
        };
        matches && self.matches_port(port)
    }

    /// Returns true if the entry is this address, or a network that contains it, and covers this port.
    pub fn matches_addr(&self, address: IpAddr, port: u16) -> bool {
        matches!(&self.pattern, HostPattern::Network(network) if network.contains(&address)) && self.matches_port(port)
    }

    /// Returns the port of the entry; `None` if it covers every port.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns true if the entry is `*` and covers this port.
    pub fn is_wildcard(&self, port: u16) -> bool {
        self.pattern == HostPattern::Any && self.matches_port(port)
    }

    /// Returns true if the entry covers this name and port, and is the name itself or `*.` and a domain above it. `*`
    /// does not name a host.
    pub fn names(&self, name: &str, port: u16) -> bool {
        self.pattern != HostPattern::Any && self.matches_name(name, port)
    }

    /// Returns true if the entry is an address or a network, and covers this port.
    pub fn is_network(&self, port: u16) -> bool {
        matches!(self.pattern, HostPattern::Network(_)) && self.matches_port(port)
    }

    /// Returns true if the entry covers `127.0.0.1` or `::1` with this port.
    pub fn is_loopback(&self, port: u16) -> bool {
        [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]
            .iter()
            .any(|address| self.matches_addr(*address, port))
    }

    fn matches_port(&self, port: u16) -> bool {
        self.port.is_none_or(|only| only == port)
    }
}

const SHAPE: &str = "is no host: write a name such as `shop.example` or `*.shop.example`, an address or a network such \
                     as `10.0.0.0/8`, or `*`; with `:PORT` for that port alone";

fn parse_host(text: &str) -> Result<(HostPattern, Option<u16>), String> {
    let (below, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
    let (host, port) = parse_host_and_port(rest).ok_or(SHAPE)?;
    let pattern = match host {
        url::Host::Domain(name) if name.contains('*') => {
            return Err(format!("{SHAPE}; `*.` comes first or not at all"));
        }
        url::Host::Domain(name) if below => HostPattern::Below(format!(".{name}")),
        _ if below => return Err("is an address, and so has no hosts below it: leave out `*.`".to_owned()),
        host => AllowedHost::exact(host, None).pattern,
    };
    Ok((pattern, port))
}

/// Parses `10.0.0.0/8`, `10.0.0.0/8:5432`, `fd00::/8` or `[fd00::/8]:5432`.
fn parse_network(text: &str) -> Result<(HostPattern, Option<u16>), String> {
    let (text, port) = match text.rsplit_once(':') {
        // In an IPv6 network without a port, the last colon comes before the slash.
        Some((network, port)) if !port.contains('/') => (network, Some(parse_port(port).ok_or(SHAPE)?)),
        _ => (text, None),
    };
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let network: IpNet = bare.parse().map_err(|_| SHAPE)?;
    if network.trunc() != network {
        return Err(format!("has bits beyond its prefix: write `{}`, or the address by itself", network.trunc()));
    }
    Ok((HostPattern::Network(canonical(network)), port))
}

/// Returns an IPv4 network that is written as IPv6 (`::ffff:10.0.0.0/104`) as IPv4; any other network as it is.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED_PREFIX: u8 = 96;
    let IpNet::V6(mapped) = network else { return network };
    let prefix = mapped.prefix_len().checked_sub(MAPPED_PREFIX);
    let address = mapped.network().to_ipv4_mapped();
    let canonical = address.zip(prefix).and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok());
    canonical.map_or(network, IpNet::V4)
}

fn parse_port(port: &str) -> Option<u16> {
    let plain = port.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| port.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_name(entry: &str, name: &str, port: u16, expected: bool) {
        assert_eq!(
            AllowedHost::read(entry).unwrap().matches_name(name, port),
            expected,
            "{entry} covers {name}:{port}"
        );
    }

    #[track_caller]
    fn check_addr(entry: &str, address: &str, port: u16, expected: bool) {
        let address = address.parse().unwrap();
        assert_eq!(
            AllowedHost::read(entry).unwrap().matches_addr(address, port),
            expected,
            "{entry} covers {address}:{port}"
        );
    }

    #[test]
    fn names_and_domains_match_names() {
        check_name("shop.example", "shop.example", 1, true);
        check_name("SHOP.Example.", "shop.example", 1, true);
        check_name("b\u{fc}cher.example", "xn--bcher-kva.example", 1, true);
        check_name("shop.example", "api.shop.example", 1, false);
        check_name("shop.example:443", "shop.example", 443, true);
        check_name("shop.example:443", "shop.example", 80, false);
        check_name("*.shop.example", "api.shop.example", 1, true);
        check_name("*.shop.example", "a.b.shop.example", 1, true);
        check_name("*.shop.example", "shop.example", 1, false);
        check_name("*.shop.example", ".shop.example", 1, false);
        check_name("*.shop.example", "evilshop.example", 1, false);
        check_name("*.shop.example:25", "mx.shop.example", 25, true);
        check_name("*.shop.example:25", "mx.shop.example", 587, false);
        check_name("*", "shop.example", 1, true);
        check_name("*:443", "shop.example", 443, true);
        check_name("*:443", "shop.example", 80, false);
        check_name("10.0.0.0/8", "shop.example", 1, false);
    }

    #[test]
    fn addresses_and_networks_match_addresses() {
        check_addr("192.0.2.7", "192.0.2.7", 1, true);
        check_addr("192.0.2.7", "192.0.2.8", 1, false);
        check_addr("192.0.2.7:25", "192.0.2.7", 25, true);
        check_addr("192.0.2.7:25", "192.0.2.7", 26, false);
        check_addr("3221225991", "192.0.2.7", 1, true);
        check_addr("10.0.0.0/8", "10.255.0.1", 1, true);
        check_addr("10.0.0.0/8", "11.0.0.1", 1, false);
        check_addr("10.0.0.0/8:5432", "10.0.0.1", 5432, true);
        check_addr("10.0.0.0/8:5432", "10.0.0.1", 5433, false);
        check_addr("::1", "::1", 1, true);
        check_addr("[::1]:6379", "::1", 6379, true);
        check_addr("[::1]:6379", "::1", 6380, false);
        check_addr("fd00::/8", "fd12::1", 1, true);
        check_addr("[fd00::/8]:53", "fd12::1", 53, true);
        check_addr("[fd00::/8]:53", "fd12::1", 54, false);
        check_addr("fd00::/8", "fe80::1", 1, false);
        check_addr("::ffff:10.0.0.0/104", "10.1.2.3", 1, true);
        check_addr("::ffff:127.0.0.1", "127.0.0.1", 1, true);
        check_addr("*", "192.0.2.7", 1, false);
        check_addr("shop.example", "192.0.2.7", 1, false);
    }

    #[test]
    fn other_texts_are_errors() {
        let wrong =
            ["", "*.", "a*.example", "*.*.example", "https://shop.example", "shop.example/", "a@b", "a b", "**"];
        let numbers = ["*:", "*:x", "*:99999", "*:+1", "10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "/8", "::/129", "[::1"];
        let ports =
            ["10.0.0.0/8:", "10.0.0.0/8:x", "[fd00::]/8:53", "shop.example:65536", "fe80::1%eth0", "a/8", "a?b"];
        for text in wrong.into_iter().chain(numbers).chain(ports) {
            let error = AllowedHost::read(text).unwrap_err();
            assert!(error.starts_with("is no host: write a name such as `shop.example`"), "{text}: {error}");
        }
        let refused = |text| AllowedHost::read(text).unwrap_err();
        assert_eq!(refused("10.1.2.3/8"), "has bits beyond its prefix: write `10.0.0.0/8`, or the address by itself");
        assert_eq!(refused("shop.example:0"), "names the port 0, which nobody listens on");
        assert!(refused("*.127.0.0.1").starts_with("is an address"));
    }
}
