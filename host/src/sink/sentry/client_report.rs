//! Client reports: the numbers of items that were not sent to Sentry, with the reasons.

use std::time::SystemTime;

use serde::Serialize;

use super::envelope::{Envelope, Kind};

/// An entry of a client report: a number of items of one category that were discarded for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Discarded {
    /// Sentry's word for the reason.
    pub reason: &'static str,
    /// Sentry's name of the category.
    pub category: &'static str,
    pub quantity: u64,
}

/// Returns a client report as an envelope.
pub fn client_report(discarded: &[Discarded], now: SystemTime) -> Envelope {
    #[derive(Serialize)]
    struct ClientReport<'a> {
        timestamp: f64,
        discarded_events: &'a [Discarded],
    }
    let timestamp = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    // Never fails: the report has strings and numbers only.
    let payload = serde_json::to_vec(&ClientReport { timestamp, discarded_events: discarded }).unwrap_or_default();
    Envelope::new(Kind::ClientReport, b"{}", "client_report", &payload)
}
