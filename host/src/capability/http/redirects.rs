//! Runs an exchange: sends its request, and follows redirects.

use std::time::Instant;

use http::Method;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, PROXY_AUTHORIZATION};
use url::Url;

use crate::capability::bindings::sentrynet::probe::http::{Error, Timing};
use crate::capability::grant;
use crate::capability::http::certificate::merge_validity_ends;
use crate::capability::http::exchange::Exchange;
use crate::capability::http::failed_exchange::FailedExchange;
use crate::capability::http::format::{redact_location, redirect_location, without_secrets};
use crate::capability::http::hop::Hop;
use crate::capability::http::phase::{milliseconds, sum_timings};
use crate::capability::http::request_body::RequestBody;
use crate::capability::http::response::Response;
use crate::run::evidence::Redirect;

/// The maximum number of redirects in the evidence of one exchange. Beyond it, the oldest are dropped.
const MAX_REDIRECTS_IN_EVIDENCE: usize = 10;

/// The result of a hop.
enum HopOutcome {
    Response(Box<Response>),
    /// The target of a redirect to follow, and the status of the response.
    Redirect(Url, u16),
}

impl Exchange {
    /// Sends the request, follows redirects, and returns the last response. Each hop has a span in the trace.
    ///
    /// Dropping the future ends the exchange, and cancels the span of its hop.
    ///
    /// # Errors
    /// [`FailedExchange`] if there is no whole response: a host is not allowed, a limit is reached, the network or the
    /// server fails, the exchange times out, or a redirect cannot be followed.
    pub async fn run(mut self) -> Result<Response, FailedExchange> {
        let started = Instant::now();
        let echoes = self.echoes();
        let mut redirects = 0;
        let mut earlier: Option<(Timing, Vec<i64>)> = None;
        loop {
            self.count_hop(redirects)?;
            self.check_grants().map_err(|failed| self.blame_redirect(failed, redirects))?;
            let mut hop = Hop::open(&self, redirects);
            let time_left = self.limits.timeout.duration().saturating_sub(started.elapsed());
            let result = tokio::time::timeout(time_left, hop.send_and_receive(&self)).await;
            let result = result.unwrap_or_else(|_| Err(hop.timed_out(self.limits.timeout)));
            let result = result.and_then(|mut response| {
                let target = self.redirect_target(&response, redirects)?;
                if let Some((timing, ends)) = earlier.take() {
                    response.timing = sum_timings(timing, response.timing);
                    response.validity_ends = merge_validity_ends(&ends, &response.validity_ends);
                }
                if let Some(target) = target {
                    let status = response.status;
                    earlier = Some((response.timing, response.validity_ends));
                    return Ok(HopOutcome::Redirect(target, status));
                }
                response.timing.total = milliseconds(started, Instant::now());
                Ok(HopOutcome::Response(Box::new(response)))
            });
            let (is_refused, is_cert_error) = (hop.is_refused, hop.is_cert_error);
            let phase = hop.close(&self, result.as_ref().err());
            let result = result.map_err(|error| FailedExchange { error, phase, is_refused, is_cert_error });
            match result.map_err(|failed| self.blame_redirect(failed, redirects))? {
                HopOutcome::Response(mut response) => {
                    if let Some(echoes) = echoes {
                        echoes.remove_from(&mut response);
                    }
                    return Ok(*response);
                }
                HopOutcome::Redirect(target, status) => self.follow_redirect(target, status),
            }
            redirects += 1;
            // Lets the connection's own task return the connection to the pool, so that the next request can reuse it.
            tokio::task::yield_now().await;
        }
    }

    /// Counts the request of a hop. A request that the grants refuse counts against the limit too.
    ///
    /// # Errors
    /// [`FailedExchange`] if the limit is reached. For a built-in probe that a server has redirected, it is an error of
    /// the server.
    fn count_hop(&self, redirects: u32) -> Result<(), FailedExchange> {
        let quota = &self.context.session.quota;
        if redirects > 0 && self.context.probe.built_in && !quota.may_request() {
            let message = format!(
                "redirected {redirects} times, to {}, which is more requests than `limits.requests` allows",
                without_secrets(&self.request.url)
            );
            return Err(FailedExchange::before_sending(Error::Redirect(message)));
        }
        quota.count_request().map_err(|exceeded| FailedExchange::before_sending(exceeded.into()))
    }

    /// Turns a refusal into an error of the server, if a server has redirected a built-in probe to what is refused.
    fn blame_redirect(&self, mut failed: FailedExchange, redirects: u32) -> FailedExchange {
        if let (Error::Denied(refusal), true) = (&failed.error, redirects > 0 && self.context.probe.built_in) {
            let target = without_secrets(&self.request.url);
            failed.error = Error::Redirect(format!("redirected to {target}: {refusal}"));
        }
        failed
    }

    /// Returns the URL that a response redirects to, or `None` if the response is not a redirect or redirects are not
    /// followed.
    ///
    /// # Errors
    /// [`Error::Redirect`] if no more redirects may be followed, or the location is not an http or https URL.
    fn redirect_target(&self, response: &Response, redirects: u32) -> Result<Option<Url>, Error> {
        let max_redirects = self.limits.max_redirects;
        let Some(location) = redirect_location(response.status, &response.headers).filter(|_| max_redirects > 0) else {
            return Ok(None);
        };
        let base = &self.request.url;
        if redirects == max_redirects {
            let count = if redirects == 1 { "1 redirect".to_owned() } else { format!("{redirects} redirects") };
            let target = redact_location(base, location);
            return Err(Error::Redirect(format!("still redirected after {count}, to {target}")));
        }
        let mut target = base.join(location).map_err(|_| {
            Error::Redirect(format!("redirected with {} to `{location}`, which is no URL", response.status))
        })?;
        if !matches!(target.scheme(), "http" | "https") || target.host_str().is_none() {
            return Err(Error::Redirect(format!(
                "redirected with {} to `{}`, which is neither http nor https",
                response.status,
                without_secrets(&target)
            )));
        }
        if target.fragment().is_none() {
            target.set_fragment(base.fragment());
        }
        Ok(Some(target))
    }

    /// Changes the request for a redirect with `status` to `target`, by RFC 9110 section 15.4 and as browsers do.
    fn follow_redirect(&mut self, target: Url, status: u16) {
        if self.followed_redirects.len() == MAX_REDIRECTS_IN_EVIDENCE {
            self.followed_redirects.remove(0);
        }
        let request = &mut self.request;
        self.followed_redirects.push(Redirect { status, from: without_secrets(&request.url) });
        if request.url.origin() != target.origin() {
            // Credentials and the `host` header are meant for one origin only.
            for header in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, HOST] {
                request.headers.remove(header);
            }
            if !grant::gets_trace_headers(&self.trace_hosts, &target) {
                for header in ["sentry-trace", "baggage", "traceparent", "tracestate"] {
                    request.headers.remove(header);
                }
            }
        }
        let becomes_get = match status {
            303 => request.method != Method::HEAD,
            301 | 302 => request.method == Method::POST,
            _ => false,
        };
        if becomes_get {
            request.method = Method::GET;
            request.body = RequestBody::default();
            for header in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING] {
                request.headers.remove(header);
            }
        }
        request.url = target;
    }
}
