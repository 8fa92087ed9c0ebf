//! Runs as transactions and errors in Sentry: the only room that knows Sentry's format and its servers. It is told of
//! runs; what it makes of them is built in `envelope`, and brought there by `delivery`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::client::StartError;
use self::delivery::Delivery;
pub use self::queue::Counts;
use super::Sink;
use crate::config;
use crate::propagation::Origin;
use crate::run::Run;

mod client;
mod delivery;
mod envelope;
mod limits;
mod payload;
mod queue;

/// Sends every run to Sentry.
pub struct Sentry {
    origin: Origin,
    delivery: Delivery,
}

impl Sentry {
    /// None where no DSN is configured. Wants to be called within a tokio runtime, in which it sends.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub fn start(settings: &config::Sentry) -> Result<Option<Self>, StartError> {
        let Some(dsn) = &settings.dsn else { return Ok(None) };
        Ok(Some(Self { origin: Origin::new(settings), delivery: Delivery::start(dsn)? }))
    }

    /// What has become of the envelopes so far: one for each run, and one more for each that did not pass.
    pub fn counts(&self) -> Counts {
        self.delivery.counts()
    }
}

#[async_trait]
impl Sink for Sentry {
    fn report(&self, run: &Arc<Run>) {
        for envelope in envelope::envelopes(run, &self.origin) {
            self.delivery.push(envelope);
        }
    }

    async fn flush(&self, grace: Duration) {
        let Counts { sent, overflowed, refused, left } = self.delivery.flush(grace).await;
        if overflowed + refused > 0 || left > 0 {
            tracing::warn!(
                "not everything has reached Sentry: {sent} envelopes did, {left} could not be sent in time, \
                 {refused} were refused, {overflowed} found no room"
            );
        }
    }
}
