//! The sinks: the destinations to which runs are reported.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::sinks::{SinkOptions, Sinks, StartError};
use crate::assessment::{AssessedRun, Decision};
use crate::run::Run;

mod sinks;
mod in_order;
pub mod console;
pub mod json;
pub mod report;
pub mod sentry;
pub mod text;

#[cfg(test)]
mod fixtures;

/// A destination to which every run is reported. Only [`Sinks`] calls its methods.
///
/// A sink may rely on this:
///
/// - **Secrets** are redacted in every run and decision before a sink gets them. A sink must not add any. It may write
///   everything that it gets anywhere.
/// - **Decisions** are made before a sink is called. A sink that raises alarms does so for a run with
///   [`ErrorAction::Report`], and for the runs of [`HeldErrors::Report`]; it needs neither `failures_before_error` nor
///   other runs for that.
/// - **Order**: the runs of one probe are reported in the order in which they ended, even if several threads report
///   them. Runs of different probes may be reported at the same time. A decision comes after the report of every run
///   that it concerns, and before that of the run that led to it. Decisions, and runs with [`ErrorAction::Hold`], come
///   one at a time.
/// - **Threads**: `report` is called by the threads that run probes, `on_decision` by these and by the runtime in which
///   [`Sinks`] was created, `flush` by a task of that runtime.
/// - **Panics**: a sink that panics loses the one report. The panic is logged, and stops neither the probes nor the
///   other sinks.
///
/// [`ErrorAction::Hold`]: crate::assessment::ErrorAction::Hold
/// [`ErrorAction::Report`]: crate::assessment::ErrorAction::Report
/// [`HeldErrors::Report`]: crate::assessment::HeldErrors::Report
#[async_trait]
pub trait Sink: Send + Sync {
    /// Takes a finished run.
    ///
    /// This is called on a thread that runs probes: the time that it takes delays their starts. It must return within
    /// microseconds, or within the time of an append to a file, and must never wait for a network, a terminal or a lock
    /// that is held while something waits for either. Longer work belongs in a bounded queue, from which another thread
    /// or task takes it.
    fn report(&self, run: &Arc<AssessedRun>);

    /// Takes a decision about runs that were reported earlier, and about the network of this host.
    ///
    /// This is called with a lock held that all reports need: it must return as quickly as `report`, and must not call
    /// [`Sinks`].
    fn on_decision(&self, decision: &Decision) {
        _ = decision;
    }

    /// Delivers everything that was reported so far. Returns as soon as that is done, and after `timeout` at the
    /// latest. Before it returns, it logs what could not be delivered, or stores it for the next start. The call is
    /// cancelled soon after `timeout` if it has not returned by then. The process may end after this call.
    async fn flush(&self, timeout: Duration);
}

/// Returns the tags of a run. A tag of the configuration replaces a tag of the guest with the same name, so that an
/// operator can rely on it.
fn tags(run: &Run) -> BTreeMap<&str, &str> {
    run.tags.iter().chain(&*run.probe.tags).map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// Converts a duration to milliseconds, rounded to the microsecond: further digits would be rounding errors of the
/// conversion.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
