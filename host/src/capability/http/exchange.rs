//! One exchange: a request and all that it takes to have its answer, redirects included, recorded hop by hop.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderValue,
    PROXY_AUTHORIZATION,
};
use reqwest::{Body, Method};
use url::Url;

use crate::capability::bindings::sentrynet::probe::http::{Connection, Error, Tls};
use crate::capability::evidence::{self, Evidence};
use crate::capability::grant::{List, Refusal};
use crate::capability::http::cause;
use crate::capability::http::kept::{Head, Kept, bounded};
use crate::capability::http::phase::{Marked, Phase, Reached, milliseconds};
use crate::capability::http::resolve::Bounds;
use crate::capability::http::text::{lines, redirect, shown, size, version_name, without_credentials, without_secrets};
use crate::capability::http::transport::{self, Session, Transport};
use crate::capability::http::wire::{Marks, TimedBody, Times};
use crate::capability::http::{Response, certificate};
use crate::capability::judge::Judge;
use crate::capability::limit::Limit;
use crate::capability::log::Journal;
use crate::capability::words::bytes;
use crate::capability::{Scope, grant};
use crate::config::Host;
use crate::date;
use crate::run::evidence::{Excerpt, Redirect};
use crate::trace::{Contact, Handle, Recorder, Status};

/// All that an exchange needs, so that it can go on in a task of its own.
#[derive(Clone)]
pub struct Exchange {
    pub session: Session,
    pub transport: Transport,
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub limit: Limit,
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
    pub probe: Arc<Scope>,
    /// Who is told of the trace.
    pub told: Arc<[Host]>,
}

