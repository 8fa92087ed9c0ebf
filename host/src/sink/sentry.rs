//! The sink for Sentry: runs as transactions, errors and check-ins. Only this module depends on Sentry's format
//! and servers.
//!
//! A run passes through these modules: `pipeline` samples it and has `envelope_builder` build its envelopes; `fanout`
//! pushes them to Sentry and to a Spotlight; and for each of these, a `transport` sends them from its `queue` to its
//! `destination`. An envelope is in the `spool` until it is accepted or dropped.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::client::StartError;
use self::fanout::Fanout;
pub use self::online_check::{OnlineCheck, OnlineResult, check_online};
pub use self::outcomes::{Counts, DropReason};
use self::pipeline::Pipeline;
use super::Sink;
use crate::assessment::{AssessedRun, Decision};
use crate::config;

mod pipeline;
mod sampling;
mod offline_event;
mod configuration_event;
mod panic_hook;
mod check_in_timer;
mod check_in;
mod envelope;
#[cfg(fuzzing)]
pub mod fuzzing;
mod envelope_builder;
mod online_check;
mod client_report;
mod payload;
mod json_writer;
mod fanout;
mod compression;
mod transport;
mod delivery;
mod destination;
mod client;
mod backoff;
mod queue;
mod rate_limits;
mod spool;
mod outcomes;

/// Sends runs to Sentry, to a Spotlight, or to both, and check-ins to Sentry's monitors. Every run is sent, unless the
/// configuration samples those that pass.
///
/// The envelopes of a reported run stay in the spool until Sentry has accepted them or they are dropped. A spool on
/// disk survives outages of Sentry and the end of this process; one in memory is lost when the process ends. A spool
/// that is full drops its oldest envelopes.
pub struct Sentry {
    pipeline: Arc<Pipeline>,
}

impl Sentry {
    /// Starts sending, beginning with the envelopes that an earlier process left in the spool. Returns `None` if
    /// neither a DSN nor a Spotlight is configured. Must be called within a tokio runtime, in which everything is sent.
    ///
    /// # Errors
    ///
    /// Returns a [`StartError`] if no HTTP client can be created.
    pub fn start(settings: &config::Sentry) -> Result<Option<Self>, StartError> {
        let Some(fanout) = Fanout::start(settings)? else { return Ok(None) };
        Ok(Some(Self { pipeline: Arc::new(Pipeline::new(settings, fanout)) }))
    }

    /// Starts reporting panics of this process too. `redact` removes secrets from their messages.
    pub fn report_panics(&self, redact: impl Fn(&str) -> String + Send + Sync + 'static) {
        panic_hook::install(&self.pipeline, redact);
    }

    /// Replaces the monitors that runs check in to. The monitor of the host stays as it is.
    pub fn set_monitors(&self, monitors: &[config::Monitor]) {
        self.pipeline.set_monitors(monitors);
    }

    /// Reports that a new configuration was refused. `text` has the errors in the configuration of this name.
    pub fn report_refused_configuration(&self, name: &str, text: &str) {
        self.pipeline.report_refused_configuration(name, text);
    }

    /// Counts the envelopes for Sentry so far by their outcome. There is one for each run that is sent, one for each
    /// error and one for each check-in. Envelopes for a Spotlight are not counted.
    pub fn counts(&self) -> Counts {
        self.pipeline.fanout.counts()
    }

    /// Returns what Sentry has not accepted so far, in one line with the cause. `None` if it has accepted everything.
    pub fn undelivered(&self) -> Option<String> {
        self.pipeline.fanout.undelivered()
    }
}

#[async_trait]
impl Sink for Sentry {
    fn report(&self, run: &Arc<AssessedRun>) {
        self.pipeline.report(run);
    }

    fn on_decision(&self, decision: &Decision) {
        self.pipeline.on_decision(decision);
    }

    async fn flush(&self, timeout: Duration) {
        self.pipeline.flush_check_ins();
        let Some(counts) = self.pipeline.fanout.flush(timeout).await else { return };
        if counts.waiting == 0 && counts.all_dropped() == 0 {
            tracing::info!(sent = counts.sent, "envelopes for Sentry: {counts}");
            return;
        }
        let in_spool =
            if counts.waiting > counts.in_memory { "; those in the spool are sent by the next start" } else { "" };
        let in_memory = if counts.in_memory > 0 {
            format!("; {} are in memory only, and lost when this process ends", counts.in_memory)
        } else {
            String::new()
        };
        tracing::warn!(
            sent = counts.sent,
            waiting = counts.waiting,
            in_memory = counts.in_memory,
            dropped = counts.all_dropped(),
            "envelopes for Sentry: {counts}{in_spool}{in_memory}"
        );
    }
}
