//! HTTP requests, made and timed by the host.

use std::fmt;
use std::time::Duration;

use crate::bindings::sentrynet::probe::http;
use crate::settings::Kept;
pub use http::{Certificate, Connection, Error, Response, Timing, Tls};

/// A request being built. The host checks each part as it is set.
pub struct Request(http::Request);

/// What is wrong with a part of a request, and what would be right.
#[derive(Debug, Clone)]
pub struct Invalid(pub(crate) String);

impl Request {
    /// `method` is any HTTP token, `url` an absolute `http` or `https` URL.
    ///
    /// # Errors
    /// When either is not.
    pub fn new(method: &str, url: &str) -> Result<Self, Invalid> {
        http::Request::new(method, url).map(Self).map_err(Invalid)
    }

    /// Adds a header line; a name may stand more than once.
    ///
    /// # Errors
    /// When the name or value is not one of HTTP, or the header is the host's own to set.
    pub fn header(&self, name: &str, value: &str) -> Result<(), Invalid> {
        self.0.header(name, value).map_err(Invalid)
    }

    pub fn body(&self, bytes: &[u8]) {
        self.0.body(bytes);
    }

    /// For the whole exchange, redirects and body included; 30 s unless set.
    pub fn timeout(&self, timeout: Duration) {
        self.0.timeout(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
    }

    /// How many redirects to follow; 10 unless set.
    pub fn redirects(&self, limit: u32) {
        self.0.redirects(limit);
    }

    /// Whether the server must prove who it is; true unless set.
    pub fn verify_tls(&self, verify: bool) {
        self.0.verify_tls(verify);
    }

    /// A PEM file of authorities to trust, instead of the system's.
    ///
    /// # Errors
    /// When the file has none, or the configuration does not name it.
    pub fn ca(&self, path: &str) -> Result<(), Invalid> {
        self.0.ca(path).map_err(Invalid)
    }

    /// A certificate to show to a server that asks for one: two PEM files, which may be the same.
    ///
    /// # Errors
    /// When either cannot be used, or the configuration does not name it.
    pub fn client_certificate(&self, certificate: &str, key: &str) -> Result<(), Invalid> {
        self.0.client_certificate(certificate, key).map_err(Invalid)
    }

    /// Credentials that the host keeps: `{basic: …}`, `{bearer: …}` or `{oauth2: …}`.
    ///
    /// # Errors
    /// When they are none of these.
    pub fn authenticate(&self, setting: &Kept) -> Result<(), Invalid> {
        self.0.authenticate(setting.pointer()).map_err(Invalid)
    }

    /// Whether cookies are kept within the run; they are not unless set.
    pub fn cookies(&self, keep: bool) {
        self.0.cookies(keep);
    }

    /// Whether to ask for a compressed body, which is then unpacked; false unless set.
    pub fn compression(&self, ask: bool) {
        self.0.compression(ask);
    }

    /// The one version of HTTP to speak.
    ///
    /// # Errors
    /// When it is neither `1.1` nor `2`.
    pub fn http_version(&self, version: &str) -> Result<(), Invalid> {
        self.0.http_version(version).map_err(Invalid)
    }

    /// The one version of IP to connect over.
    ///
    /// # Errors
    /// When it is neither 4 nor 6, or the URL has an address of the other.
    pub fn ip_version(&self, version: u8) -> Result<(), Invalid> {
        self.0.ip_version(version).map_err(Invalid)
    }

    /// Connects to this `host`, `host:port` or `:port` instead of the URL's, while the request stays the same.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn connect_to(&self, address: &str) -> Result<(), Invalid> {
        self.0.connect_to(address).map_err(Invalid)
    }

    /// The DNS server to ask instead of the system's resolver.
    ///
    /// # Errors
    /// When it is no address.
    pub fn dns_server(&self, address: &str) -> Result<(), Invalid> {
        self.0.dns_server(address).map_err(Invalid)
    }

    /// A proxy to go through: `http`, `https`, `socks5` or `socks5h`.
    ///
    /// # Errors
    /// When it is no URL of one.
    pub fn proxy(&self, url: &str) -> Result<(), Invalid> {
        self.0.proxy(url).map_err(Invalid)
    }

    /// The address of the host's machine to connect from.
    ///
    /// # Errors
    /// When it is none of that machine's.
    pub fn source_address(&self, address: &str) -> Result<(), Invalid> {
        self.0.source_address(address).map_err(Invalid)
    }

    /// Bytes of body to keep; 1 MiB unless set.
    pub fn max_body(&self, bytes: u64) {
        self.0.max_body(bytes);
    }

    /// Sends the request and waits for the whole answer.
    ///
    /// # Errors
    /// When there is no whole answer; `?` makes it a failure with the error's name as its reason.
    pub fn send(&self) -> Result<Response, Error> {
        self.0.send()
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
