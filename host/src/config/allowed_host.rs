//! Where a component may connect to, as `allow` writes it: names, domains, addresses, networks, with a port or without.
//! Pure; knows no key, and not what an address is good for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use super::trace_host::bare;

/// One entry of a list of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AllowedHost {
    whom: HostPattern,
    /// None is any.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum HostPattern {
    /// Everyone in public.
    Any,
    /// In lower case and in the letters of DNS, without a final dot.
    Name(String),
    /// All names that end so: `.shop.example`.
    Below(String),
    /// An address is the network of itself alone.
    Network(IpNet),
}

impl AllowedHost {
    /// Reads `shop.example`, `*.shop.example` for all below it, `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`, or `*` for
    /// everyone in public; each with `:PORT` for that port alone, IPv6 then in brackets.
    ///
    /// # Errors
    /// When it is none of them; how a sentence about it goes on.
    pub fn read(text: &str) -> Result<Self, String> {
        let (whom, port) = match text.strip_prefix('*') {
            Some("") => (HostPattern::Any, None),
            Some(rest) if rest.starts_with(':') => (HostPattern::Any, Some(digits(&rest[1..]).ok_or(SHAPE)?)),
            _ if text.contains('/') => network(text)?,
            _ => host(text)?,
        };
        match port {
            Some(0) => Err("names the port 0, which nobody listens on".to_owned()),
            port => Ok(Self { whom, port }),
        }
    }

    /// Whether it names this name, with whatever address: by itself, by a domain above it, or with everyone.
    pub fn matches_name(&self, name: &str, port: u16) -> bool {
        let named = match &self.whom {
            HostPattern::Any => true,
            HostPattern::Name(known) => known == name,
            HostPattern::Below(domain) => name.len() > domain.len() && name.ends_with(domain),
            HostPattern::Network(_) => false,
        };
        named && self.at(port)
    }

    /// Whether it names this address: by itself or by a network around it.
    pub fn matches_addr(&self, address: IpAddr, port: u16) -> bool {
        matches!(&self.whom, HostPattern::Network(network) if network.contains(&address)) && self.at(port)
    }

    /// The one port that it names.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether it names everyone.
    pub fn is_wildcard(&self, port: u16) -> bool {
        self.whom == HostPattern::Any && self.at(port)
    }

    /// Whether it names addresses.
    pub fn is_network(&self, port: u16) -> bool {
        matches!(self.whom, HostPattern::Network(_)) && self.at(port)
    }

    /// Whether it names addresses of this machine's own.
    pub fn is_loopback(&self, port: u16) -> bool {
        [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]
            .iter()
            .any(|address| self.matches_addr(*address, port))
    }

    fn at(&self, port: u16) -> bool {
        self.port.is_none_or(|only| only == port)
    }
}

const SHAPE: &str = "is no host: write a name such as `shop.example` or `*.shop.example`, an address or a network such \
                     as `10.0.0.0/8`, or `*`; with `:PORT` for that port alone";

fn host(text: &str) -> Result<(HostPattern, Option<u16>), String> {
    let (below, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
    let (host, port) = bare(rest).ok_or(SHAPE)?;
    let whom = match host {
        url::Host::Domain(name) if name.contains('*') => {
            return Err(format!("{SHAPE}; `*.` comes first or not at all"));
        }
        url::Host::Domain(name) if below => HostPattern::Below(format!(".{name}")),
        _ if below => return Err("has nothing below it: an address is a host by itself".to_owned()),
        url::Host::Domain(name) => HostPattern::Name(name),
        url::Host::Ipv4(address) => HostPattern::Network(IpAddr::from(address).into()),
        url::Host::Ipv6(address) => HostPattern::Network(IpAddr::from(address).to_canonical().into()),
    };
    Ok((whom, port))
}

/// `10.0.0.0/8`, `10.0.0.0/8:5432`, `fd00::/8`, `[fd00::/8]:5432`.
fn network(text: &str) -> Result<(HostPattern, Option<u16>), String> {
    let (text, port) = match text.rsplit_once(':') {
        // The last colon of an IPv6 network by itself stands before its slash.
        Some((network, port)) if !port.contains('/') => (network, Some(digits(port).ok_or(SHAPE)?)),
        _ => (text, None),
    };
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let network: IpNet = bare.parse().map_err(|_| SHAPE)?;
    if network.trunc() != network {
        return Err(format!("has bits beyond its prefix: write `{}`, or the address by itself", network.trunc()));
    }
    Ok((HostPattern::Network(canonical(network)), port))
}

/// A network of IPv4 in the form of IPv6, as the one that it is.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let IpNet::V6(mapped) = network else { return network };
    let prefix = mapped.prefix_len().checked_sub(MAPPED);
    let address = mapped.network().to_ipv4_mapped();
    let canonical = address.zip(prefix).and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok());
    canonical.map_or(network, IpNet::V4)
}

