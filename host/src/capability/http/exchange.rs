//! An HTTP exchange: a request with everything that is needed to send it and to record what happens.

use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use parking_lot::Mutex;
use url::Url;

use crate::capability::address_filter::AddressFilter;
use crate::capability::bindings::sentrynet::probe::http::Error;
use crate::capability::grant::{self, List, Refusal};
use crate::capability::http::failed_exchange::FailedExchange;
use crate::capability::http::peer_filter::PeerFilter;
use crate::capability::http::phase::PhaseTimeouts;
use crate::capability::http::repeated_credentials::Echoes;
use crate::capability::http::request_body::RequestBody;
use crate::capability::http::response_stream::ResponseSender;
use crate::capability::http::secrets::SecretSettings;
use crate::capability::http::session::Session;
use crate::capability::http::transport::Transport;
use crate::capability::opening_limit::OpeningPermit;
use crate::capability::probe_context::ProbeContext;
use crate::capability::run_handles::RunHandles;
use crate::capability::timeout::Timeout;
use crate::config::TraceHost;
use crate::run::evidence::Redirect;
use crate::trace::Handle;

/// The request of an exchange. Following a redirect changes it.
#[derive(Clone)]
pub struct RequestParts {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: RequestBody,
}

/// The limits of an exchange.
#[derive(Clone, Copy)]
pub struct ExchangeLimits {
    /// The time that the whole exchange may take, redirects included.
    pub timeout: Timeout,
    /// Timeouts of parts of each hop.
    pub phase_timeouts: PhaseTimeouts,
    /// The number of redirects to follow. If it is 0, the first response is returned, redirect or not.
    pub max_redirects: u32,
    /// The maximum bytes of the response's body to return. The rest is received and dropped.
    pub max_body_bytes: u64,
}

/// The part of an attempt that its exchanges share.
#[derive(Clone)]
pub struct ExchangeContext {
    /// The attempt's connections, cookies and quota.
    pub session: Session,
    /// The run's trace, log and evidence.
    pub run: RunHandles,
    /// The probe's grants and settings.
    pub probe: Arc<ProbeContext>,
}

/// A request with everything that is needed to send it and to record what happens. It borrows nothing, so that it can
/// run in a task of its own.
#[derive(Clone)]
pub struct Exchange {
    /// The part of the attempt that exchanges share.
    pub context: ExchangeContext,
    /// The span that the spans of the hops are children of.
    pub parent_span: Handle,
    pub request: RequestParts,
    pub transport: Transport,
    pub limits: ExchangeLimits,
    /// The hosts that get trace headers.
    pub trace_hosts: Arc<[TraceHost]>,
    /// The last ten redirects that were followed, oldest first.
    pub followed_redirects: Vec<Redirect>,
    /// The settings that the request sends as credentials.
    pub secrets: SecretSettings,
    /// The permit to open a connection, until there is one.
    pub opening: Arc<Mutex<Option<OpeningPermit>>>,
    /// Receives the response while it arrives. If it is `None`, the response's body is collected.
    pub response_sender: Option<Arc<ResponseSender>>,
}

impl Exchange {
    /// Returns an exchange that collects its response, and sends trace headers to the hosts that the probe's settings
    /// name.
    pub fn new(
        context: ExchangeContext,
        parent_span: Handle,
        request: RequestParts,
        transport: Transport,
        limits: ExchangeLimits,
    ) -> Self {
        Self {
            parent_span,
            request,
            transport,
            limits,
            trace_hosts: Arc::clone(&context.probe.trace_hosts),
            followed_redirects: Vec::new(),
            secrets: SecretSettings::default(),
            opening: Arc::default(),
            response_sender: None,
            context,
        }
    }

