//! The results of attempts to load probes while others run.

use crate::config::Diagnostic;
use crate::run::Run;
use crate::sandbox::Probe;

/// The result of one attempt to load a probe.
pub enum Attempt {
    /// The probe has been loaded, for the first time or again.
    Ready { probe: Probe, warnings: Vec<Diagnostic> },
    /// The probe could not be loaded.
    Failed(Box<FailedLoad>),
}

/// A failed attempt to load a probe.
pub struct FailedLoad {
    /// The broken run to report.
    pub run: Run,
    /// The problems with the probe. Empty if they are those of the attempt before.
    pub problems: Vec<Diagnostic>,
}
