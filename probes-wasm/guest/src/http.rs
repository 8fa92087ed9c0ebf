//! HTTP requests, which the host makes and times.

use std::fmt;
use std::time::Duration;

use crate::host::http;
use crate::settings::{Credentials, SecretSetting};
pub use http::{Certificate, Connection, Error, Response, Timing, Tls};

/// A request being built. The host checks each part when it is set.
pub struct Request(http::Request);

/// A part of a request that the host does not accept: a sentence that says what is wrong, and what would be right.
#[derive(Debug, Clone)]
pub struct Invalid {
    message: String,
    /// The JSON pointer to the setting that the part was taken from, if that is known.
    pointer: Option<String>,
}

impl Invalid {
    pub(crate) fn new(message: String) -> Self {
        Self { message, pointer: None }
    }

    /// Returns the JSON pointer to the setting with the credentials, if they are not accepted, for
    /// [`Problems::add`](crate::Problems::add).
    pub fn pointer(&self) -> Option<&str> {
        self.pointer.as_deref()
    }
}

impl Request {
    /// Creates a request. `method` is any HTTP token but `CONNECT`, `url` an absolute `http` or `https` URL.
    ///
    /// # Errors
    /// Returns [`Invalid`] if the method or the URL has another form.
    pub fn new(method: &str, url: &str) -> Result<Self, Invalid> {
        http::Request::new(method, url).map(Self).map_err(Invalid::new)
    }

    /// Adds a header line. A name may be added more than once, which sends several lines.
    ///
    /// # Errors
    /// Returns [`Invalid`] if the name or the value is not allowed in HTTP, or if the host sets this header itself.
    pub fn header(&self, name: &str, value: &str) -> Result<(), Invalid> {
        self.0.header(name, value).map_err(Invalid::new)
    }

    /// Sets the body. By default there is none.
    pub fn body(&self, bytes: &[u8]) {
        self.0.body(bytes);
    }

    /// Sets the time for the whole exchange, redirects and the body of the response included. The default is 30 s.
    /// Fractions of a millisecond are dropped.
    pub fn timeout(&self, timeout: Duration) {
        self.0.timeout(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
    }

    /// Sets how many redirects are followed. The default is 10; with 0 a redirect is returned as a response.
    pub fn redirects(&self, limit: u32) {
        self.0.redirects(limit);
    }

    /// Sets whether the server's certificate is verified. The default is true.
    pub fn verify_tls(&self, verify: bool) {
        self.0.verify_tls(verify);
    }

    /// Trusts the certificate authorities in a PEM file, instead of the system's.
    ///
    /// # Errors
    /// Returns [`Invalid`] if no certificate can be read from the file, or if the probe's settings do not contain its
    /// path.
    pub fn ca(&self, path: &str) -> Result<(), Invalid> {
        self.0.ca(path).map_err(Invalid::new)
    }

    /// Sets the client certificate: the paths of two PEM files, which may be the same, or twice that of a file in
    /// PKCS#12.
    ///
    /// # Errors
    /// Returns [`Invalid`] if either cannot be used, or if the probe's settings do not contain its path.
    pub fn client_certificate(&self, certificate: &str, key: &str) -> Result<(), Invalid> {
        self.0.client_certificate(certificate, key).map_err(Invalid::new)
    }

    /// Sets the passphrase of the client certificate's key, whose value the host keeps. It has to be called before
    /// [`client_certificate`](Self::client_certificate).
    ///
    /// # Errors
    /// Returns [`Invalid`] if there is no such setting, or if it is no text.
    pub fn client_key_passphrase(&self, setting: &SecretSetting) -> Result<(), Invalid> {
        self.0.client_key_passphrase(setting.pointer()).map_err(Invalid::new)
    }

    /// Sets the credentials, whose value the host keeps. An error has the JSON pointer of the setting.
    ///
    /// # Errors
    /// Returns [`Invalid`] if there is no such setting, if its value has another form, or if the URL has credentials
    /// too.
    pub fn authenticate(&self, credentials: &Credentials) -> Result<(), Invalid> {
        let pointer = credentials.pointer();
        self.0.authenticate(pointer).map_err(|message| Invalid { message, pointer: Some(pointer.to_owned()) })
    }

    /// Sets whether cookies are kept from request to request of the run. The default is false.
    pub fn cookies(&self, keep: bool) {
        self.0.cookies(keep);
    }

    /// Sets whether a compressed body is asked for, which the host decompresses. The default is false.
    pub fn compression(&self, ask: bool) {
        self.0.compression(ask);
    }

    /// Sets whether a body is decoded that has a content coding, also where compression was not asked for. The default
    /// is false.
    pub fn decoding(&self, decode: bool) {
        self.0.decoding(decode);
    }

    /// Allows only one version of HTTP. By default it is what the server prefers.
    ///
    /// # Errors
    /// Returns [`Invalid`] if it is neither `1.1` nor `2`, and for `2` if the request goes to another host or port than
    /// the URL's.
    pub fn http_version(&self, version: &str) -> Result<(), Invalid> {
        self.0.http_version(version).map_err(Invalid::new)
    }

    /// Allows only one version of IP. By default both are tried.
    ///
    /// # Errors
    /// Returns [`Invalid`] if it is neither 4 nor 6, or if the URL has an address of the other version.
    pub fn ip_version(&self, version: u8) -> Result<(), Invalid> {
        self.0.ip_version(version).map_err(Invalid::new)
    }

    /// Connects to this `host`, `host:port` or `:port` instead of the URL's, while the request stays the same.
    ///
    /// # Errors
    /// Returns [`Invalid`] if it has another form, if the request has a proxy, or if the URL's host is an address.
    pub fn connect_to(&self, address: &str) -> Result<(), Invalid> {
        self.0.connect_to(address).map_err(Invalid::new)
    }

    /// Resolves names by this DNS server, an IP address with or without a port, instead of the system's resolver.
    ///
    /// # Errors
    /// Returns [`Invalid`] if it is no address.
    pub fn dns_server(&self, address: &str) -> Result<(), Invalid> {
        self.0.dns_server(address).map_err(Invalid::new)
    }

    /// Connects through a proxy: a URL of the scheme `http`, `https`, `socks5` or `socks5h`.
    ///
    /// # Errors
    /// Returns [`Invalid`] if it is no such URL.
    pub fn proxy(&self, url: &str) -> Result<(), Invalid> {
        self.0.proxy(url).map_err(Invalid::new)
    }

    /// Connects from this IP address of the host's machine.
    ///
    /// # Errors
    /// Returns [`Invalid`] if it is no address of that machine, or if the probe's settings do not contain it.
    pub fn source_address(&self, address: &str) -> Result<(), Invalid> {
        self.0.source_address(address).map_err(Invalid::new)
    }

    /// Sets how many bytes of the body are kept. The default is 1 MiB; a number above 16 MiB counts as 16 MiB.
    pub fn max_body(&self, bytes: u64) {
        self.0.max_body(bytes);
    }

    /// Sends the request, and waits for the whole response.
    ///
    /// # Errors
    /// Returns an [`Error`] if there is no whole response. The `?` operator makes it a failure whose reason is the
    /// error's name.
    pub fn send(&self) -> Result<Response, Error> {
        self.0.send()
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
