//! The interface `http`: requests over stock reqwest, each phase of them in the run's trace.

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::http::{Error, Host};
use crate::capability::http::auth::Tokens;
use crate::capability::http::tls::Configurations;
use crate::capability::quota::Exceeded;

mod auth;
mod error;
mod certificate;
mod cookies;
mod streaming_client;
mod exchange;
mod response_stream;
mod evidence;
mod phase;
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

pub use evidence::HttpEvidence;
pub use exchange::{FailedExchange, PhaseTimeouts};
pub use phase::Phase;
pub use request::Request;
pub use request_body::{Outgoing, Stream};
pub use response::Response;
pub use response_stream::{Incoming, StreamedResponse};
pub use streaming_client::{OutgoingRequest, StreamingClient};
pub use transport::Session;

/// What all runs share.
pub struct Stack {
    configurations: Configurations,
    tokens: Tokens,
}

impl Stack {
    /// Reads the system's certificate authorities.
    pub fn start() -> Self {
        Self { configurations: Configurations::new(), tokens: Tokens::default() }
    }
}

impl Host for Context {}

/// Only for the trace: no guest hears of it, its run being over.
impl From<Exceeded> for Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::Other(exceeded.to_string())
    }
}
