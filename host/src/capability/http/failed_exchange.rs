//! Failures of exchanges.

use crate::capability::bindings::sentrynet::probe::http::Error;
use crate::capability::http::phase::Phase;

/// Why there is no whole answer, and how far it got.
#[derive(Debug)]
pub struct FailedExchange {
    pub error: Error,
    pub phase: Phase,
    /// There is no connection, because somebody refused it.
    pub refused: bool,
    /// The server's certificate does not hold.
    pub untrusted: bool,
}

impl FailedExchange {
    /// Before anything was sent.
    pub fn before(error: Error) -> Self {
        Self { error, phase: Phase::Send, refused: false, untrusted: false }
    }
}
