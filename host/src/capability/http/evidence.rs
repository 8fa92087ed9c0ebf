//! What one hop leaves behind, as it came; and what there is to tell of it, should the run not pass.

use std::net::SocketAddr;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::capability::evidence::ExchangeEvidence;
use crate::capability::http::certificate;
use crate::capability::http::error::Peer;
use crate::capability::http::exchange::Exchange;
use crate::capability::http::format::{lines, without_secrets};
use crate::capability::http::phase::Phase;
use crate::capability::http::request_body::MOST_OF_BODY;
use crate::capability::http::timing_hooks::Timestamps;
use crate::capability::http::transport;
use crate::run::evidence::{self, Certificate, Connection, Excerpt, Http, Lines, Redirect, Response, Tls};

/// What one hop leaves behind. Nothing of it is copied that could be shared: most runs pass.
pub struct HttpEvidence {
    pub method: Method,
    pub url: Url,
    pub sent: HeaderMap,
    /// The beginning of the request's.
    pub body: Bytes,
    pub redirects: Vec<Redirect>,
    pub peer: Peer,
    /// The last that was reached.
    pub phase: Phase,
    pub error: Option<&'static str>,
    pub times: Timestamps,
    pub answer: Option<Head>,
    /// Bytes of the body that came, and the beginning of them.
    pub received: u64,
    pub excerpt: Vec<u8>,
}

/// The head of an answer.
pub struct Head {
    pub status: StatusCode,
    pub version: &'static str,
    pub remote: Option<SocketAddr>,
    pub headers: HeaderMap,
}

/// As many headers as are kept: all, unless there are more than anybody reads.
pub fn bounded(headers: &HeaderMap) -> HeaderMap {
    /// Bytes of all of them, and of one value.
    const MOST: usize = 8 << 10;
    const LONGEST: usize = 4 << 10;
    if headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() <= MOST {
        return headers.clone();
    }
    let mut kept = HeaderMap::new();
    let mut room = MOST;
    for (name, value) in headers {
        let beginning = &value.as_bytes()[..value.len().min(LONGEST)];
        let Some(left) = room.checked_sub(name.as_str().len() + beginning.len()) else { break };
        room = left;
        if let Ok(value) = HeaderValue::from_bytes(beginning) {
            kept.append(name, value);
        }
    }
    kept
}

/// As much of a request's body as may hold what must not be told: of a long one a copy, so that the rest can go.
fn beginning(body: &Bytes) -> Bytes {
    if body.len() <= MOST_OF_BODY { body.clone() } else { Bytes::copy_from_slice(&body[..MOST_OF_BODY]) }
}

impl HttpEvidence {
    /// That of a hop which begins.
    pub fn new(exchange: &Exchange) -> Self {
        let Exchange { method, url, body, followed, transport, .. } = exchange;
        Self {
            method: method.clone(),
            url: url.clone(),
            sent: HeaderMap::new(),
            body: beginning(body),
            redirects: followed.clone(),
            peer: transport.peer(url),
            phase: Phase::Send,
            error: None,
            times: Timestamps::default(),
            answer: None,
            received: 0,
            excerpt: Vec::new(),
        }
    }

    pub fn to_evidence(&self) -> Http {
        let Self { method, url, times, .. } = self;
        Http {
            method: method.to_string(),
            url: without_secrets(url),
            query: url.query_pairs().take(MOST_LINES).map(|(key, value)| (key.into(), value.into())).collect(),
            headers: self.request_headers(),
            body: String::from_utf8_lossy(&self.body).into_owned(),
            redirects: self.redirects.clone(),
            connection: self.connection(),
            tls: (times.tls_started.is_some() || !times.chain.is_empty())
                .then(|| Tls { version: times.tls_version.map(Into::into), certificates: certificates(times) }),
            response: self.answer.as_ref().map(|Head { status, headers, .. }| Response {
                status: status.as_u16(),
                headers: lines(headers).into_iter().take(MOST_LINES).collect(),
                body: Excerpt::new(&self.excerpt, self.received),
            }),
        }
    }

