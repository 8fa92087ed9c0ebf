//! The hosts that get trace headers: the entries of `trace_headers.hosts`, and the hosts that the settings of a probe
//! name. Does no I/O.
//!
//! This is not the type of `allow.hosts`, [`AllowedHost`](super::AllowedHost), whose file says why there are two.

use std::net::Ipv6Addr;

use url::Url;

/// A host, or all hosts below a domain, with a port or without.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraceHost {
    name: Name,
    /// `None` stands for every port.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Name {
    Is(url::Host),
    /// The names that end with this text, which starts with a dot.
    Below(String),
}

impl TraceHost {
    /// Parses `shop.example`, `shop.example:8443`, `[::1]`, or `*.shop.example` for all hosts below it.
    ///
    /// # Errors
    /// Returns a message without a subject, such as `is no host: …`, if the text is none of these.
    pub fn read(text: &str) -> Result<Self, String> {
        let (below, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let shape = "is no host: write a name such as `shop.example`, with `:PORT` for that port alone";
        let (name, port) = parse_host_and_port(rest).ok_or(shape)?;
        let name = match name {
            url::Host::Domain(name) if name.contains('*') => {
                return Err(format!("{shape}; `*.` comes first or not at all"));
            }
            url::Host::Domain(name) if below => Name::Below(format!(".{name}")),
            _ if below => return Err("is an address, and so has no hosts below it: leave out `*.`".to_owned()),
            name => Name::Is(name),
        };
        Ok(Self { name, port })
    }

    /// Returns the hosts that a setting names: the host of a URL, `host:port`, or a host alone. Returns an empty list
    /// for any other text.
    pub fn named_by(text: &str) -> Vec<Self> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        match url.as_ref().and_then(|url| Some((name(url)?, url.port()))) {
            Some((name, Some(port))) => vec![Self { name: Name::Is(name), port: Some(port) }],
            // Without a port, the ports of both schemes: a site that moves from `http` to `https` is the same host.
            Some((name, None)) => [80, 443].map(|port| Self { name: Name::Is(name.clone()), port: Some(port) }).into(),
            None => {
                // A chain fills in the port of `http://shop.example:{port}/`. In
                // `http://user:{password}@shop.example/`, the placeholder stands for a password, and `user` is no host.
                let cut = text.split_once(":{").filter(|_| !text.contains('@')).map(|(before, _)| before);
                let bare = match cut.map(Url::parse) {
                    Some(Ok(url)) if matches!(url.scheme(), "http" | "https") => name(&url).map(|name| (name, None)),
                    _ => parse_host_and_port(text),
                };
                bare.into_iter().map(|(name, port)| Self { name: Name::Is(name), port }).collect()
            }
        }
    }

    /// Returns the host's name or address, without brackets and without a final dot. `None` if it is all hosts below a
    /// domain.
    pub fn exact_name(&self) -> Option<String> {
        match &self.name {
            Name::Is(url::Host::Domain(name)) => Some(name.clone()),
            Name::Is(url::Host::Ipv4(address)) => Some(address.to_string()),
            Name::Is(url::Host::Ipv6(address)) => Some(address.to_string()),
            Name::Below(_) => None,
        }
    }

    /// Returns true if the URL leads to this host, or to a host below this domain, and has the port.
    pub fn matches(&self, url: &Url) -> bool {
        let Some(name) = name(url) else { return false };
        let matches = match (&self.name, &name) {
            (Name::Is(known), name) => known == name,
            (Name::Below(domain), url::Host::Domain(name)) => name.len() > domain.len() && name.ends_with(domain),
            (Name::Below(_), _) => false,
        };
        matches && self.port.is_none_or(|port| Some(port) == url.port_or_known_default())
    }
}

/// Returns a URL's host in its canonical form: a name in lower case and Punycode, without a final dot.
fn name(url: &Url) -> Option<url::Host> {
    match url.host()?.to_owned() {
        url::Host::Domain(name) => match name.strip_suffix('.').unwrap_or(&name) {
            "" => None,
            name => Some(url::Host::Domain(name.to_owned())),
        },
        address => Some(address),
    }
}

