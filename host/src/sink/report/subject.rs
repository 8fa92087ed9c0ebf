//! What reports are about, and what several formats share.

use std::collections::HashMap;

use crate::assessment::AssessedRun;
use crate::config::Place;
use crate::run::{Outcome, Run};

/// What all reports of a command are about.
#[derive(Debug, Clone, Default)]
pub struct ReportSubject {
    /// The name of the configuration.
    pub name: String,
    /// The places of probes in the configuration, by [`Identity::pointer`](crate::run::Identity::pointer).
    pub places: HashMap<String, Place>,
}

/// The maximum number of characters of a line, as far as lines are wrapped.
pub const WIDTH: usize = 120;

impl ReportSubject {
    /// Returns the place of the probe of a run.
    pub fn place(&self, run: &Run) -> Option<&Place> {
        self.places.get(&run.probe.pointer)
    }
}

/// The numbers of runs by what they mean for a CI system.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub broken: usize,
}

impl Counts {
    /// Counts runs.
    pub fn of<'a>(runs: impl IntoIterator<Item = &'a AssessedRun>) -> Self {
        let mut counts = Self::default();
        for AssessedRun { run, .. } in runs {
            *counts.of_outcome(run) += 1;
        }
        counts
    }

    fn of_outcome(&mut self, run: &Run) -> &mut usize {
        match run.outcome {
            Outcome::Failed(_) => &mut self.failed,
            Outcome::Broken(_) => &mut self.broken,
            Outcome::Passed | Outcome::PassedAfterRetry(_) => &mut self.passed,
        }
    }
}