impl Exchange {
    /// Makes the exchange.
    ///
    /// # Errors
    /// Why there is no whole answer.
    pub async fn run(mut self) -> Result<Response, Error> {
        let started = Instant::now();
        let mut hops = 0;
        loop {
            // One that is refused counts too.
            self.session.meter.request()?;
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
            hop.close(&self, answer.as_ref().err());
            match answer? {
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
        let grants = &self.probe.grants;
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
        (!self.probe.grants.is_open(List::Hosts)).then(|| {
            let peer = self.transport.peer(&self.url);
            let behind = peer.behind_proxy.map(|port| (peer.host, port));
            let ends = [(peer.via, peer.port)].into_iter().chain(behind).collect();
            let judge = Judge { list: List::Hosts, probe: Arc::clone(&self.probe), log: self.log.clone() };
            Arc::new(Bounds { judge, ends })
        })
    }

    fn denied(&self, refusal: &Refusal) -> Error {
        self.probe.refused(&self.log, refusal);
        Error::Denied(refusal.to_string())
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

/// One request of an exchange, and its span.
struct Hop {
    span: Handle,
    started: Instant,
    marks: Marks,
    /// When the answer's head had come.
    head: Option<Instant>,
    end: Option<Instant>,
    kept: Box<Kept>,
    /// There is no connection, because somebody refused it.
    refused: bool,
}

impl Hop {
    fn open(exchange: &Exchange, hops: u32) -> Self {
        let Exchange { recorder, url, method, .. } = exchange;
        let shown = without_secrets(url);
        let started = Instant::now();
        let span = recorder.open_at(exchange.parent, "http.client", format!("{method} {shown}"), started);
        let port = url.port_or_known_default().unwrap_or_default();
        recorder.set(span, "http.request.method", method.as_str());
        recorder.set(span, "url.full", shown);
        recorder.set(span, "server.address", url.host_str().unwrap_or_default());
        recorder.set(span, "server.port", i64::from(port));
        if hops > 0 {
            recorder.set(span, "http.request.resend_count", i64::from(hops));
        }
        let kept = Box::new(Kept::new(exchange));
        Self { span, started, marks: Marks::within(exchange.bounds()), head: None, end: None, kept, refused: false }
    }

    async fn exchange(&mut self, exchange: &Exchange) -> Result<Response, Error> {
        let mut answer = self.send(exchange).await?;
        // A server may close a kept connection just as it is used again, which says nothing of its health.
        let kept = self.marks.read().started.is_none();
        if kept && exchange.method.is_idempotent() && answer.as_ref().is_err_and(|error| !error.is_timeout()) {
            self.marks = self.marks.anew();
            exchange.session.meter.request()?;
            answer = self.send(exchange).await?;
        }
        let head = Instant::now();
        self.head = Some(head);
        let times = self.marks.read();
        let mut answer = answer.map_err(|error| {
            self.head = None;
            self.refused = cause::refused(&error, &times, &self.kept.peer);
            if let Some(refusal) = &times.refusal {
                return Error::Denied(refusal.to_string());
            }
            match cause::explain(&error, &times, &self.kept.peer) {
                // Many a server that does not speak it says nothing at all.
                Error::Protocol(why) if exchange.transport.version == Some(transport::Version::Two) => {
                    Error::Protocol(format!("{why} (it was spoken to in HTTP/2, as asked for)"))
                }
                error => error,
            }
        })?;

        let (status, version) = (answer.status(), answer.version());
        let remote = answer.remote_addr();
        let recorder = &exchange.recorder;
        recorder.set(self.span, "http.response.status_code", i64::from(status.as_u16()));
        recorder.set_status(self.span, Status::from_http(status.as_u16()));
        recorder.set(self.span, "network.protocol.name", "http");
        recorder.set(self.span, "network.protocol.version", version_name(version));
        if let Some(remote) = remote {
            recorder.set(self.span, "network.peer.address", remote.ip().to_string());
            recorder.set(self.span, "network.peer.port", i64::from(remote.port()));
        }
        let headers = lines(answer.headers());
        self.kept.answer =
            Some(Head { status, version: version_name(version), remote, headers: bounded(answer.headers()) });
        exchange.session.meter.received(size(answer.headers()))?;
        let body = self.receive(&mut answer, exchange).await?;
        let end = Instant::now();
        self.end = Some(end);
        recorder.set(self.span, "http.response.body.size", i64::try_from(self.kept.received).unwrap_or(i64::MAX));
        Ok(Response {
            status: status.as_u16(),
            url: without_credentials(&exchange.url).into(),
            location: exchange.location(status.as_u16(), &headers),
            headers,
            body,
            body_size: self.kept.received,
            timing: Marked { started: self.started, times: &times, head: Some(head), end }.timing(),
            connection: Connection {
                reused: times.started.is_none(),
                remote_address: remote.map(|address| address.to_string()),
                http_version: version_name(version).to_owned(),
                tls: times.tls_version.map(|version| Tls {
                    version: version.to_owned(),
                    chain: times.chain.iter().filter_map(certificate::read).collect(),
                }),
            },
        })
    }

    async fn send(&mut self, exchange: &Exchange) -> Result<reqwest::Result<reqwest::Response>, Error> {
        let client = exchange.session.client(&exchange.transport).map_err(Error::Other)?;
        let body = Body::wrap(TimedBody::new(exchange.body.clone(), self.marks.clone()));
        let mut headers = self.headers(exchange);
        let mut url = exchange.url.clone();
        if exchange.transport.moves_port(&url) {
            // The resolver chooses the port only where the URL does not.
            let named = format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or_default());
            if let (Ok(named), Ok(())) = (HeaderValue::try_from(named), url.set_port(None)) {
                headers.entry(HOST).or_insert(named);
            }
        }
        self.kept.sent = bounded(&headers);
        // `request` takes credentials out of the URL, into a header; one that was given goes before them.
        exchange.session.meter.sent(url.as_str().len() + size(&headers) + exchange.body.len())?;
        let request = client.request(exchange.method.clone(), url).headers(headers).body(body);
        Ok(self.marks.around(request.send()).await)
    }

    /// The guest's headers and, unless it is on a trace of its own, those that tell the target of ours.
    fn headers(&self, exchange: &Exchange) -> HeaderMap {
        let Exchange { recorder, probe, .. } = exchange;
        let mut headers = exchange.headers.clone();
        if !grant::may_tell(&exchange.told, &exchange.url) || headers.contains_key("sentry-trace") {
            return headers;
        }
        let (trace, span) = (recorder.trace_id(), recorder.span_id(self.span));
        for (name, value) in probe.origin.headers(trace, span, &probe.identity.title, &probe.trace_headers) {
            let Ok(value) = HeaderValue::try_from(value) else { continue };
            match name {
                // A list, which may go on over several lines.
                "baggage" => _ = headers.append(name, value),
                _ => _ = headers.entry(name).or_insert(value),
            }
        }
        headers
    }

    async fn receive(&mut self, answer: &mut reqwest::Response, exchange: &Exchange) -> Result<Vec<u8>, Error> {
        let mut kept = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => {
                    self.kept.received += chunk.len() as u64;
                    exchange.session.meter.received(chunk.len())?;
                    let untold = Excerpt::MOST - self.kept.excerpt.len();
                    self.kept.excerpt.extend_from_slice(&chunk[..chunk.len().min(untold)]);
                    let room = usize::try_from(exchange.max_body).unwrap_or(usize::MAX) - kept.len();
                    kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
                }
                Ok(None) => return Ok(kept),
                Err(error) => return Err(cause::explain(&error, &self.marks.read(), &self.kept.peer)),
            }
        }
    }

    fn timed_out(&self, limit: Limit) -> Error {
        let times = self.marks.read();
        let phase = if self.head.is_some() { Phase::Receive } else { Phase::of(&times) };
        cause::timed_out(limit, phase, &times, &self.kept.peer, self.kept.received)
    }

    /// Ends the hop's span, with a child for each phase that was reached, and keeps what there is to tell of it.
    fn close(self, exchange: &Exchange, error: Option<&Error>) {
        let recorder = &exchange.recorder;
        let times = self.marks.read();
        let end = self.end.unwrap_or_else(Instant::now);
        let phases = Marked { started: self.started, times: &times, head: self.head, end }.phases();
        // A redirect that cannot be followed is no phase's fault: the hop itself was well.
        let last = phases.last().map_or(Phase::Send, |last| last.phase);
        let at_fault = Some(last).filter(|_| self.end.is_none());
        for Reached { phase, start, end } in phases {
            let span = recorder.open_at(self.span, phase.op(), self.describe(phase, &times), start);
            if let (Some(error), true) = (error, at_fault == Some(phase)) {
                recorder.set_status(span, cause::status_of(error));
                recorder.set(span, "error.type", cause::type_of(error));
            }
            recorder.close_at(span, end);
        }
        self.attributes(recorder, &times, end);
        if let Some(contact) = self.contact(&times, end) {
            recorder.contact(contact);
        }
        if let Some(error) = error {
            recorder.set_status(self.span, cause::status_of(error));
            recorder.set(self.span, "error.type", cause::type_of(error));
        }
        recorder.close_at(self.span, end);
        let mut kept = self.kept;
        (kept.phase, kept.error, kept.times) = (last, error.map(cause::type_of), times);
        exchange.evidence.keep(self.span, evidence::Kept::Http(kept));
    }

    /// What the network brought back. Of a kept connection, and of a request that never left, silence says nothing.
    fn contact(&self, times: &Times, end: Instant) -> Option<Contact> {
        let refused = self.refused.then_some(end);
        let answered = self.end.or(self.head).or(times.connected).or(times.tls_started).or(refused);
        let silent = times.started.map(|_| end);
        Some(Contact {
            host: self.kept.peer.host.trim_matches(['[', ']']).to_owned(),
            loopback: self.kept.peer.is_loopback(times),
            answered: answered.is_some(),
            from: self.started,
            to: answered.or(silent)?,
        })
    }

    /// What a phase was about, for a person.
    fn describe(&self, phase: Phase, times: &Times) -> String {
        match phase {
            Phase::Dns => format!("Resolve {}", self.kept.peer.names(times)),
            Phase::Connect => format!("Connect to {}", self.kept.peer.addresses(times)),
            Phase::Tls => format!("TLS {}handshake", times.tls_version.map(|it| format!("{it} ")).unwrap_or_default()),
            Phase::Send => "Send the request".to_owned(),
            Phase::Wait => "Wait for the answer".to_owned(),
            Phase::Receive => format!("Receive {}", bytes(self.kept.received)),
        }
    }

    fn attributes(&self, recorder: &Recorder, times: &Times, end: Instant) {
        let (connected, sent) = (times.connected, times.sent);
        let tcp_from = times.started.map(|started| times.dns_ended.unwrap_or(started));
        let tcp = tcp_from.filter(|_| times.dns_started.is_none() || times.dns_ended.is_some());
        let marks = [
            ("http.request.domain_lookup_start", times.dns_started),
            ("http.request.domain_lookup_end", times.dns_ended),
            ("http.request.connect_start", tcp),
            ("http.request.secure_connection_start", times.tls_started),
            ("http.request.connection_end", connected),
            ("http.request.request_start", sent.map(|_| connected.unwrap_or(self.started))),
            ("http.request.response_start", self.head),
            ("http.request.response_end", self.head.map(|_| end)),
        ];
        for (key, at) in marks {
            if let Some(at) = at {
                recorder.set(self.span, key, recorder.unix_seconds(at));
            }
        }
        if let Some(head) = self.head {
            recorder.set(self.span, "http.request.time_to_first_byte", (head - self.started).as_secs_f64());
            recorder.set(self.span, "http.connection.reused", times.started.is_none());
        }
        if let Some(version) = times.tls_version {
            recorder.set(self.span, "tls.protocol.name", "tls");
            recorder.set(self.span, "tls.protocol.version", version);
        }
        if let Some(leaf) = times.chain.first().and_then(certificate::read) {
            recorder.set(self.span, "tls.server.subject", leaf.subject);
            recorder.set(self.span, "tls.server.issuer", leaf.issuer);
            recorder.set(self.span, "tls.server.not_after", date::rfc3339_seconds(leaf.not_after));
            recorder.set(self.span, "tls.server.days_left", cause::days_left(leaf.not_after, SystemTime::now()));
        }
    }
}
