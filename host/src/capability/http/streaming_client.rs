//! Exchanges for an interface that is not ours: the same in everything, but that the answer is handed on as it comes.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, HeaderMap};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::capability::bindings::sentrynet::probe::http::Error;
use crate::capability::http::exchange::Exchange;
use crate::capability::http::failed_exchange::FailedExchange;
use crate::capability::http::phase::PhaseTimeouts;
use crate::capability::http::request_body::Outgoing;
use crate::capability::http::response_stream::{ResponseSender, StreamedResponse};
use crate::capability::http::transport::{Session, Transport};
use crate::capability::probe_context::ProbeContext;
use crate::capability::run_handles::RunHandles;
use crate::capability::timeout::Timeout;

/// Makes exchanges on behalf of one run, several at once.
#[derive(Clone)]
pub struct StreamingClient {
    pub session: Session,
    pub run: RunHandles,
    pub deadline: Instant,
    pub probe: Arc<ProbeContext>,
    /// The runtime on which exchanges run.
    pub exchanges: Handle,
}

/// What is wanted of whom.
pub struct OutgoingRequest {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub patience: PhaseTimeouts,
}

impl StreamingClient {
    /// False while settings are checked.
    pub fn may_send(&self) -> bool {
        self.probe.may_send
    }

    /// Begins an exchange under the span that is open now, once it is known what its body is; whoever drops what comes
    /// back ends it.
    ///
    /// # Errors
    /// Why there is no head of an answer.
    pub fn send<B>(
        &self,
        wanted: OutgoingRequest,
        body: B,
    ) -> impl Future<Output = Result<StreamedResponse, FailedExchange>> + Send + use<B>
    where
        B: Future<Output = Result<Outgoing, FailedExchange>> + Send + 'static,
    {
        let OutgoingRequest { method, url, mut headers, patience } = wanted;
        // What the body's size is, it has by itself.
        headers.remove(CONTENT_LENGTH);
        let (flow, answer) = ResponseSender::new();
        let flow = Arc::new(flow);
        let mut exchange = Exchange {
            session: self.session.clone(),
            transport: Transport::default(),
            method,
            url,
            headers,
            body: Bytes::new(),
            stream: None,
            limit: Timeout::Deadline(Duration::ZERO),
            redirects: 0,
            followed: Vec::new(),
            max_body: 0,
            run: self.run.clone(),
            parent: self.run.recorder.current(),
            probe: Arc::clone(&self.probe),
            told: Arc::clone(&self.probe.trace_hosts),
            patience,
            flow: Some(Arc::clone(&flow)),
        };
        let deadline = self.deadline;
        let going = self.exchanges.spawn(async move {
            match body.await? {
                Outgoing::Whole(body) => exchange.body = body,
                Outgoing::Stream(stream) => exchange.stream = Some(stream),
            }
            exchange.limit = Timeout::new(Duration::MAX, deadline);
            match exchange.make().await {
                Ok(_) => Ok(()),
                Err(failed) if flow.has_begun() => {
                    flow.fail(failed).await;
                    Ok(())
                }
                Err(failed) => Err(failed),
            }
        });
        let going = AbortOnDropHandle::new(going);
        async move {
            // Without a head it failed: why, the exchange itself says.
            match answer.await {
                Ok(answer) => {
                    drop(going.detach());
                    Ok(answer)
                }
                Err(_) => match going.await {
                    Ok(Err(failed)) => Err(failed),
                    Ok(Ok(())) => Err(FailedExchange::before(Error::Other("the exchange came to nothing".to_owned()))),
                    Err(error) => Err(FailedExchange::before(Error::Other(format!("the host failed: {error}")))),
                },
            }
        }
    }
}
