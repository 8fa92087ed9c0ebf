//! Evidence of a hop. It is stored unformatted, and converted to a report only if the run fails.

use std::net::SocketAddr;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, StatusCode};
use url::Url;

use crate::capability::evidence::ExchangeEvidence;
use crate::capability::http::certificate;
use crate::capability::http::charset;
use crate::capability::http::exchange::Exchange;
use crate::capability::http::format::{self, header_lines, header_memory, without_secrets};
use crate::capability::http::peer::Peer;
use crate::capability::http::phase::Phase;
use crate::capability::http::request_body::{MAX_EVIDENCE_BYTES, RequestBody};
use crate::capability::http::timing_hooks::Timestamps;
use crate::capability::http::tunnel::basic_credentials;
use crate::capability::quota::{Exceeded, HeldBytes, Quota};
use crate::run::evidence::{self, Certificate, Connection, Excerpt, Http, Lines, Redirect, Response, Tls};

/// The maximum number of entries of each list in a report.
const MAX_ENTRIES: usize = 60;

/// Evidence of one hop. Bytes are shared where possible and not copied, since most runs pass and need no report.
pub struct HttpEvidence {
    pub method: Method,
    pub url: Url,
    pub request_headers: HeaderMap,
    /// The first bytes of the request's body, at most [`MAX_EVIDENCE_BYTES`].
    pub request_body: Bytes,
    /// The redirects before this hop.
    pub redirects: Vec<Redirect>,
    pub peer: Peer,
    /// The last phase that was reached.
    pub phase: Phase,
    /// The kind of the hop's error, or `None` if the hop has not failed.
    pub error: Option<&'static str>,
    pub timestamps: Timestamps,
    /// The answer of a proxy that has refused a tunnel, escaped, in at most 200 bytes.
    pub proxy_answer: Option<String>,
    /// The part of the response that cannot be read or was left out, escaped, in at most 200 bytes.
    pub malformed: Option<String>,
    pub response_head: Option<ResponseHead>,
    /// The number of bytes of the response's body that have arrived, after decompression.
    pub received_bytes: u64,
    /// The first bytes of the response's body, at most [`Excerpt::MAX_BYTES`].
    pub body_excerpt: Vec<u8>,
    /// The memory that is counted for the evidence. `None` until the hop has ended, and if the limit was exceeded.
    held: Option<HeldBytes>,
}

/// The head of a response.
pub struct ResponseHead {
    pub status: StatusCode,
    /// The HTTP version, `1.1` or `2`.
    pub version: &'static str,
    pub remote_address: Option<SocketAddr>,
    pub headers: HeaderMap,
}

/// Returns all headers if they have at most 8 KiB together. Otherwise returns the first headers up to that size, with
/// each value cut to 4 KiB.
pub fn bounded_headers(headers: &HeaderMap) -> HeaderMap {
    const MAX_TOTAL_BYTES: usize = 8 << 10;
    const MAX_VALUE_BYTES: usize = 4 << 10;
    if headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() <= MAX_TOTAL_BYTES {
        return headers.clone();
    }
    let mut bounded = HeaderMap::new();
    let mut bytes_left = MAX_TOTAL_BYTES;
    for (name, value) in headers {
        let beginning = &value.as_bytes()[..value.len().min(MAX_VALUE_BYTES)];
        let Some(left) = bytes_left.checked_sub(name.as_str().len() + beginning.len()) else { break };
        bytes_left = left;
        if let Ok(value) = HeaderValue::from_bytes(beginning) {
            bounded.append(name, value);
        }
    }
    bounded
}

/// Returns the beginning of a request's body. The beginning of a long body is copied, so that the body itself can be
/// freed. Nothing of a streamed body is returned, since it is not sent yet.
fn body_beginning(body: &RequestBody) -> Bytes {
    match body {
        RequestBody::Whole(bytes) if bytes.len() <= MAX_EVIDENCE_BYTES => bytes.clone(),
        RequestBody::Whole(bytes) => Bytes::copy_from_slice(&bytes[..MAX_EVIDENCE_BYTES]),
        RequestBody::Streamed(_) => Bytes::new(),
    }
}

