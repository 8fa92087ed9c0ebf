//! The sinks: where runs are reported.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::sinks::{SinkOptions, Sinks};
use crate::assessment::{AssessedRun, Decision};
use crate::run::Run;

mod sinks;
mod in_order;
pub mod console;
pub mod json;
pub mod sentry;

#[cfg(test)]
mod fixtures;

/// A destination of every run. [`Sinks`] calls all of its methods.
///
/// A sink may rely on this:
///
/// - **Secrets** are redacted in every run and decision before a sink gets them. A sink adds none, and may write all that
///   it gets anywhere.
/// - **Decisions** are made. A sink that raises alarms does so for a run with [`ErrorAction::Report`], and for the runs of
///   [`HeldErrors::Report`]; it needs to know neither `failures_before_error` nor other runs.
/// - **Order**: the runs of one probe are reported in the order in which they ended, also where their reports come from
///   several threads. Runs of different probes may be reported at the same time. A decision comes after the report of every
///   run that it concerns, and before that of the run that led to it. Decisions, and runs with [`ErrorAction::Hold`], come
///   one at a time.
/// - **Threads**: `report` is called by the threads that run probes, `on_decision` by these and by the runtime in which
///   [`Sinks`] was created, `flush` by a task of that runtime.
/// - **Panics** of a sink cost that sink the one report. They are logged, and neither stop the probes nor the other sinks.
///
/// [`ErrorAction::Hold`]: crate::assessment::ErrorAction::Hold
/// [`ErrorAction::Report`]: crate::assessment::ErrorAction::Report
/// [`HeldErrors::Report`]: crate::assessment::HeldErrors::Report
#[async_trait]
pub trait Sink: Send + Sync {
    /// Takes a finished run.
    ///
    /// The thread that calls this runs probes: whatever `report` takes delays their starts. It returns within
    /// microseconds, or within the time of an append to a file, and never waits for a network, a terminal or a lock that is
    /// held during either. What takes longer is queued, in a queue with a bound, and done elsewhere. At 200 runs a second a
    /// thread spends about a tenth of its time on runs.
    fn report(&self, run: &Arc<AssessedRun>);

    /// Takes a decision about runs that were reported earlier, and about the network of this host.
    ///
    /// A lock that all reports need is held meanwhile: the same bounds apply as for `report`, and `on_decision` must not call
    /// [`Sinks`].
    fn on_decision(&self, decision: &Decision) {
        _ = decision;
    }

    /// Delivers everything that was reported so far. Returns as soon as that is done, and at the latest after
    /// `timeout`. Before it returns, it logs what could not be delivered, or stores it for the next start. The call is
    /// cancelled soon after `timeout` if it has not returned by then. The process may end after this call.
    async fn flush(&self, timeout: Duration);
}

/// Returns the tags of a run. The configuration's replace the guest's of the same name, so that an operator can rely on
/// them.
fn tags(run: &Run) -> BTreeMap<&str, &str> {
    run.tags.iter().chain(&*run.probe.tags).map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// Returns a duration in milliseconds, rounded to the microsecond: further digits would be noise of the conversion.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
