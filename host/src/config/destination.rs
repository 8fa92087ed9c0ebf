//! The hosts that a kept secret may be sent to: the entries of `allow.secret_hosts`, and the hosts that settings name.
//! Does no I/O.
//!
//! A destination differs from [`AllowedHost`] by its scheme: a secret for `https://shop.example` is not sent to the
//! same host without TLS.

use std::net::IpAddr;

use url::{Host, Url};

use super::allowed_host::AllowedHost;
use super::trace_host::parse_host_and_port;

/// The protocol by which a secret is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP without TLS.
    Http,
    /// HTTP over TLS.
    Https,
    /// SSH.
    Ssh,
}

/// A host that a secret may be sent to, or several: all hosts below a domain, or all addresses of a network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// `None` stands for every protocol that is encrypted, and on loopback for HTTP too.
    protocol: Option<Protocol>,
    host: AllowedHost,
    /// True if without a port only the default port of the protocol is meant.
    only_default_ports: bool,
}

impl Destination {
    /// Parses an entry: `https://`, `http://` or `ssh://` and a host, or a host alone. The host is written as in
    /// `allow.hosts`. Without a port, `https://` and `http://` stand for the port of the scheme, the others for every
    /// port.
    ///
    /// # Errors
    /// Returns a message without a subject, such as `is no host: …`, if the text is none of these.
    pub fn read(text: &str) -> Result<Self, String> {
        let (protocol, rest) = match text.split_once("://") {
            Some((scheme, rest)) => {
                let protocol =
                    protocol(scheme).ok_or("is no host: before `://` there can be `https`, `http` or `ssh`")?;
                (Some(protocol), rest.strip_suffix('/').unwrap_or(rest))
            }
            None => (None, text),
        };
        let host = AllowedHost::read(rest)?;
        let default_port = protocol.and_then(Protocol::default_port);
        Ok(Self {
            protocol,
            host: if host.port().is_none() { host.with_port(default_port) } else { host },
            only_default_ports: false,
        })
    }

    /// Returns the destination that a setting names: the host of a URL, `host:port`, or a host alone, which then has
    /// the port `port_beside`, or else the default port of the protocol. Returns `None` for any other text.
    pub fn named_by(text: &str, port_beside: Option<u16>) -> Option<Self> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else {
            let (host, port) = parse_host_and_port(text)?;
            // A number or a version, such as `1.1`, is an address only in a URL.
            let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
            let bare = text.rsplit_once(':').map_or(text, |(host, _)| host);
            if matches!(host, Host::Ipv4(_)) && !is_address(text) && !is_address(bare) {
                return None;
            }
            return Self::exact(None, host, port.or(port_beside)).map(|it| Self { only_default_ports: true, ..it });
        };
        let protocol = protocol(&scheme.to_ascii_lowercase());
        if let Some(Protocol::Http | Protocol::Https) = protocol
            && let Ok(url) = Url::parse(text)
        {
            return Self::exact(protocol, url.host()?.to_owned(), url.port_or_known_default());
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // A template fills in the port. In `http://user:{password}@host/` the placeholder stands for a password.
        if let Some((host, _)) = authority.split_once(":{").filter(|_| !authority.contains('@')) {
            return Self::exact(protocol, parse_host_and_port(host)?.0, None);
        }
        let (host, port) = parse_host_and_port(authority.rsplit('@').next().unwrap_or_default())?;
        Self::exact(protocol, host, port)
    }

    fn exact(protocol: Option<Protocol>, host: Host, port: Option<u16>) -> Option<Self> {
        // The placeholder of a template names no host.
        let is_template = matches!(&host, Host::Domain(name) if name.contains('{'));
        (!is_template).then(|| Self { protocol, host: AllowedHost::exact(host, port), only_default_ports: false })
    }

    /// Returns true if a secret for this destination may be sent to a host and port by a protocol.
    pub fn matches(&self, protocol: Protocol, host: &Host, port: u16) -> bool {
        let is_protocol = match self.protocol {
            Some(only) => only == protocol,
            None => protocol != Protocol::Http || is_loopback(host),
        };
        let is_host = match host {
            Host::Domain(name) => self.host.matches_name(name.strip_suffix('.').unwrap_or(name), port),
            Host::Ipv4(address) => self.host.matches_addr((*address).into(), port) || self.host.is_wildcard(port),
            Host::Ipv6(address) => {
                self.host.matches_addr(IpAddr::from(*address).to_canonical(), port) || self.host.is_wildcard(port)
            }
        };
        let is_port = !self.only_default_ports || self.host.port().is_some() || port == protocol.well_known_port();
        is_protocol && is_host && is_port
    }
}

