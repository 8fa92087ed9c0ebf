//! Names to addresses: by the system's resolver or a server that the operator names, timed, and narrowed to what the
//! request wants.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::capability::host_lookup;
use crate::capability::http::timing_hooks::HopTimings;
use crate::capability::net_errors::{lookup_error, lower_first};

/// A version of IP to insist on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// Where to connect instead of the URL's host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectTo {
    /// The URL's host, for which alone it holds.
    of: String,
    /// A name or an address.
    pub host: String,
    pub port: Option<u16>,
}

/// The resolver of one client.
#[derive(Clone)]
pub struct Resolver {
    family: Option<Family>,
    connect_to: Option<ConnectTo>,
    /// None for the system's.
    server: Option<(SocketAddr, TokioResolver)>,
}

/// A name that did not resolve, and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unresolved(String);

impl Family {
    pub fn holds(self, address: IpAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }

    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

impl ConnectTo {
    /// Reads `host`, `host:port` or `:port`; an IPv6 address with a port is in brackets.
    ///
    /// # Errors
    /// When it is none of them; a sentence for a person.
    pub fn parse(of: &str, text: &str) -> Result<Self, String> {
        let wrong = || format!("`{}` is no address: expected `host`, `host:port` or `:port`", text.escape_debug());
        let whole = text.parse::<Ipv6Addr>().is_ok();
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !whole && !port.ends_with(']') => (host, Some(port)),
            _ if text.is_empty() => return Err(wrong()),
            _ => (text, None),
        };
        let port = port.map(str::parse).transpose().map_err(|_| wrong())?;
        let host = if host.is_empty() { of } else { host };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        match bare.parse::<IpAddr>().is_ok() || (name(bare) && bare == host && !bare.is_empty()) {
            true if port != Some(0) => Ok(Self { of: of.to_owned(), host: bare.to_owned(), port }),
            _ => Err(wrong()),
        }
    }

    pub fn is_for(&self, host: &str) -> bool {
        self.of == host
    }
}

impl Resolver {
    /// # Errors
    /// When the server cannot be asked; a sentence for a person.
    pub fn new(
        family: Option<Family>,
        connect_to: Option<ConnectTo>,
        server: Option<SocketAddr>,
    ) -> Result<Self, String> {
        let server = server.map(|at| Ok::<_, String>((at, ask(at, family)?))).transpose()?;
        Ok(Self { family, connect_to, server })
    }

    /// Whose addresses are wanted, and the port where it is not the URL's.
    fn target<'a>(&'a self, name: &'a str) -> (&'a str, u16) {
        let redirect = self.connect_to.as_ref().filter(|to| to.is_for(name));
        redirect.map_or((name, 0), |to| (to.host.as_str(), to.port.unwrap_or(0)))
    }

    async fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, Unresolved> {
        let (name, port) = self.target(name);
        let found = match (&self.server, literal(name)) {
            (_, Some(address)) => vec![address],
            (Some((server, resolver)), None) => {
                let found = resolver.lookup_ip(name).await;
                found.map_err(|error| refused(name, *server, self.family, &error))?.iter().collect()
            }
            (None, None) => host_lookup::lookup(name).await.map_err(|error| Unresolved(lookup_error(name, &error)))?,
        };
        let wanted = found.iter().filter(|address| self.family.is_none_or(|family| family.holds(**address)));
        let wanted: Vec<_> = wanted.map(|address| SocketAddr::new(*address, port)).collect();
        match (wanted.is_empty(), self.family) {
            (true, Some(family)) => Err(Unresolved(format!("`{name}` has no {} address", family.name()))),
            (true, None) => Err(Unresolved(format!("`{name}` has no address"))),
            (false, _) => Ok(wanted),
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        let (target, _) = self.target(name.as_str());
        // An address comes here where it stands for a name, and from SOCKS.
        if literal(target).is_some() {
            return Box::pin(async move { Ok(Box::new(resolver.resolve(name.as_str()).await?.into_iter()) as Addrs) });
        }
        HopTimings::record(|times| {
            times.dns_started.get_or_insert_with(Instant::now);
            times.dns_ended = None;
            times.names.push(target.to_owned());
        });
        let target = target.to_owned();
        Box::pin(async move {
            let found = resolver.resolve(name.as_str()).await;
            let ended = Instant::now();
            let judged = match (found?, HopTimings::peer_filter()) {
                (found, None) => Ok(found),
                (found, Some(filter)) => filter.allowed(&target, found),
            };
            HopTimings::record(|times| match &judged {
                Ok(allowed) => {
                    times.dns_ended = Some(ended);
                    times.addresses = allowed.iter().map(SocketAddr::ip).collect();
                }
                Err(refusal) => times.refusal = Some(refusal.clone()),
            });
            Ok(Box::new(judged?.into_iter()) as Addrs)
        })
    }
}

/// A resolver that asks one server. It lives as long as a run: what it remembers is not old.
fn ask(server: SocketAddr, family: Option<Family>) -> Result<TokioResolver, String> {
    /// Within the request's own timeout, which is longer, a lost datagram may be asked for again.
    const PATIENCE: Duration = Duration::from_secs(2);
    let ports = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    let servers = vec![NameServerConfig::new(server.ip(), true, ports.into())];
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = PATIENCE;
    options.attempts = 3;
    options.use_hosts_file = ResolveHosts::Never;
    options.ip_strategy = match family {
        None => LookupIpStrategy::Ipv6AndIpv4,
        Some(Family::V4) => LookupIpStrategy::Ipv4Only,
        Some(Family::V6) => LookupIpStrategy::Ipv6Only,
    };
    builder.build().map_err(|error| format!("cannot ask the DNS server {server}: {error}"))
}

fn refused(name: &str, server: SocketAddr, family: Option<Family>, error: &NetError) -> Unresolved {
    let says = |why: &str| format!("`{name}` does not resolve, says the DNS server {server}: {why}");
    Unresolved(match error {
        error if error.is_nx_domain() => says("it knows no such name"),
        error if error.is_no_records_found() => match family {
            Some(family) => says(&format!("it has no {} address of that name", family.name())),
            None => says("it has no address of that name"),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => says(&lower_first(code.to_str())),
        NetError::Timeout => format!("`{name}` does not resolve: no answer from the DNS server {server}"),
        NetError::Io(error) => format!("`{name}` does not resolve: cannot ask the DNS server {server}: {error}"),
        error => format!("`{name}` does not resolve: asking the DNS server {server} failed: {error}"),
    })
}

/// An address, in brackets or not.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, Option<u16>)>) {
        let parsed = ConnectTo::parse("shop.example", text).ok();
        assert_eq!(parsed.as_ref().map(|to| (to.host.as_str(), to.port)), expected);
    }

    #[test]
    fn where_to_connect() {
        check("192.0.2.7", Some(("192.0.2.7", None)));
        check("192.0.2.7:8443", Some(("192.0.2.7", Some(8443))));
        check("2001:db8::7", Some(("2001:db8::7", None)));
        check("[2001:db8::7]", Some(("2001:db8::7", None)));
        check("[2001:db8::7]:8443", Some(("2001:db8::7", Some(8443))));
        check("backend-1.internal:80", Some(("backend-1.internal", Some(80))));
        check(":8443", Some(("shop.example", Some(8443))));
        for wrong in ["", ":", ":0", "h:", "h:x", "h:99999", "a b", "http://h/", "[h]:80", "h/path", "u@h"] {
            check(wrong, None);
        }
    }
}