/// Parses a host, with a port or without. Returns `None` for anything else.
pub fn parse_host_and_port(text: &str) -> Option<(url::Host, Option<u16>)> {
    /// The maximal length, greater than that of the longest DNS name with a port.
    const MAX_BYTES: usize = 300;
    // These characters have another meaning in a URL, or are ignored there.
    if text.len() > MAX_BYTES || text.contains(|c: char| c.is_whitespace() || c.is_control() || "/\\@?#".contains(c)) {
        return None;
    }
    let address = text.parse::<Ipv6Addr>().map(|address| format!("[{address}]"));
    let text = address.as_deref().unwrap_or(text);
    let [http, https] = ["http", "https"].map(|scheme| Url::parse(&format!("{scheme}://{text}/")).ok());
    let (http, https) = (http?, https?);
    // `Url` drops the default port of its scheme, so that an `http` URL loses `:80`. The `https` URL keeps it.
    Some((name(&http)?, http.port().or(https.port())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, url: &str, expected: bool) {
        let host = TraceHost::read(host).unwrap();
        assert_eq!(host.matches(&url.parse().unwrap()), expected, "{url} is one of {host:?}");
    }

    #[test]
    fn one_host_has_many_spellings() {
        check("Shop.Example", "https://shop.example/", true);
        check("shop.example.", "https://shop.example/", true);
        check("shop.example", "https://shop.example./", true);
        check("shop.example", "https://user:password@shop.example:8443/", true);
        check("bücher.example", "https://xn--bcher-kva.example/", true);
        check("xn--bcher-kva.example", "https://B\u{dc}CHER.example/", true);
        check("shop.example", "https://shop%2Eexample/", true);
        check("127.0.0.1", "http://2130706433/", true);
        check("::1", "http://[0::1]/", true);
        check("[::1]:80", "http://[::1]/", true);
        check("::ffff:127.0.0.1", "http://127.0.0.1/", false);
    }

    #[test]
    fn a_port_is_that_port_alone() {
        check("shop.example:443", "https://shop.example/", true);
        check("shop.example:443", "http://shop.example/", false);
        check("shop.example:80", "http://shop.example/", true);
        check("shop.example:80", "http://shop.example:81/", false);
        check("*.shop.example:8443", "https://a.shop.example:8443/", true);
        check("*.shop.example:8443", "https://a.shop.example/", false);
    }

    #[test]
    fn a_domain_matches_all_hosts_below_it() {
        check("*.shop.example", "https://a.shop.example/", true);
        check("*.shop.example", "https://a.b.shop.example./", true);
        check("*.shop.example", "https://shop.example/", false);
        check("*.shop.example", "https://.shop.example/", false);
        check("*.shop.example", "https://ashop.example/", false);
        check("*.SHOP.example.", "https://A.shop.example/", true);
        check("*.bücher.example", "https://a.xn--bcher-kva.example/", true);
    }

    #[test]
    fn other_texts_are_errors() {
        let wrong = ["", "*", "*.", "a*.example", "*.*.example", "https://shop.example", "shop.example/", "a@b", "a b"];
        for text in wrong.into_iter().chain(["shop.example:0x50", "shop.example:65536", "[::1", "a?b", "a#b", "a\\b"]) {
            let error = TraceHost::read(text).unwrap_err();
            assert!(error.starts_with("is no host: write a name such as `shop.example`"), "{text}: {error}");
        }
        assert!(TraceHost::read("*.127.0.0.1").unwrap_err().starts_with("is an address"));
    }

    #[track_caller]
    fn check_named(text: &str, url: &str, expected: bool) {
        let url = url.parse().unwrap();
        assert_eq!(TraceHost::named_by(text).iter().any(|host| host.matches(&url)), expected, "{text} names {url}");
    }

    #[test]
    fn settings_name_hosts() {
        check_named("https://shop.example/a?b#c", "https://shop.example/", true);
        check_named("HTTP://shop.example", "https://shop.example/", true);
        check_named("https://shop.example/{path}", "https://shop.example/", true);
        check_named("https://user:{password}@shop.example/", "https://shop.example/", true);
        check_named("https://user:{password}@{host}/", "https://user/", false);
        check_named("https://shop.example:{port}/", "https://shop.example:8443/", true);
        check_named("shop.example:{port}", "https://shop.example:8443/", false);
        check_named("https://{host}/", "https://host/", false);
        check_named("https://{shop}.example/", "https://eu.example/", false);
        check_named("ftp://shop.example/", "https://shop.example/", false);
        check_named("https://shop.example@evil.example/", "https://shop.example/", false);
        check_named("shop.example", "https://shop.example:8443/", true);
        check_named("shop.example:8443", "https://shop.example:8443/", true);
        check_named("shop.example:8443", "https://shop.example/", false);
        check_named("localhost", "http://localhost:8080/", true);
        check_named("::1", "http://[::1]:8080/", true);
        check_named("see shop.example", "https://shop.example/", false);
        check_named("shop.example/", "https://shop.example/", false);
        check_named("me@shop.example", "https://shop.example/", false);
        check_named("shop.\nexample", "https://shop.example/", false);
        check_named("", "https://shop.example/", false);
    }
}
