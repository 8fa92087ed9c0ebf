//! One exchange: a request and all that it takes to have its answer, redirects included, recorded hop by hop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, PROXY_AUTHORIZATION,
};
use url::Url;

use crate::capability::address_filter::AddressFilter;
use crate::capability::bindings::sentrynet::probe::http::Error;
use crate::capability::evidence::Evidence;
use crate::capability::grant::{List, Refusal};
use crate::capability::http::Response;
use crate::capability::http::exchange::hop::Hop;
use crate::capability::http::format::{redirect, shown, without_secrets};
use crate::capability::http::phase::{Phase, milliseconds};
use crate::capability::http::request_body::Stream;
use crate::capability::http::resolve::Bounds;
use crate::capability::http::response_stream::ResponseSender;
use crate::capability::http::transport::{Session, Transport};
use crate::capability::log::Journal;
use crate::capability::timeout::Timeout;
use crate::capability::{ProbeContext, grant};
use crate::config::TraceHost;
use crate::run::evidence::Redirect;
use crate::trace::{Handle, Recorder};

mod hop;

/// All that an exchange needs, so that it can go on in a task of its own.
#[derive(Clone)]
pub struct Exchange {
    pub session: Session,
    pub transport: Transport,
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What goes out in its place, as it is written.
    pub stream: Option<Arc<Stream>>,
    pub limit: Timeout,
    pub redirects: u32,
    /// Those that were followed.
    pub followed: Vec<Redirect>,
    pub max_body: u64,
    pub recorder: Recorder,
    pub evidence: Evidence,
    /// Where refusals are told.
    pub log: Journal,
    /// The span that the hops go under.
    pub parent: Handle,
    pub probe: Arc<ProbeContext>,
    /// Who is told of the trace.
    pub told: Arc<[TraceHost]>,
    pub patience: PhaseTimeouts,
    /// Where the answer goes as it comes; none where it is collected.
    pub flow: Option<Arc<ResponseSender>>,
}

/// How long parts of a hop may take, each unless the whole has had its time.
#[derive(Debug, Clone, Copy, Default)]
pub struct PhaseTimeouts {
    pub connect: Option<Duration>,
    /// For the answer's head, once there is a connection.
    pub first_byte: Option<Duration>,
    pub between_bytes: Option<Duration>,
}

/// Why there is no whole answer, and how far it got.
#[derive(Debug)]
pub struct FailedExchange {
    pub error: Error,
    pub phase: Phase,
    /// There is no connection, because somebody refused it.
    pub refused: bool,
    /// The server's certificate does not hold.
    pub untrusted: bool,
}

impl FailedExchange {
    /// Before anything was sent.
    pub fn before(error: Error) -> Self {
        Self { error, phase: Phase::Send, refused: false, untrusted: false }
    }
}

impl Exchange {
    /// Makes the exchange.
    ///
    /// # Errors
    /// Why there is no whole answer.
    pub async fn run(self) -> Result<Response, Error> {
        self.make().await.map_err(|failed| failed.error)
    }

    /// The same, with how far it got.
    ///
    /// # Errors
    /// Why there is no whole answer.
    pub async fn make(mut self) -> Result<Response, FailedExchange> {
        let started = Instant::now();
        let mut hops = 0;
        loop {
            // One that is refused counts too.
            self.session.meter.request().map_err(|exceeded| FailedExchange::before(exceeded.into()))?;
            self.judge().map_err(|refusal| self.denied(&refusal))?;
            let mut hop = Hop::open(&self, hops);
            let left = self.limit.time().saturating_sub(started.elapsed());
            let answer = tokio::time::timeout(left, hop.exchange(&self)).await;
            let answer = answer.unwrap_or_else(|_| Err(hop.timed_out(self.limit)));
            let answer = answer.and_then(|mut response| match self.target(&response, hops)? {
                Some(target) => Ok(Next::Hop(target, response.status)),
                None => {
                    response.timing.total = milliseconds(started, Instant::now());
                    Ok(Next::Done(Box::new(response)))
                }
            });
            let (refused, untrusted) = (hop.refused, hop.untrusted);
            let phase = hop.close(&self, answer.as_ref().err());
            match answer.map_err(|error| FailedExchange { error, phase, refused, untrusted })? {
                Next::Done(response) => return Ok(*response),
                Next::Hop(target, status) => self.follow(target, status),
            }
            hops += 1;
            // The connection's own task puts it back where the next request finds it.
            tokio::task::yield_now().await;
        }
    }

