//! One exchange: a request and all that it takes to have its answer, redirects included, recorded hop by hop.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, PROXY_AUTHORIZATION,
};
use url::Url;

use crate::capability::address_filter::AddressFilter;
use crate::capability::bindings::sentrynet::probe::http::Error;
use crate::capability::grant::{List, Refusal};
use crate::capability::http::failed_exchange::FailedExchange;
use crate::capability::http::format::{redirect, shown, without_secrets};
use crate::capability::http::peer_filter::PeerFilter;
use crate::capability::http::phase::PhaseTimeouts;
use crate::capability::http::request_body::Stream;
use crate::capability::http::response::Response;
use crate::capability::http::response_stream::ResponseSender;
use crate::capability::http::transport::{Session, Transport};
use crate::capability::run_handles::RunHandles;
use crate::capability::timeout::Timeout;
use crate::capability::{ProbeContext, grant};
use crate::config::TraceHost;
use crate::run::evidence::Redirect;
use crate::trace::Handle;

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
    pub run: RunHandles,
    /// The span that the hops go under.
    pub parent: Handle,
    pub probe: Arc<ProbeContext>,
    /// Who is told of the trace.
    pub told: Arc<[TraceHost]>,
    pub patience: PhaseTimeouts,
    /// Where the answer goes as it comes; none where it is collected.
    pub flow: Option<Arc<ResponseSender>>,
}

impl Exchange {
    /// Whether all may be asked that the next hop asks; what their names lead to is judged as it is found.
    pub fn judge(&self) -> Result<(), Refusal> {
        let grants = &self.probe.policy.grants;
        if grants.allows_all_hosts(List::Hosts) {
            return Ok(());
        }
        grants.check_host_text(
            List::Hosts,
            self.url.host_str().unwrap_or_default(),
            self.url.port_or_known_default(),
        )?;
        let peer = self.transport.peer(&self.url);
        grants.check_host_text(List::Hosts, &peer.via, Some(peer.port))?;
        match self.transport.dns_server {
            Some(server) => grants.check_address(List::Hosts, None, server.ip(), server.port()),
            None => Ok(()),
        }
    }

    /// Returns the filter for the addresses of the next hop; `None` if it may connect to any.
    pub fn peer_filter(&self) -> Option<Arc<PeerFilter>> {
        (!self.probe.policy.grants.allows_all_hosts(List::Hosts)).then(|| {
            let peer = self.transport.peer(&self.url);
            let behind = peer.behind_proxy.map(|port| (peer.host, port));
            let peers = [(peer.via, peer.port)].into_iter().chain(behind).collect();
            let filter = AddressFilter { list: List::Hosts, probe: Arc::clone(&self.probe), log: self.run.log.clone() };
            Arc::new(PeerFilter { filter, peers })
        })
    }

    pub fn denied(&self, refusal: &Refusal) -> FailedExchange {
        self.probe.report_refusal(&self.run.log, refusal);
        FailedExchange::before(Error::Denied(refusal.to_string()))
    }

    /// Where a redirect that is to be followed leads; none for any other answer.
    pub fn target(&self, response: &Response, hops: u32) -> Result<Option<Url>, Error> {
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
    pub fn location(&self, status: u16, headers: &[(String, String)]) -> Option<String> {
        let location = redirect(status, headers)?;
        Some(self.url.join(location).map_or_else(|_| location.to_owned(), String::from))
    }

    /// Makes this the request for the next hop.
    pub fn follow(&mut self, target: Url, status: u16) {
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
            if !grant::gets_trace_headers(&self.told, &target) {
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