impl HttpEvidence {
    /// Returns the evidence of the hop that an exchange begins now.
    pub fn new(exchange: &Exchange) -> Self {
        let Exchange { request, transport, followed_redirects, .. } = exchange;
        Self {
            method: request.method.clone(),
            url: request.url.clone(),
            request_headers: HeaderMap::new(),
            request_body: body_beginning(&request.body),
            redirects: followed_redirects.clone(),
            peer: transport.peer(&request.url),
            phase: Phase::Send,
            error: None,
            timestamps: Timestamps::default(),
            proxy_answer: None,
            malformed: None,
            response_head: None,
            received_bytes: 0,
            body_excerpt: Vec::new(),
            held: None,
        }
    }

    /// Counts the evidence as memory that the host holds for the run. If that exceeds a limit, the attempt ends. The
    /// evidence then stays in memory without being counted, since no exchange follows.
    pub fn hold(&mut self, quota: &Quota) {
        let response_headers = self.response_head.as_ref().map_or(0, |head| header_memory(&head.headers));
        let certificates: usize = self.timestamps.cert_chain.iter().map(|certificate| certificate.len()).sum();
        let bytes = size_of::<Self>()
            + self.url.as_str().len()
            + header_memory(&self.request_headers)
            + response_headers
            + self.request_body.len()
            + self.body_excerpt.len()
            + certificates;
        self.held = quota.hold(bytes).ok();
    }

    /// Adds bytes of the response's body, and counts them against the quota.
    ///
    /// # Errors
    /// [`Exceeded`] when more bytes than allowed were received, or any limit was reached before.
    pub fn add_body(&mut self, bytes: &[u8], quota: &Quota) -> Result<(), Exceeded> {
        self.received_bytes += bytes.len() as u64;
        quota.count_received(bytes.len())?;
        let bytes_left = Excerpt::MAX_BYTES - self.body_excerpt.len();
        self.body_excerpt.extend_from_slice(&bytes[..bytes.len().min(bytes_left)]);
        Ok(())
    }

    fn report(&self) -> Http {
        let Self { method, url, timestamps, .. } = self;
        Http {
            method: method.to_string(),
            url: without_secrets(url),
            query: url.query_pairs().take(MAX_ENTRIES).map(|(key, value)| (key.into(), value.into())).collect(),
            headers: self.all_request_headers(),
            body: String::from_utf8_lossy(&self.request_body).into_owned(),
            redirects: self.redirects.clone(),
            connection: self.connection(),
            tls: (timestamps.tls_started.is_some() || !timestamps.cert_chain.is_empty()).then(|| Tls {
                version: timestamps.tls_version.map(Into::into),
                certificates: certificates(timestamps),
            }),
            response: self.response_head.as_ref().map(|ResponseHead { status, headers, .. }| Response {
                status: status.as_u16(),
                headers: header_lines(headers).into_iter().take(MAX_ENTRIES).collect(),
                body: self.body(headers),
            }),
        }
    }

    /// Returns the beginning of the response's body, as text where it is text in the charset of the response.
    fn body(&self, headers: &HeaderMap) -> Excerpt {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_cut = self.received_bytes > self.body_excerpt.len() as u64;
        match charset::decode_beginning(&self.body_excerpt, content_type, is_cut) {
            Some(text) => {
                let end = text.floor_char_boundary(Excerpt::MAX_BYTES);
                Excerpt::new(&text.as_bytes()[..end], self.received_bytes)
            }
            None => Excerpt::new(&self.body_excerpt, self.received_bytes),
        }
    }

    /// Returns the request's headers, and those that the client adds: `user-agent`, and the URL's credentials.
    fn all_request_headers(&self) -> Lines {
        let mut headers: Lines = header_lines(&self.request_headers).into_iter().take(MAX_ENTRIES).collect();
        if !self.request_headers.contains_key(USER_AGENT) {
            headers.push((USER_AGENT.to_string(), format::USER_AGENT.to_owned()));
        }
        let credentials = basic_credentials(&self.url).filter(|_| !self.request_headers.contains_key(AUTHORIZATION));
        if let Some(credentials) = credentials.as_ref().and_then(|credentials| credentials.to_str().ok()) {
            headers.push((AUTHORIZATION.to_string(), credentials.to_owned()));
        }
        headers
    }