    /// Whether all may be asked that the next hop asks; what their names lead to is judged as it is found.
    fn judge(&self) -> Result<(), Refusal> {
        let grants = &self.probe.policy.grants;
        if grants.is_open(List::Hosts) {
            return Ok(());
        }
        grants.name(List::Hosts, self.url.host_str().unwrap_or_default(), self.url.port_or_known_default())?;
        let peer = self.transport.peer(&self.url);
        grants.name(List::Hosts, &peer.via, Some(peer.port))?;
        match self.transport.dns_server {
            Some(server) => grants.address(List::Hosts, None, server.ip(), server.port()),
            None => Ok(()),
        }
    }

    /// Whom the next hop may connect to; none where that is anybody.
    fn bounds(&self) -> Option<Arc<Bounds>> {
        (!self.probe.policy.grants.is_open(List::Hosts)).then(|| {
            let peer = self.transport.peer(&self.url);
            let behind = peer.behind_proxy.map(|port| (peer.host, port));
            let ends = [(peer.via, peer.port)].into_iter().chain(behind).collect();
            let judge = AddressFilter { list: List::Hosts, probe: Arc::clone(&self.probe), log: self.log.clone() };
            Arc::new(Bounds { judge, ends })
        })
    }

    fn denied(&self, refusal: &Refusal) -> FailedExchange {
        self.probe.report_refusal(&self.log, refusal);
        FailedExchange::before(Error::Denied(refusal.to_string()))
    }

    /// Where a redirect that is to be followed leads; none for any other answer.
    fn target(&self, response: &Response, hops: u32) -> Result<Option<Url>, Error> {
        let (Some(location), true) = (redirect(response.status, &response.headers), self.redirects > 0) else {
            return Ok(None);
        };
        if hops == self.redirects {
            let times = if hops == 1 { "1 redirect".to_owned() } else { format!("{hops} redirects") };
            return Err(Error::Redirect(format!("still redirected after {times}, to {}", shown(&self.url, location))));
        }
        let mut target = self.url.join(location).map_err(|_| {
            Error::Redirect(format!("redirected with {} to what is no URL: `{location}`", response.status))
        })?;
        if !matches!(target.scheme(), "http" | "https") || target.host_str().is_none() {
            return Err(Error::Redirect(format!(
                "redirected with {} to `{}`, which is neither http nor https",
                response.status,
                without_secrets(&target)
            )));
        }
        if target.fragment().is_none() {
            target.set_fragment(self.url.fragment());
        }
        Ok(Some(target))
    }

    /// Where an answer leads, as an absolute URL where it is one.
    fn location(&self, status: u16, headers: &[(String, String)]) -> Option<String> {
        let location = redirect(status, headers)?;
        Some(self.url.join(location).map_or_else(|_| location.to_owned(), String::from))
    }

    /// Makes this the request for the next hop.
    fn follow(&mut self, target: Url, status: u16) {
        /// Nobody reads the way that a loop took.
        const MOST_TOLD: usize = 10;
        if self.followed.len() == MOST_TOLD {
            self.followed.remove(0);
        }
        self.followed.push(Redirect { status, from: without_secrets(&self.url) });
        if self.url.origin() != target.origin() {
            // What is meant for one host is not another's to see.
            for header in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, HOST] {
                self.headers.remove(header);
            }
            if !grant::may_tell(&self.told, &target) {
                for header in ["sentry-trace", "baggage", "traceparent", "tracestate"] {
                    self.headers.remove(header);
                }
            }
        }
        let to_get = match status {
            303 => self.method != Method::HEAD,
            301 | 302 => self.method == Method::POST,
            _ => false,
        };
        if to_get {
            self.method = Method::GET;
            self.body = Bytes::new();
            for header in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING] {
                self.headers.remove(header);
            }
        }
        self.url = target;
    }
}

enum Next {
    Done(Box<Response>),
    Hop(Url, u16),
}
