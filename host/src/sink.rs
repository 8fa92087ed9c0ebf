//! Where runs are reported: the seam between running probes and telling of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::run::Run;

pub mod console;
pub mod sentry;

/// A place to which every run is reported.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Takes a finished run. Returns at once: what takes time is done elsewhere, within bounds.
    fn report(&self, run: &Arc<Run>);

    /// Sees everything reported so far on its way, for at most `grace`.
    async fn flush(&self, grace: Duration);
}