impl Protocol {
    /// Returns the scheme of URLs of this protocol.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ssh => "ssh",
        }
    }

    /// Returns the port of a URL without a port. `None` for SSH, whose entries stand for every port.
    pub fn default_port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Ssh => None,
        }
    }

    /// Returns the port on which servers of this protocol listen unless configured otherwise.
    fn well_known_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Ssh => 22,
        }
    }
}

fn protocol(scheme: &str) -> Option<Protocol> {
    [Protocol::Http, Protocol::Https, Protocol::Ssh].into_iter().find(|protocol| protocol.scheme() == scheme)
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => IpAddr::from(*address).to_canonical().is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(destination: &Destination, url: &str) -> bool {
        let parsed = Url::parse(&url.replacen("ssh:", "http:", 1)).expect("the test's URL is valid");
        let protocol = protocol(url.split(':').next().unwrap()).expect("the test's scheme is known");
        let port = parsed.port_or_known_default().expect("a URL has a port");
        destination.matches(protocol, &parsed.host().expect("a URL has a host").to_owned(), port)
    }

    #[track_caller]
    fn check_named(text: &str, port: Option<u16>, url: &str, expected: bool) {
        let named = Destination::named_by(text, port);
        assert_eq!(named.is_some_and(|named| matches(&named, url)), expected, "{text} names {url}");
    }

    #[test]
    fn a_url_names_its_scheme_host_and_port() {
        check_named("https://shop.example/a", None, "https://shop.example/b", true);
        check_named("https://shop.example/a", None, "http://shop.example/a", false);
        check_named("https://shop.example/a", None, "http://shop.example:443/a", false);
        check_named("https://shop.example/a", None, "https://shop.example:8443/a", false);
        check_named("https://shop.example/a", None, "https://shop.example.evil.example/", false);
        check_named("https://shop.example@evil.example/", None, "https://shop.example/", false);
        check_named("http://127.0.0.1:81/", None, "http://127.0.0.1:81/", true);
        check_named("http://127.0.0.1:81/", None, "http://127.0.0.1:82/", false);
        check_named("http://127.0.0.1:81/", None, "http://0x7f.1:81/", true);
        check_named("http://[::ffff:127.0.0.1]:81/", None, "http://127.0.0.1:81/", true);
        check_named("HTTPS://Shop.Example./", None, "https://shop.example/", true);
        check_named("http://127.0.0.1:{port}/", None, "http://127.0.0.1:82/", true);
        check_named("https://{host}/", None, "https://host/", false);
        check_named("https://u:{password}@h.example/", None, "https://u/", false);
        check_named("ssh://h.example:23", None, "ssh://h.example:23", true);
        check_named("redis://u:p@h.example:6379/0", None, "https://h.example:6379", true);
    }

    #[test]
    fn a_host_without_a_scheme_names_encrypted_protocols() {
        check_named("shop.example", None, "https://shop.example/", true);
        check_named("shop.example", None, "https://shop.example:8443/", false);
        check_named("shop.example", None, "ssh://shop.example:22", true);
        check_named("shop.example", None, "ssh://shop.example:2222", false);
        check_named("shop.example:2222", None, "ssh://shop.example:2222", true);
        check_named("127.0.0.1", None, "http://127.0.0.1/", true);
        check_named("127.0.0.1", None, "http://127.0.0.1:81/", false);
        check_named("shop.example", None, "http://shop.example/", false);
        check_named("shop.example:8443", None, "https://shop.example/", false);
        check_named("shop.example", Some(2222), "ssh://shop.example:2222", true);
        check_named("shop.example", Some(2222), "ssh://shop.example:2223", false);
        check_named("127.0.0.1:81", None, "http://127.0.0.1:81/", true);
        check_named("localhost", Some(81), "http://localhost:81/", true);
        check_named("1.1", None, "https://1.0.0.1/", false);
        check_named("200", None, "https://0.0.0.200/", false);
        check_named("text/html", None, "https://text/", false);
    }

    #[test]
    fn entries_are_hosts_with_a_scheme_or_without() {
        let check = |entry: &str, url: &str, expected: bool| {
            assert_eq!(matches(&Destination::read(entry).unwrap(), url), expected, "{entry} covers {url}");
        };
        check("https://shop.example", "https://shop.example/", true);
        check("https://shop.example/", "https://shop.example/", true);
        check("https://shop.example", "https://shop.example:8443/", false);
        check("https://*.shop.example:8443", "https://a.shop.example:8443/", true);
        check("http://10.0.0.0/8", "http://10.1.2.3/", true);
        check("http://10.0.0.0/8", "http://10.1.2.3:81/", false);
        check("ssh://db.example", "ssh://db.example:2222/", true);
        check("db.example", "http://db.example/", false);
        check("*", "https://192.0.2.7:8443/", true);
        for wrong in ["ftp://shop.example", "https://shop.example/path", "", "https://", "shop.example:0"] {
            Destination::read(wrong).expect_err(wrong);
        }
    }
}