    fn connection(&self) -> Connection {
        let Self { peer, timestamps, response_head, .. } = self;
        let remote_address = response_head.as_ref().and_then(|head| head.remote_address);
        Connection {
            phase: self.phase.name().into(),
            error: self.error.map(Into::into),
            names: timestamps.names.clone(),
            resolved: timestamps.addresses.iter().take(MAX_ENTRIES).map(ToString::to_string).collect(),
            peer: remote_address
                .map_or_else(|| format!("{}:{}", peer.connect_host, peer.connect_port), |address| address.to_string()),
            proxy: peer.port_behind_proxy.is_some(),
            proxy_answer: self.proxy_answer.clone(),
            malformed: self.malformed.clone(),
            reused: response_head.is_some() && timestamps.is_connection_reused(),
            protocol: response_head.as_ref().map(|head| format!("HTTP/{}", head.version)),
        }
    }
}

impl ExchangeEvidence for HttpEvidence {
    fn is_error(&self) -> bool {
        self.error.is_some()
    }

    fn to_evidence(&self) -> evidence::Exchange {
        evidence::Exchange::Http(Box::new(self.report()))
    }
}

fn certificates(timestamps: &Timestamps) -> Vec<Certificate> {
    /// The maximum number of certificates in a report. Only a faulty or malicious server sends a longer chain.
    const MAX_CERTIFICATES: usize = 6;
    let now = SystemTime::now();
    timestamps.cert_chain.iter().take(MAX_CERTIFICATES).filter_map(|der| certificate::to_evidence(der, now)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence_without_response(url: &str) -> HttpEvidence {
        let host = "shop.example".to_owned();
        HttpEvidence {
            method: Method::GET,
            url: url.parse().expect("the test's URL is valid"),
            request_headers: HeaderMap::new(),
            request_body: Bytes::new(),
            redirects: Vec::new(),
            peer: Peer { connect_host: host.clone(), host, connect_port: 443, port_behind_proxy: None },
            phase: Phase::Dns,
            error: Some("dns"),
            timestamps: Timestamps::default(),
            proxy_answer: None,
            malformed: None,
            response_head: None,
            received_bytes: 0,
            body_excerpt: Vec::new(),
            held: None,
        }
    }

    #[test]
    fn a_report_without_a_response_has_the_request_and_the_error() {
        let report = evidence_without_response("https://ada:p%40ss@shop.example/path?page=2&page=3").report();
        assert_eq!((report.method.as_str(), report.url.as_str()), ("GET", "https://shop.example/path"));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(report.query, [pair("page", "2"), pair("page", "3")]);
        // The client sends the URL's credentials as a header.
        let user_agent = concat!("sentrynet/", env!("CARGO_PKG_VERSION"));
        assert_eq!(report.headers, [pair("user-agent", user_agent), pair("authorization", "Basic YWRhOnBAc3M=")]);
        assert_eq!((&*report.connection.phase, report.connection.error.as_deref()), ("dns", Some("dns")));
        assert_eq!(report.connection.peer, "shop.example:443");
        assert_eq!((report.tls, report.response), (None, None));
    }

    #[test]
    fn only_headers_of_more_than_8_kib_are_cut() {
        let mut headers = HeaderMap::new();
        for index in 0..1000 {
            let value = HeaderValue::try_from("v".repeat(6000)).expect("letters are a valid header value");
            headers.append(
                http::header::HeaderName::try_from(format!("x-{index}"))
                    .expect("letters and digits are a valid header name"),
                value,
            );
        }
        let bounded = bounded_headers(&headers);
        assert_eq!(bounded.len(), 1);
        assert!(bounded.values().all(|value| value.len() == 4 << 10));
        headers.clear();
        headers.append("x-one", HeaderValue::from_static("1"));
        headers.append("x-one", HeaderValue::from_static("2"));
        assert_eq!(bounded_headers(&headers), headers);
    }
}
