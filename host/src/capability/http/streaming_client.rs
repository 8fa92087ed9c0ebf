//! An HTTP client for `wasi:http`: its exchanges follow no redirects, and forward the response while it arrives.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use http::header::{CONTENT_LENGTH, HeaderMap};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::capability::bindings::sentrynet::probe::http::Error;
use crate::capability::http::exchange::{Exchange, ExchangeContext, ExchangeLimits, RequestParts};
use crate::capability::http::failed_exchange::FailedExchange;
use crate::capability::http::phase::PhaseTimeouts;
use crate::capability::http::request_body::RequestBody;
use crate::capability::http::response_stream::{ResponseSender, StreamedResponse};
use crate::capability::http::transport::Transport;
use crate::capability::opening_limit::AttemptOpenings;
use crate::capability::timeout::Timeout;

/// Makes exchanges on behalf of one attempt, several at once. Clones share the attempt's connections.
#[derive(Clone)]
pub struct StreamingClient {
    /// The part of the attempt that exchanges share.
    pub context: ExchangeContext,
    /// The time at which the attempt is stopped.
    pub deadline: Instant,
    /// The runtime on which exchanges run.
    pub exchanges: Handle,
    /// The connections that are opened beside those of other runs.
    pub openings: AttemptOpenings,
}

/// A request without its body.
pub struct OutgoingRequest {
    /// Any method but CONNECT.
    pub method: Method,
    /// An http or https URL with a host.
    pub url: Url,
    /// The guest's headers. `content-length` is replaced.
    pub headers: HeaderMap,
    /// The guest's timeouts, in addition to the deadline.
    pub phase_timeouts: PhaseTimeouts,
}

impl StreamingClient {
    /// Returns false while settings are checked, when nothing may be sent.
    pub fn may_send(&self) -> bool {
        self.context.probe.may_send
    }

    /// Starts an exchange, whose span is a child of the span that is open now. The request is sent once `body` has
    /// resolved.
    ///
    /// Dropping the future ends the exchange. Once the future has returned a response, dropping the response's body
    /// ends the exchange.
    ///
    /// # Errors
    /// [`FailedExchange`] if `body` fails, or if the exchange fails before the head of the response. A later failure
    /// comes from the response's body.
    pub fn send<B>(
        &self,
        request: OutgoingRequest,
        body: B,
    ) -> impl Future<Output = Result<StreamedResponse, FailedExchange>> + Send + use<B>
    where
        B: Future<Output = Result<RequestBody, FailedExchange>> + Send + 'static,
    {
        let OutgoingRequest { method, url, mut headers, phase_timeouts } = request;
        // The client sets the length from the body.
        headers.remove(CONTENT_LENGTH);
        let (sender, response) = ResponseSender::new();
        let sender = Arc::new(sender);
        let (context, deadline, openings) = (self.context.clone(), self.deadline, self.openings.clone());
        let parent_span = context.run.recorder.current();
        let exchange = AbortOnDropHandle::new(self.exchanges.spawn(async move {
            let body = body.await?;
            // Before any time of the target is measured.
            let peer = Transport::default().peer(&url);
            let opening = openings.wait_first(&peer.connect_host, peer.connect_port).await;
            let request = RequestParts { method, url, headers, body };
            let timeout = Timeout::new(Duration::MAX, deadline);
            let limits = ExchangeLimits { timeout, phase_timeouts, max_redirects: 0, max_body_bytes: 0 };
            let mut exchange = Exchange::new(context, parent_span, request, Transport::default(), limits);
            exchange.response_sender = Some(Arc::clone(&sender));
            exchange.opening = Arc::new(Mutex::new(opening));
            match exchange.run().await {
                Ok(_) => Ok(()),
                Err(failed) if sender.is_head_sent() => {
                    sender.send_failure(failed).await;
                    Ok(())
                }
                Err(failed) => Err(failed),
            }
        }));
        async move {
            if let Ok(response) = response.await {
                drop(exchange.detach());
                return Ok(response);
            }
            // The sender was dropped before it sent a head: the exchange has failed, and its result has the error.
            let error = match exchange.await {
                Ok(Err(failed)) => return Err(failed),
                Ok(Ok(())) => "the exchange ended without a response".to_owned(),
                Err(error) => format!("the host failed: {error}"),
            };
            Err(FailedExchange::before_sending(Error::Other(error)))
        }
    }
}
