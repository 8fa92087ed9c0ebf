//! Resolution of names for requests: by the system's resolver or a DNS server of the operator's choice.

use std::error::Error;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::Name;
use hyper_util::client::legacy::connect::dns::Name as HostName;
use tower_service::Service;

use crate::capability::host_lookup::HostLookup;
use crate::capability::http::timing_hooks::HopTimings;
use crate::capability::net_errors::{lookup_error, lower_first};
use crate::capability::shortage::{current_shortage, shortage};
use crate::capability::text::quotable;
use crate::plain_error::plain_text;

/// The time limit for the answer to a query: the time that glibc waits in both of its attempts together. During this
/// time the query is sent again over UDP, and an answer to any of these datagrams is accepted.
const DNS_TIMEOUT: Duration = Duration::from_secs(10);
/// The number of times that a query without an answer is repeated, for [`DNS_TIMEOUT`] each. The query and its
/// repetition take 20 s at most, less than the default timeout of a request, 30 s.
const DNS_REPETITIONS: usize = 1;

/// A version of IP that a request requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IpVersion {
    V4,
    V6,
}

/// The host, the port, or both, to connect to instead of a URL's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConnectTo {
    /// The URL's host. Requests to other hosts, after a redirect, connect as usual.
    url_host: String,
    /// The name or address to connect to.
    pub host: String,
    /// `None` if the port is the URL's.
    pub port: Option<u16>,
}

/// The resolver of one client. It records in the current hop when a name is resolved, and to which addresses.
#[derive(Clone)]
pub struct Resolver {
    /// The system's resolver.
    system: HostLookup,
    ip_version: Option<IpVersion>,
    connect_to: Option<ConnectTo>,
    /// The DNS server to query. If it is `None`, the system's resolver is used.
    dns_server: Option<(SocketAddr, TokioResolver)>,
}

/// The error of a name that could not be resolved: a message for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ResolveError(String);

impl IpVersion {
    /// Returns the version of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Returns true if an address has this version.
    pub fn matches(self, address: IpAddr) -> bool {
        self == Self::of(address)
    }

    /// Returns `IPv4` or `IPv6`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

impl ConnectTo {
    /// Parses `host`, `host:port` or `:port` for requests to `url_host`. An IPv6 address with a port is in brackets.
    ///
    /// # Errors
    /// A message for a person if the text is none of these.
    pub fn parse(url_host: &str, text: &str) -> Result<Self, String> {
        let invalid = || format!("`{}` is no address: expected `host`, `host:port` or `:port`", quotable(text));
        let is_ipv6 = text.parse::<Ipv6Addr>().is_ok();
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !is_ipv6 && !port.ends_with(']') => (host, Some(port)),
            _ if text.is_empty() => return Err(invalid()),
            _ => (text, None),
        };
        let port = port.map(str::parse).transpose().map_err(|_| invalid())?;
        let host = if host.is_empty() { url_host } else { host };
        let unbracketed = host.trim_start_matches('[').trim_end_matches(']');
        let is_name = |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        let is_host = unbracketed.parse::<IpAddr>().is_ok()
            || (is_name(unbracketed) && unbracketed == host && !unbracketed.is_empty());
        if !is_host || port == Some(0) {
            return Err(invalid());
        }
        Ok(Self { url_host: url_host.to_owned(), host: unbracketed.to_owned(), port })
    }

    /// Returns true if requests to URLs with the host `host` connect to this address.
    pub fn applies_to(&self, host: &str) -> bool {
        self.url_host == host
    }
}

impl Resolver {
    /// Returns the resolver of a client with these options.
    ///
    /// # Errors
    /// A message for a person if no resolver can be built for the DNS server.
    pub fn new(
        system: HostLookup,
        ip_version: Option<IpVersion>,
        connect_to: Option<ConnectTo>,
        dns_server: Option<SocketAddr>,
    ) -> Result<Self, String> {
        let dns_server = match dns_server {
            Some(server) => Some((server, dns_resolver(server, ip_version)?)),
            None => None,
        };
        Ok(Self { system, ip_version, connect_to, dns_server })
    }

    /// Returns the name or address to connect to for a URL's host, and the port, where 0 stands for the URL's port.
    fn lookup_target<'a>(&'a self, host: &'a str) -> (&'a str, u16) {
        let connect_to = self.connect_to.as_ref().filter(|to| to.applies_to(host));
        connect_to.map_or((host, 0), |to| (to.host.as_str(), to.port.unwrap_or(0)))
    }

    /// Resolves a URL's host to addresses of the IP version that is required. Port 0 stands for the URL's port.
    async fn lookup(&self, host: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let (name, port) = self.lookup_target(host);
        let addresses = match (&self.dns_server, literal_address(name)) {
            (_, Some(address)) => vec![address],
            (Some((server, resolver)), None) => {
                let result = resolver.lookup_ip(dns_name(name)?).await.inspect_err(record_shortage);
                result.map_err(|error| dns_server_error(name, *server, self.ip_version, &error))?.iter().collect()
            }
            (None, None) => {
                let result = self.system.resolve(name).await.inspect_err(record_shortage);
                result.map_err(|error| ResolveError(lookup_error(name, &error)))?
            }
        };
        let matching =
            addresses.into_iter().filter(|address| self.ip_version.is_none_or(|version| version.matches(*address)));
        let matching: Vec<_> = matching.map(|address| SocketAddr::new(address, port)).collect();
        match self.ip_version {
            _ if !matching.is_empty() => Ok(matching),
            Some(ip_version) => Err(ResolveError(format!("`{name}` has no {} address", ip_version.name()))),
            None => Err(ResolveError(format!("`{name}` has no address"))),
        }
    }
}

