//! Failures of exchanges.

use crate::capability::bindings::sentrynet::probe::http::Error;
use crate::capability::http::phase::Phase;

/// The failure of an exchange that has no whole response.
#[derive(Debug)]
pub struct FailedExchange {
    /// The error that a guest gets.
    pub error: Error,
    /// The phase in which the exchange failed.
    pub phase: Phase,
    /// True if there is no connection because the server or a proxy refused it.
    pub is_refused: bool,
    /// True if the server's certificate is not valid.
    pub is_cert_error: bool,
}

impl FailedExchange {
    /// Returns the failure of an exchange that failed before anything was sent.
    pub fn before_sending(error: Error) -> Self {
        Self { error, phase: Phase::Send, is_refused: false, is_cert_error: false }
    }
}

impl From<FailedExchange> for Error {
    fn from(failed: FailedExchange) -> Self {
        failed.error
    }
}
