//! The transport options of requests: everything that decides which connection a request can use.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use url::Url;

use crate::capability::http::client_cert::ClientCertFiles;
use crate::capability::http::format::without_credentials;
use crate::capability::http::peer::Peer;
use crate::capability::http::resolve::{ConnectTo, IpVersion};
use crate::capability::http::tls::Trust;

/// The transport options of a request. Two requests share connections only if their options are equal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Transport {
    pub trust: Trust,
    pub client_cert: Option<ClientCertFiles>,
    /// The required HTTP version. If it is `None`, TLS negotiates it, and plain connections use HTTP/1.1.
    pub http_version: Option<HttpVersion>,
    /// The required IP version of addresses to connect to.
    pub ip_version: Option<IpVersion>,
    pub connect_to: Option<ConnectTo>,
    /// The DNS server to query. If it is `None`, the system's resolver is used.
    pub dns_server: Option<SocketAddr>,
    pub proxy: Option<ProxyUrl>,
    /// The local address to connect from.
    pub source_address: Option<IpAddr>,
    /// True if requests accept compressed responses, which are then decompressed.
    pub compression: bool,
    /// True if bodies are decoded that have a content coding, whether or not requests accept it.
    pub decoding: bool,
    /// True if requests send and store the attempt's cookies.
    pub cookies: bool,
}

/// A version of HTTP that a request requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    Http1,
    Http2,
}

/// The URL of a proxy: http, https, socks5 or socks5h. It may contain credentials, which `Debug` leaves out.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProxyUrl(Url);

impl ProxyUrl {
    /// Returns the proxy with a URL, which must have a host.
    pub fn new(url: Url) -> Self {
        Self(url)
    }

    /// Returns the proxy's name or address.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Returns the proxy's port: the URL's, its scheme's default, or 1080 for SOCKS.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(1080)
    }

    /// Returns true if the proxy resolves the names of targets. With `socks5`, this host resolves them.
    pub fn resolves_names(&self) -> bool {
        self.0.scheme() != "socks5"
    }

    /// Returns the URL, which may contain credentials.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ProxyUrl").field(&without_credentials(&self.0).as_str()).finish()
    }
}

impl Transport {
    /// Returns the same options for requests to another URL, except for the HTTP version, which was chosen for the
    /// first server. It is HTTP/1.1 if `connect_to` changes the URL's port, otherwise `None`.
    pub fn for_url(&self, url: &Url) -> Self {
        let http_version = self.changes_port(url).then_some(HttpVersion::Http1);
        Self { http_version, ..self.clone() }
    }

    /// Returns true if the URL names a port and `connect_to` connects to another one. The `host` header then differs
    /// from the address that is connected to.
    pub fn changes_port(&self, url: &Url) -> bool {
        let connect_to = self.connect_to.as_ref().filter(|to| to.applies_to(url.host_str().unwrap_or_default()));
        url.port().is_some() && connect_to.and_then(|to| to.port).is_some_and(|port| Some(port) != url.port())
    }

    /// Returns the peer that a request for `url` connects to.
    pub fn peer(&self, url: &Url) -> Peer {
        let host = url.host_str().unwrap_or_default().to_owned();
        let port = url.port_or_known_default().unwrap_or_default();
        if let Some(proxy) = &self.proxy {
            let (connect_host, connect_port) = (proxy.host().to_owned(), proxy.port());
            return Peer { host, connect_host, connect_port, port_behind_proxy: Some(port) };
        }
        let (connect_host, connect_port) = match &self.connect_to {
            Some(to) if to.applies_to(&host) => (to.host.clone(), to.port.unwrap_or(port)),
            _ => (host.clone(), port),
        };
        Peer { host, connect_host, connect_port, port_behind_proxy: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_leaves_out_the_credentials_of_a_proxy() {
        let url = "http://ada:hunter2@proxy.example:3128/".parse().expect("the test's URL is valid");
        let transport = Transport { proxy: Some(ProxyUrl::new(url)), ..Transport::default() };
        let shown = format!("{transport:?}");
        assert!(shown.contains("ProxyUrl(\"http://proxy.example:3128/\")"), "{shown}");
        assert!(!shown.contains("ada") && !shown.contains("hunter2"), "{shown}");
    }
}
