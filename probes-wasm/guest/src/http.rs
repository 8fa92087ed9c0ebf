//! HTTP requests, made and timed by the host.

use std::fmt;
use std::time::Duration;

use crate::bindings::sentrynet::probe::http;
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
