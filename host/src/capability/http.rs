//! The interface `http`: requests over hyper, with a span for each hop and each of its phases in the run's trace.

use wasmtime::component::Resource;

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::http::{Connection, Error, Host, HostResponse, Timing};
use crate::capability::http::certificate::days_left;
use crate::capability::quota::Exceeded;

mod connect_attempts;
mod auth;
mod cert_verifier;
mod certificate;
mod certificate_error;
mod certificate_weakness;
mod charset;
mod client;
mod client_cert;
mod connection;
mod connector;
mod content_coding;
mod cookies;
mod repeated_credentials;
mod error;
mod evidence;
mod exchange;
mod failed_exchange;
mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hop;
mod hop_span;
mod host_request;
mod malformed;
mod oauth2;
mod password_encryption;
mod peer;
mod peer_filter;
mod phase;
mod pkcs12;
mod redirects;
mod request;
mod request_body;
mod resolve;
mod response;
mod response_body;
mod response_stream;
mod secrets;
mod session;
mod signature_cache;
mod shared_state;
mod streaming_client;
mod timing_hooks;
mod tls;
mod tls_error;
mod token_cache;
mod tls_session;
mod transport;
mod tunnel;
mod unverified_tls;

pub use failed_exchange::FailedExchange;
pub use format::header_memory;
pub use phase::{Phase, PhaseTimeouts};
pub use request::Request;
pub use request_body::{RequestBody, StreamedBody};
pub use response::Response;
pub use response_stream::{ResponseBody, StreamedResponse};
pub use session::Session;
pub use shared_state::SharedState;
pub use streaming_client::{OutgoingRequest, StreamingClient};

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

    fn text(&mut self, response: Resource<Response>) -> wasmtime::Result<Result<String, String>> {
        Ok(self.table.get(&response)?.text())
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
        let ends = self.table.get(&response)?.validity_ends();
        Ok(ends.into_iter().map(|end| days_left(end, now)).collect())
    }

    fn drop(&mut self, response: Resource<Response>) -> wasmtime::Result<()> {
        self.table.delete(response)?;
        Ok(())
    }
}

/// The error is in the trace, but no guest sees it, because the limit ends the attempt.
impl From<Exceeded> for Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::Other(exceeded.to_string())
    }
}