fn digits(port: &str) -> Option<u16> {
    let plain = port.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| port.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn names(reach: &str, name: &str, port: u16, expected: bool) {
        assert_eq!(AllowedHost::read(reach).unwrap().matches_name(name, port), expected, "{reach} names {name}:{port}");
    }

    #[track_caller]
    fn holds(reach: &str, address: &str, port: u16, expected: bool) {
        let address = address.parse().unwrap();
        assert_eq!(
            AllowedHost::read(reach).unwrap().matches_addr(address, port),
            expected,
            "{reach} holds {address}:{port}"
        );
    }

    #[test]
    fn names_and_all_below_them() {
        names("shop.example", "shop.example", 1, true);
        names("SHOP.Example.", "shop.example", 1, true);
        names("b\u{fc}cher.example", "xn--bcher-kva.example", 1, true);
        names("shop.example", "api.shop.example", 1, false);
        names("shop.example:443", "shop.example", 443, true);
        names("shop.example:443", "shop.example", 80, false);
        names("*.shop.example", "api.shop.example", 1, true);
        names("*.shop.example", "a.b.shop.example", 1, true);
        names("*.shop.example", "shop.example", 1, false);
        names("*.shop.example", ".shop.example", 1, false);
        names("*.shop.example", "evilshop.example", 1, false);
        names("*.shop.example:25", "mx.shop.example", 25, true);
        names("*.shop.example:25", "mx.shop.example", 587, false);
        names("*", "shop.example", 1, true);
        names("*:443", "shop.example", 443, true);
        names("*:443", "shop.example", 80, false);
        names("10.0.0.0/8", "shop.example", 1, false);
    }

    #[test]
    fn addresses_and_networks() {
        holds("192.0.2.7", "192.0.2.7", 1, true);
        holds("192.0.2.7", "192.0.2.8", 1, false);
        holds("192.0.2.7:25", "192.0.2.7", 25, true);
        holds("192.0.2.7:25", "192.0.2.7", 26, false);
        holds("3221225991", "192.0.2.7", 1, true);
        holds("10.0.0.0/8", "10.255.0.1", 1, true);
        holds("10.0.0.0/8", "11.0.0.1", 1, false);
        holds("10.0.0.0/8:5432", "10.0.0.1", 5432, true);
        holds("10.0.0.0/8:5432", "10.0.0.1", 5433, false);
        holds("::1", "::1", 1, true);
        holds("[::1]:6379", "::1", 6379, true);
        holds("[::1]:6379", "::1", 6380, false);
        holds("fd00::/8", "fd12::1", 1, true);
        holds("[fd00::/8]:53", "fd12::1", 53, true);
        holds("[fd00::/8]:53", "fd12::1", 54, false);
        holds("fd00::/8", "fe80::1", 1, false);
        holds("::ffff:10.0.0.0/104", "10.1.2.3", 1, true);
        holds("::ffff:127.0.0.1", "127.0.0.1", 1, true);
        holds("*", "192.0.2.7", 1, false);
        holds("shop.example", "192.0.2.7", 1, false);
    }

    #[test]
    fn what_is_no_host() {
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
        assert!(refused("*.127.0.0.1").starts_with("has nothing below it"));
    }
}
