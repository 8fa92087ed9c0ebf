//! The interface `http`: requests over stock reqwest, each phase of them in the run's trace.

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::http::{Error, Host};
use crate::capability::http::authorize::Tokens;
use crate::capability::http::tls::Configurations;
use crate::capability::meter::Exceeded;

mod authorize;
mod cause;
mod certificate;
mod cookies;
mod courier;
mod exchange;
mod flow;
mod kept;
mod phase;
mod request;
mod resolve;
mod response;
mod signatures;
mod stream;
mod text;
mod tls;
mod transport;
mod wire;
mod witness;

pub use courier::{OutgoingRequest, StreamingClient};
pub use exchange::{FailedExchange, PhaseTimeouts};
pub use flow::{Incoming, StreamedResponse};
pub use kept::HttpEvidence;
pub use phase::Phase;
pub use request::Request;
pub use response::Response;
pub use stream::{Outgoing, Stream};
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
