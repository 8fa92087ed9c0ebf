//! The interface `http`: requests over stock reqwest, each phase of them in the run's trace.

use wasmtime::component::Resource;

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::http::{Connection, Error, Host, HostResponse, Timing};
use crate::capability::http::certificate::days_left;
use crate::capability::quota::Exceeded;

mod auth;
mod error;
mod certificate;
mod cookies;
mod streaming_client;
mod exchange;
mod failed_exchange;
mod hop;
mod peer_filter;
mod response_stream;
mod stack;
mod token_cache;
mod evidence;
mod phase;
mod redirects;
mod request;
mod resolve;
mod response;
mod signature_cache;
mod request_body;
mod format;
mod tls;
mod transport;
mod timing_hooks;
mod cert_verifier;

pub use failed_exchange::FailedExchange;
pub use phase::{Phase, PhaseTimeouts};
pub use request::Request;
pub use request_body::{Outgoing, Stream};
pub use response::Response;
pub use response_stream::{Incoming, StreamedResponse};
pub use stack::Stack;
pub use streaming_client::{OutgoingRequest, StreamingClient};
pub use transport::Session;

impl Host for Context {}

impl HostResponse for Context {
    fn status(&mut self, response: Resource<Response>) -> wasmtime::Result<u16> {
        Ok(self.table.get(&response)?.status)
    }

    fn url(&mut self, response: Resource<Response>) -> wasmtime::Result<String> {
        Ok(self.table.get(&response)?.url.clone())
    }

    fn headers(&mut self, response: Resource<Response>) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.table.get(&response)?.headers.clone())
    }

    fn body(&mut self, response: Resource<Response>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&response)?.body.clone())
    }

    fn body_size(&mut self, response: Resource<Response>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&response)?.body_size)
    }

    fn timing(&mut self, response: Resource<Response>) -> wasmtime::Result<Timing> {
        Ok(self.table.get(&response)?.timing)
    }

    fn connection(&mut self, response: Resource<Response>) -> wasmtime::Result<Connection> {
        Ok(self.table.get(&response)?.connection.clone())
    }

    fn location(&mut self, response: Resource<Response>) -> wasmtime::Result<Option<String>> {
        Ok(self.table.get(&response)?.location.clone())
    }

    fn days_left(&mut self, response: Resource<Response>) -> wasmtime::Result<Vec<i64>> {
        let now = self.run.recorder.wall_clock();
        let chain = self.table.get(&response)?.connection.tls.iter().flat_map(|tls| &tls.chain);
        Ok(chain.map(|certificate| days_left(certificate.not_after, now)).collect())
    }

    fn drop(&mut self, response: Resource<Response>) -> wasmtime::Result<()> {
        let response = self.table.delete(response)?;
        self.accounting.release(response.size());
        Ok(())
    }
}

/// Only for the trace: no guest hears of it, its run being over.
impl From<Exceeded> for Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::Other(exceeded.to_string())
    }
}
