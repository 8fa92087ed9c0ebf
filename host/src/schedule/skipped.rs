//! Counts skipped runs by their causes, for one log line about all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;

/// The runs that were skipped since the last summary.
#[derive(Default)]
pub struct SkippedRuns(Mutex<Unreported>);

#[derive(Default)]
struct Unreported {
    runs: BTreeMap<SkipCause, u64>,
    /// The numbers of the probes whose runs were skipped, so that each probe counts once.
    probes: BTreeSet<usize>,
    /// The title of the first of these probes, as an example.
    title: String,
}

/// The main reason why runs were skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipCause {
    /// The probe's previous run took longer than `every`.
    LongRun,
    /// The previous run waited for a permit: `limits.in_flight` runs were in progress.
    NoPermit,
    /// The machine had too little CPU time for the host.
    Overloaded,
}

/// A summary of the skipped runs for the log. It is displayed as one sentence with advice for each cause.
#[derive(Debug, PartialEq, Eq)]
pub struct SkippedSummary {
    /// The number of different probes whose runs were skipped.
    pub probes: usize,
    /// The title of one of these probes.
    pub title: String,
    runs: BTreeMap<SkipCause, u64>,
}

impl SkipCause {
    /// Returns the cause of skipped runs from three durations of the runs before them: `elapsed` is the time from when
    /// they were due to their end, `ran` the part of it in which they ran, and `waited` the part in which they waited
    /// for permits. In the rest, the machine delayed them.
    pub fn new(elapsed: Duration, ran: Duration, waited: Duration) -> Self {
        let delayed = elapsed.saturating_sub(ran + waited);
        // An overloaded machine also delays the steps of a run, and that time is part of `ran`. So a tenth of the time
        // is enough to conclude that the machine is overloaded.
        if delayed >= elapsed / 10 {
            Self::Overloaded
        } else if waited > ran {
            Self::NoPermit
        } else {
            Self::LongRun
        }
    }
}

impl SkipCause {
    fn as_str(self) -> &'static str {
        match self {
            Self::LongRun => "long-run",
            Self::NoPermit => "in-flight",
            Self::Overloaded => "overloaded",
        }
    }
}

impl fmt::Display for SkipCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LongRun => "because the previous run took too long (raise its `every`)",
            Self::NoPermit => "because too many runs were in progress (raise `limits.in_flight`)",
            Self::Overloaded => "because the machine was overloaded (run fewer probes, or raise their `every`)",
        })
    }
}

impl SkippedRuns {
    /// Counts `runs` skipped runs of the probe with this index and title.
    pub fn record(&self, probe: usize, title: &str, runs: u32, cause: SkipCause) {
        let mut unreported = self.0.lock();
        *unreported.runs.entry(cause).or_default() += u64::from(runs);
        unreported.probes.insert(probe);
        if unreported.title.is_empty() {
            title.clone_into(&mut unreported.title);
        }
    }

    /// Returns a summary of the runs skipped since the last call, or `None` if there are none.
    pub fn take_summary(&self) -> Option<SkippedSummary> {
        let Unreported { runs, probes, title } = std::mem::take(&mut *self.0.lock());
        let summary = SkippedSummary { probes: probes.len(), title, runs };
        (summary.runs() > 0).then_some(summary)
    }
}

impl SkippedSummary {
    /// Returns the names of the causes: `long-run`, `in-flight` or `overloaded`.
    pub fn causes(&self) -> Vec<&'static str> {
        self.runs.keys().map(|cause| cause.as_str()).collect()
    }

    /// Returns the number of skipped runs of all probes together.
    pub fn runs(&self) -> u64 {
        self.runs.values().sum()
    }
}

impl fmt::Display for SkippedSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { probes, title, runs } = self;
        let total = self.runs();
        let (noun, verb) = if total == 1 { ("run", "was") } else { ("runs", "were") };
        let by_cause: Vec<_> = runs.iter().map(|(cause, runs)| format!("{runs} {cause}")).collect();
        let subject = match probes {
            1 => format!("`{title}`"),
            _ => format!("{probes} probes, `{title}` among them,"),
        };
        write!(f, "{total} {noun} of {subject} {verb} skipped in the last minute: {}", by_cause.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(skipped: &SkippedRuns, expected: Option<&str>) {
        assert_eq!(skipped.take_summary().map(|summary| summary.to_string()).as_deref(), expected);
    }

    #[test]
    fn all_skipped_runs_are_summarised_in_one_line_and_once() {
        let skipped = SkippedRuns::default();
        check(&skipped, None);
        for probe in 0..1000 {
            skipped.record(probe, &format!("t{probe}"), 2, SkipCause::NoPermit);
            skipped.record(probe, &format!("t{probe}"), 1, SkipCause::Overloaded);
        }
        let expected = "3000 runs of 1000 probes, `t0` among them, were skipped in the last minute: \
                        2000 because too many runs were in progress (raise `limits.in_flight`), \
                        1000 because the machine was overloaded (run fewer probes, or raise their `every`)";
        check(&skipped, Some(expected));
        check(&skipped, None);
        skipped.record(7, "Shop", 1, SkipCause::LongRun);
        let expected = "1 run of `Shop` was skipped in the last minute: \
                        1 because the previous run took too long (raise its `every`)";
        check(&skipped, Some(expected));
    }

    #[test]
    fn the_cause_is_what_took_most_of_the_time() {
        let seconds = Duration::from_secs;
        let cause = |ran, waited| SkipCause::new(seconds(10), seconds(ran), seconds(waited));
        assert_eq!(cause(10, 0), SkipCause::LongRun);
        assert_eq!(cause(6, 4), SkipCause::LongRun);
        assert_eq!(cause(4, 6), SkipCause::NoPermit);
        assert_eq!(cause(9, 0), SkipCause::Overloaded);
        assert_eq!(cause(0, 9), SkipCause::Overloaded);
        // The durations come from different clocks and need not agree to the nanosecond.
        assert_eq!(cause(8, 3), SkipCause::LongRun);
    }
}
