//! Locates the problems with a probe in the configuration.

use crate::config::{self, Diagnostic};
use crate::sandbox::Problem;

/// Returns the problems with a probe, each with its place in the configuration.
pub fn diagnostics(probe: &config::Probe, problems: &[Problem]) -> impl Iterator<Item = Diagnostic> {
    problems.iter().map(|problem| probe.diagnostic(&problem.pointer, &problem.message))
}
