//! Runs that were skipped, and why: counted from one line of the log to the next. Knows times and titles, no runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

/// What was skipped since it was last told.
#[derive(Default)]
pub struct SkippedRuns(Mutex<Unreported>);

#[derive(Default)]
struct Unreported {
    runs: BTreeMap<Cause, u64>,
    /// By their numbers, so that each counts once.
    probes: BTreeSet<usize>,
    /// One of them, for whoever wants to look.
    title: String,
}

/// What went on while a run's time passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    LongRun,
    NoPlace,
    Behind,
}

impl Cause {
    /// What it was that took `all` the time: runs, waiting for places, or else the machine.
    pub fn of(all: Duration, ran: Duration, waited: Duration) -> Self {
        let behind = all.saturating_sub(ran + waited);
        // A machine that is late at a run's start is as late at each of its steps: those look like a long run.
        if behind >= all / 10 {
            Self::Behind
        } else if waited > ran {
            Self::NoPlace
        } else {
            Self::LongRun
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LongRun => "while an earlier one took too long (raise its `every`)",
            Self::NoPlace => "while no place was free (raise `limits.in_flight`)",
            Self::Behind => "while the machine was behind (give it less to do)",
        })
    }
}

impl SkippedRuns {
    /// So many runs of the probe with this number.
    pub fn record(&self, probe: usize, title: &str, runs: u32, cause: Cause) {
        let mut untold = self.lock();
        *untold.runs.entry(cause).or_default() += u64::from(runs);
        untold.probes.insert(probe);
        if untold.title.is_empty() {
            title.clone_into(&mut untold.title);
        }
    }

    /// One line on all of it, which is told from now on; none where there is nothing to tell.
    pub fn take_summary(&self) -> Option<String> {
        let Unreported { runs, probes, title } = std::mem::take(&mut *self.lock());
        let all: u64 = runs.values().sum();
        if all == 0 {
            return None;
        }
        let causes: Vec<_> = runs.iter().map(|(cause, runs)| format!("{runs} {cause}")).collect();
        let (noun, verb) = if all == 1 { ("run", "was") } else { ("runs", "were") };
        let whose = match probes.len() {
            1 => format!("of `{title}`"),
            probes => format!("of {probes} probes, `{title}` among them,"),
        };
        Some(format!("{all} {noun} {whose} {verb} skipped within a minute: {}", causes.join(", ")))
    }

    fn lock(&self) -> MutexGuard<'_, Unreported> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_told_in_one_line_and_once() {
        let skipped = SkippedRuns::default();
        assert_eq!(skipped.take_summary(), None);
        for probe in 0..1000 {
            skipped.record(probe, &format!("t{probe}"), 2, Cause::NoPlace);
            skipped.record(probe, &format!("t{probe}"), 1, Cause::Behind);
        }
        let told = "3000 runs of 1000 probes, `t0` among them, were skipped within a minute: 2000 while no place was free \
                    (raise `limits.in_flight`), 1000 while the machine was behind (give it less to do)";
        assert_eq!(skipped.take_summary().as_deref(), Some(told));
        assert_eq!(skipped.take_summary(), None);
        skipped.record(7, "Shop", 1, Cause::LongRun);
        let told =
            "1 run of `Shop` was skipped within a minute: 1 while an earlier one took too long (raise its `every`)";
        assert_eq!(skipped.take_summary().as_deref(), Some(told));
    }

    #[test]
    fn the_cause_is_what_took_the_time() {
        let cause =
            |ran, waited| Cause::of(Duration::from_secs(10), Duration::from_secs(ran), Duration::from_secs(waited));
        assert_eq!(cause(10, 0), Cause::LongRun);
        assert_eq!(cause(6, 4), Cause::LongRun);
        assert_eq!(cause(4, 6), Cause::NoPlace);
        assert_eq!(cause(9, 0), Cause::Behind);
        assert_eq!(cause(0, 9), Cause::Behind);
        // The wall's clock and the run's need not agree to the nanosecond.
        assert_eq!(cause(8, 3), Cause::LongRun);
    }
}
