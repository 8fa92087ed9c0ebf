//! Runs as transactions, errors and check-ins in Sentry: the only room that knows Sentry's format and its servers. What
//! is sent is decided at the `desk`, built in `envelope`, and goes by the `outbox`: kept in a `spool`, and brought there
//! by `delivery`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::task::AbortOnDropHandle;

pub use self::client::StartError;
use self::fanout::Fanout;
pub use self::outcomes::{Counts, Reason};
use self::pipeline::Pipeline;
use super::Sink;
use crate::config;
use crate::run::Run;

mod pipeline;
mod sampling;
mod offline_event;
mod panic_hook;
mod check_in_timer;
mod check_in;
mod envelope;
mod payload;
mod json_writer;
mod fanout;
mod compression;
mod transport;
mod client;
mod backoff;
mod queue;
mod rate_limits;
mod spool;
mod outcomes;

/// Sends runs to Sentry, to a Spotlight, or to both: every one, unless the configuration has those that pass sampled; and
/// checks in to Sentry's monitors. A run that was reported here is in the spool: it may take a while until Sentry has it,
/// but neither an outage nor the end of this process costs it.
pub struct Sentry {
    pipeline: Arc<Pipeline>,
    _watch: AbortOnDropHandle<()>,
}

impl Sentry {
    /// None where neither a DSN nor a Spotlight is configured. `probes` is how many report here. Wants to be called
    /// within a tokio runtime, in which it sends.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub fn start(settings: &config::Sentry, probes: usize) -> Result<Option<Self>, StartError> {
        let Some(outbox) = Fanout::start(settings)? else { return Ok(None) };
        let desk = Arc::new(Pipeline::new(settings, outbox, probes));
        let watch = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&desk).watch()));
        Ok(Some(Self { pipeline: desk, _watch: watch }))
    }

    /// Tells of panics of our own too, from now on. `strike` takes secrets out of what they say.
    pub fn report_panics(&self, strike: impl Fn(&str) -> String + Send + Sync + 'static) {
        panic_hook::hook(&self.pipeline, strike);
    }

    /// What has become of the envelopes so far: one for each run that is sent, one for each error and one for each
    /// check-in. None is counted of what goes to a Spotlight.
    pub fn counts(&self) -> Counts {
        self.pipeline.outbox.counts()
    }
}

#[async_trait]
impl Sink for Sentry {
    fn report(&self, run: &Arc<Run>) {
        self.pipeline.report(run);
    }

    async fn flush(&self, grace: Duration) {
        self.pipeline.decide_now();
        let Some(counts) = self.pipeline.outbox.flush(grace).await else { return };
        if counts.waiting == 0 && counts.all_dropped() == 0 {
            tracing::info!("to Sentry: {counts}");
            return;
        }
        let waits = counts.waiting > counts.in_memory;
        let waits = if waits { "; what waits in the spool goes with the next start" } else { "" };
        let lost = counts.in_memory;
        let lost =
            if lost > 0 { format!("; {lost} in memory alone, and lost if this ends now") } else { String::new() };
        tracing::warn!("to Sentry: {counts}{waits}{lost}");
    }
}
