//! Where runs are reported: the seam between running probes and telling of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::run::Run;

pub mod console;
pub mod json;
pub mod sentry;

#[cfg(test)]
mod fixtures;

/// A place to which every run is reported.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Takes a finished run. Returns at once: what takes time is done elsewhere, within bounds.
    fn report(&self, run: &Arc<Run>);

    /// Sees everything reported so far on its way, for at most `grace`.
    async fn flush(&self, grace: Duration);
}

/// A run's tags: the guest's, and over them the operator's, who can rely on what the configuration says.
fn tags(run: &Run) -> BTreeMap<&str, &str> {
    run.tags.iter().chain(&*run.probe.tags).map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// To the microsecond: more digits than that are noise of the conversion.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