    /// Returns the request's headers, with trace headers for `span` if the URL's host gets them and the guest has not
    /// set `sentry-trace` itself.
    pub fn headers_with_trace(&self, span: Handle) -> HeaderMap {
        let ExchangeContext { run, probe, .. } = &self.context;
        let mut headers = self.request.headers.clone();
        if !grant::gets_trace_headers(&self.trace_hosts, &self.request.url) || headers.contains_key("sentry-trace") {
            return headers;
        }
        let (trace_id, span_id) = (run.recorder.trace_id(), run.recorder.span_id(span));
        let policy = &probe.policy.trace_headers;
        for (name, value) in probe.event_defaults.headers(trace_id, span_id, &probe.identity.title, policy) {
            let Ok(value) = HeaderValue::try_from(value) else { continue };
            match name {
                // `baggage` is a list, which may be split over several headers: the guest's own entries stay.
                "baggage" => _ = headers.append(name, value),
                _ => _ = headers.entry(name).or_insert(value),
            }
        }
        headers
    }

    /// Returns the credentials that have to be removed from the response: those that the host has added to the request,
    /// unless the component is built in. Returns `None` if there are none.
    pub fn echoes(&self) -> Option<Echoes> {
        let is_hidden = self.secrets.authorization.is_some() && !self.context.probe.built_in;
        self.request.headers.get(AUTHORIZATION).filter(|_| is_hidden).and_then(Echoes::of_header)
    }

    /// Checks that the probe may connect to all hosts that the next hop names: the URL's, that of `connect_to` or the
    /// proxy, that of a `host` header, and the DNS server. The addresses of their names are checked when they are
    /// resolved, except those that only a proxy or a `host` header has. Also checks that the URL's host may see the
    /// client certificate.
    ///
    /// # Errors
    /// [`FailedExchange`] with [`Error::Denied`] if one of them is not allowed. The refusal is reported to the
    /// operator.
    pub fn check_grants(&self) -> Result<(), FailedExchange> {
        self.check_hosts().map_err(|refusal| {
            self.context.probe.report_refusal(&self.context.run.log, &refusal);
            FailedExchange::before_sending(Error::Denied(refusal.message_for(self.context.probe.built_in)))
        })
    }

    fn check_hosts(&self) -> Result<(), Refusal> {
        let grants = &self.context.probe.policy.grants;
        let url = &self.request.url;
        self.secrets.check_client_key(&self.context.probe, url)?;
        if grants.allows_all_hosts(List::Hosts) {
            return Ok(());
        }
        let port = url.port_or_known_default().unwrap_or_default();
        match (&self.transport.proxy, url.host()) {
            (Some(proxy), Some(host)) if proxy.resolves_names() => {
                grants.check_unresolved_host(List::Hosts, &host, port)?;
            }
            _ => grants.check_host_text(List::Hosts, url.host_str().unwrap_or_default(), Some(port))?,
        }
        self.check_host_headers(url, port)?;
        let peer = self.transport.peer(url);
        grants.check_host_text(List::Hosts, &peer.connect_host, Some(peer.connect_port))?;
        match self.transport.dns_server {
            Some(server) => grants.check_address(List::Hosts, None, server.ip(), server.port()),
            None => Ok(()),
        }
    }

    /// Checks that the probe may connect to the host that a `host` header names, unless that is the URL's host. The
    /// header decides which site of a server answers.
    fn check_host_headers(&self, url: &Url, port: u16) -> Result<(), Refusal> {
        let grants = &self.context.probe.policy.grants;
        for value in self.request.headers.get_all(HOST) {
            let authority = String::from_utf8_lossy(value.as_bytes());
            let url_host = url.host_str().unwrap_or_default();
            if authority != url_host && *authority != format!("{url_host}:{port}") {
                grants.check_host_header(List::Hosts, &authority, port)?;
            }
        }
        Ok(())
    }

    /// Returns the filter for the addresses that the next hop resolves, or `None` if the probe may connect to any
    /// address.
    pub fn peer_filter(&self) -> Option<Arc<PeerFilter>> {
        let ExchangeContext { probe, run, .. } = &self.context;
        if probe.policy.grants.allows_all_hosts(List::Hosts) {
            return None;
        }
        let peer = self.transport.peer(&self.request.url);
        let target = peer.port_behind_proxy.map(|port| (peer.host, port));
        let peers = [(peer.connect_host, peer.connect_port)].into_iter().chain(target).collect();
        let filter = AddressFilter { list: List::Hosts, probe: Arc::clone(probe), log: run.log.clone() };
        Some(Arc::new(PeerFilter { filter, peers }))
    }
}