type BoxError = Box<dyn Error + Send + Sync>;
type Resolving = Pin<Box<dyn Future<Output = Result<std::vec::IntoIter<SocketAddr>, BoxError>> + Send>>;

impl Service<HostName> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Resolving;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, host: HostName) -> Resolving {
        let resolver = self.clone();
        let (name, _) = self.lookup_target(host.as_str());
        // The name may be an address: that of `connect_to` or of a SOCKS proxy. Nothing is resolved then, and the
        // grants for the address were checked before.
        if literal_address(name).is_some() {
            return Box::pin(async move { Ok(resolver.lookup(host.as_str()).await?.into_iter()) });
        }
        if let Some(address) = HopTimings::current_address() {
            return Box::pin(async move { Ok(vec![address].into_iter()) });
        }
        HopTimings::record(|timestamps| {
            timestamps.dns_started.get_or_insert_with(Instant::now);
            timestamps.dns_ended = None;
            timestamps.names.push(name.to_owned());
        });
        let name = name.to_owned();
        Box::pin(async move {
            let addresses = resolver.lookup(host.as_str()).await;
            let ended = Instant::now();
            let addresses = addresses?;
            let allowed = match HopTimings::current_peer_filter()? {
                Some(filter) => filter.allowed(&name, addresses),
                None => Ok(addresses),
            };
            HopTimings::record(|timestamps| match &allowed {
                Ok(addresses) => {
                    timestamps.dns_ended = Some(ended);
                    timestamps.addresses = addresses.iter().map(SocketAddr::ip).collect();
                }
                Err(refusal) => timestamps.refusal = Some(refusal.clone()),
            });
            Ok(HopTimings::take_address(allowed?).into_iter())
        })
    }
}

/// Records in the current hop which resource of this host is used up, if a lookup failed for that reason.
fn record_shortage<E: Error + 'static>(error: &E) {
    // The error of the C library's resolver does not tell that a socket could not be opened.
    if let Some(resource) = shortage(error).or_else(current_shortage) {
        HopTimings::record(|timestamps| timestamps.shortage = Some(resource));
    }
}

/// Returns a resolver that queries one server. The resolver's cache lasts until the end of the attempt, so that no
/// entry becomes outdated.
fn dns_resolver(server: SocketAddr, ip_version: Option<IpVersion>) -> Result<TokioResolver, String> {
    let ports = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    let servers = vec![NameServerConfig::new(server.ip(), true, ports.into())];
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = DNS_TIMEOUT;
    options.attempts = DNS_REPETITIONS;
    options.use_hosts_file = ResolveHosts::Never;
    options.ip_strategy = match ip_version {
        None => LookupIpStrategy::Ipv6AndIpv4,
        Some(IpVersion::V4) => LookupIpStrategy::Ipv4Only,
        Some(IpVersion::V6) => LookupIpStrategy::Ipv6Only,
    };
    builder.build().map_err(|error| format!("cannot ask the DNS server {server}: {error}"))
}

fn dns_server_error(name: &str, server: SocketAddr, ip_version: Option<IpVersion>, error: &NetError) -> ResolveError {
    let server_error = |why: &str| format!("`{name}` does not resolve, says the DNS server {server}: {why}");
    ResolveError(match error {
        error if error.is_nx_domain() => server_error("it knows no such name"),
        error if error.is_no_records_found() => match ip_version {
            Some(ip_version) => server_error(&format!("it has no {} address of that name", ip_version.name())),
            None => server_error("it has no address of that name"),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => server_error(&lower_first(code.to_str())),
        NetError::Timeout => format!("`{name}` does not resolve: no answer from the DNS server {server}"),
        NetError::Io(error) => format!("`{name}` does not resolve: cannot ask the DNS server {server}: {error}"),
        error => format!(
            "`{name}` does not resolve: asking the DNS server {server} failed: {}",
            plain_text(&error.to_string())
        ),
    })
}

/// Returns the absolute name of a URL's host, which has ASCII characters alone. Labels may have any of these: names
/// such as `_service.shop.example` are in use.
fn dns_name(host: &str) -> Result<Name, ResolveError> {
    let name = Name::from_ascii(host);
    let mut name = name.map_err(|error| {
        ResolveError(format!("`{}` is no name: {}", quotable(host), plain_text(&error.to_string())))
    })?;
    name.set_fqdn(true);
    Ok(name)
}

/// Parses an IP address, in brackets or not.
fn literal_address(host: &str) -> Option<IpAddr> {
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
    fn connect_to_is_a_host_a_port_or_both() {
        check("192.0.2.7", Some(("192.0.2.7", None)));
        check("192.0.2.7:8443", Some(("192.0.2.7", Some(8443))));
        check("2001:db8::7", Some(("2001:db8::7", None)));
        check("[2001:db8::7]", Some(("2001:db8::7", None)));
        check("[2001:db8::7]:8443", Some(("2001:db8::7", Some(8443))));
        check("backend-1.internal:80", Some(("backend-1.internal", Some(80))));
        check(":8443", Some(("shop.example", Some(8443))));
        for invalid in ["", ":", ":0", "h:", "h:x", "h:99999", "a b", "http://h/", "[h]:80", "h/path", "u@h"] {
            check(invalid, None);
        }
    }
}