    /// Those of the request, and those that are made of what else was asked for.
    fn request_headers(&self) -> Lines {
        let mut headers: Lines = lines(&self.sent).into_iter().take(MOST_LINES).collect();
        if !self.sent.contains_key(USER_AGENT) {
            headers.push((USER_AGENT.to_string(), transport::USER_AGENT.to_owned()));
        }
        let (user, password) = (self.url.username(), self.url.password());
        if !self.sent.contains_key(AUTHORIZATION) && (!user.is_empty() || password.is_some()) {
            let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
            let pair = [decoded(user), decoded(password.unwrap_or_default())].join(&b':');
            headers.push((AUTHORIZATION.to_string(), format!("Basic {}", STANDARD.encode(pair))));
        }
        headers
    }

    fn connection(&self) -> Connection {
        let Self { peer, times, answer, .. } = self;
        let remote = answer.as_ref().and_then(|head| head.remote);
        Connection {
            phase: self.phase.name().into(),
            error: self.error.map(Into::into),
            names: times.names.clone(),
            resolved: times.addresses.iter().take(MOST_LINES).map(ToString::to_string).collect(),
            peer: remote.map_or_else(|| format!("{}:{}", peer.via, peer.port), |address| address.to_string()),
            proxy: peer.behind_proxy.is_some(),
            reused: answer.is_some() && times.started.is_none(),
            protocol: answer.as_ref().map(|head| format!("HTTP/{}", head.version)),
        }
    }
}

impl ExchangeEvidence for HttpEvidence {
    fn is_error(&self) -> bool {
        self.error.is_some()
    }

    fn to_evidence(&self) -> evidence::Exchange {
        evidence::Exchange::Http(Box::new(self.to_evidence()))
    }
}

/// Entries of any list.
const MOST_LINES: usize = 60;

fn certificates(times: &Timestamps) -> Vec<Certificate> {
    /// A chain of more is a mistake, or malice.
    const MOST: usize = 6;
    let now = SystemTime::now();
    times.chain.iter().take(MOST).filter_map(|der| certificate::to_evidence(der, now)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(url: &str) -> HttpEvidence {
        HttpEvidence {
            method: Method::GET,
            url: url.parse().expect("a URL"),
            sent: HeaderMap::new(),
            body: Bytes::new(),
            redirects: Vec::new(),
            peer: Peer { host: "shop.example".into(), via: "shop.example".into(), port: 443, behind_proxy: None },
            phase: Phase::Dns,
            error: Some("dns"),
            times: Timestamps::default(),
            answer: None,
            received: 0,
            excerpt: Vec::new(),
        }
    }

    #[test]
    fn what_there_is_to_tell_without_an_answer() {
        let told = kept("https://ada:p%40ss@shop.example/path?page=2&page=3").to_evidence();
        assert_eq!((told.method.as_str(), told.url.as_str()), ("GET", "https://shop.example/path"));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(told.query, [pair("page", "2"), pair("page", "3")]);
        // What the URL has of credentials went out as a header.
        let user_agent = concat!("sentrynet/", env!("CARGO_PKG_VERSION"));
        assert_eq!(told.headers, [pair("user-agent", user_agent), pair("authorization", "Basic YWRhOnBAc3M=")]);
        assert_eq!((&*told.connection.phase, told.connection.error.as_deref()), ("dns", Some("dns")));
        assert_eq!(told.connection.peer, "shop.example:443");
        assert_eq!((told.tls, told.response), (None, None));
    }

    #[test]
    fn a_thousand_headers_are_bounded() {
        let mut headers = HeaderMap::new();
        for index in 0..1000 {
            let value = HeaderValue::try_from("v".repeat(6000)).expect("letters");
            headers.append(reqwest::header::HeaderName::try_from(format!("x-{index}")).expect("a name"), value);
        }
        let kept = bounded(&headers);
        assert_eq!(kept.len(), 1);
        assert!(kept.values().all(|value| value.len() == 4 << 10));
        headers.clear();
        headers.append("x-one", HeaderValue::from_static("1"));
        headers.append("x-one", HeaderValue::from_static("2"));
        assert_eq!(bounded(&headers), headers);
    }
}
