//! A request that a guest builds, before it is sent.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use secrecy::SecretString;
use url::Url;

use crate::capability::http::auth::Authorization;
use crate::capability::http::exchange::RequestParts;
use crate::capability::http::request_body::RequestBody;
use crate::capability::http::resolve::IpVersion;
use crate::capability::http::secrets::SecretSettings;
use crate::capability::http::tls::Trust;
use crate::capability::http::transport::{HttpVersion, Transport};
use crate::capability::text::quotable;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_MAX_REDIRECTS: u32 = 10;
const DEFAULT_MAX_BODY_BYTES: u64 = 1 << 20;

/// A request that a guest builds.
#[derive(Clone)]
pub struct Request {
    /// Method, URL, headers and body.
    pub parts: RequestParts,
    /// The credentials for the `authorization` header, unless the guest sets that header itself.
    pub authorization: Option<Authorization>,
    /// The JSON pointers of the settings that the request sends as credentials.
    pub secrets: SecretSettings,
    /// The timeout of the whole exchange. It is shortened to the time that the attempt has left.
    pub timeout: Duration,
    /// The number of redirects to follow.
    pub max_redirects: u32,
    /// The options as they were set. [`Request::resolve_transport`] returns the options to use.
    pub transport: Transport,
    /// The PEM file of the authorities to trust instead of the system's, unless certificates are not verified.
    pub ca_file: Option<PathBuf>,
    /// The passphrase of the client certificate's key.
    pub client_key_passphrase: Option<SecretString>,
    /// The maximum bytes of the response's body to return.
    pub max_body_bytes: u64,
}

impl Request {
    /// Returns a request with the defaults of all options.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            parts: RequestParts { method, url, headers: HeaderMap::new(), body: RequestBody::default() },
            authorization: None,
            secrets: SecretSettings::default(),
            timeout: DEFAULT_TIMEOUT,
            max_redirects: DEFAULT_MAX_REDIRECTS,
            transport: Transport::default(),
            ca_file: None,
            client_key_passphrase: None,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
        }
    }

    /// Returns the transport options that were set, completed by those that follow from other options: trust in the
    /// `ca` file, the IP version of the source address, and HTTP/1.1 for a `host` header or a port that differs from
    /// the URL's.
    ///
    /// # Errors
    /// A message for a person if options contradict each other.
    pub fn resolve_transport(&self) -> Result<Transport, String> {
        let mut transport = self.transport.clone();
        if let (Trust::System, Some(file)) = (&transport.trust, &self.ca_file) {
            transport.trust = Trust::CaFile(file.clone());
        }
        if transport.connect_to.is_some() && transport.proxy.is_some() {
            return Err("a proxy connects by itself: leave out `connect_to` or `proxy`".to_owned());
        }
        if let (None, None, Some(source)) = (transport.ip_version, &transport.proxy, transport.source_address) {
            transport.ip_version = Some(IpVersion::of(source));
        }
        if let Some(ip_version) = transport.ip_version {
            let connect_to = transport.connect_to.as_ref().and_then(|to| to.host.parse().ok());
            let addresses = [
                ("the URL's", literal_address(&self.parts.url)),
                ("`connect_to`'s", connect_to),
                ("`source_address`'s", transport.source_address),
            ];
            let is_wrong = |ip: &IpAddr| !ip_version.matches(*ip);
            if let Some((whose, address)) =
                addresses.into_iter().find_map(|(whose, ip)| Some((whose, ip.filter(is_wrong)?)))
            {
                return Err(format!("{whose} {address} is not an {} address", ip_version.name()));
            }
        }
        // HTTP/2 sends the URL's authority instead of a `host` header.
        if self.parts.headers.contains_key(HOST) || transport.changes_port(&self.parts.url) {
            if transport.http_version == Some(HttpVersion::Http2) {
                return Err(
                    "HTTP/2 cannot send another host or port than the URL's: leave out `http_version`".to_owned()
                );
            }
            transport.http_version = Some(HttpVersion::Http1);
        }
        Ok(transport)
    }
}

/// Returns the address in a URL whose host is an IP address.
pub fn literal_address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        url::Host::Domain(_) => None,
        url::Host::Ipv4(address) => Some(address.into()),
        url::Host::Ipv6(address) => Some(address.into()),
    }
}

/// Parses a request's method and URL.
///
/// # Errors
/// A message for a person if the method is not valid or is CONNECT, or the URL is not an http or https URL.
pub fn parse_target(method: &str, url: &str) -> Result<(Method, Url), String> {
    /// The greatest length of a method: longer than any that is registered.
    const MAX_METHOD_BYTES: usize = 64;
    /// The greatest length of a URL. Servers refuse longer ones, and each span, event and redirect has a copy.
    const MAX_URL_BYTES: usize = 64 << 10;
    if method.len() > MAX_METHOD_BYTES {
        return Err(format!("the HTTP method is longer than {MAX_METHOD_BYTES} bytes"));
    }
    if url.len() > MAX_URL_BYTES {
        return Err(format!("the URL is longer than {} KiB", MAX_URL_BYTES >> 10));
    }
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| format!("`{}` is not an HTTP method such as GET", quotable(method)))?;
    if method == Method::CONNECT {
        return Err("the method CONNECT is not supported: it would open a tunnel".to_owned());
    }
    let expected = "expected one such as https://example.org/";
    let url = Url::parse(url).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => format!("the URL has no scheme: {expected}"),
        error => format!("the URL is not valid ({error}): {expected}"),
    })?;
    match url.scheme() {
        "http" | "https" if url.port() == Some(0) => Err("nothing can listen on port 0".to_owned()),
        "http" | "https" => Ok((method, url)),
        other => Err(format!("the URL's scheme is `{}`: expected http or https", quotable(other))),
    }
}

/// Parses a header that a guest sets.
///
/// # Errors
/// A message for a person if a header cannot have this name or value, or if the host sets the header itself. The
/// message does not repeat the value.
pub fn parse_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{}` is not a header's name", quotable(name)))?;
    let framing = [CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];
    let hop_by_hop = ["connection", "keep-alive", "proxy-connection", "te", "trailer", "expect"];
    if framing.contains(&parsed) || hop_by_hop.contains(&parsed.as_str()) {
        return Err(format!("the host sets the header `{parsed}` itself: leave it out"));
    }
    // The message does not show the value, which may be a secret.
    let value = HeaderValue::from_str(value)
        .or_else(|_| HeaderValue::from_bytes(value.as_bytes()))
        .map_err(|_| format!("the value of `{parsed}` holds characters that a header cannot contain"))?;
    Ok((parsed, value))
}
