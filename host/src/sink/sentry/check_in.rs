//! Runs as check-ins: one a minute at most for each monitor, as bad as the worst of that minute. Pure: is told what time
//! it is. Knows monitors and runs, and nothing of payloads or of sending.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::config::{Monitor, MonitorSubject, pointer_ancestors};
use crate::run::Run;
use crate::trace::TraceId;

/// What monitors are to be told, until it is time: by where in the configuration they are.
#[derive(Debug)]
pub struct Rollups(BTreeMap<String, Rollup>);

/// One check-in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CheckIn<'a> {
    pub monitor: &'a Monitor,
    pub well: bool,
    /// Of the longest run; none where it is not about a run.
    pub duration: Option<Duration>,
    /// Of the run that tells most: one that did not pass, if there is one.
    pub trace: Option<TraceId>,
}

/// Of one monitor.
#[derive(Debug)]
struct Rollup {
    monitor: Monitor,
    /// Whether to gather the runs of a minute.
    several_per_minute: bool,
    /// When the last check-in was due.
    last: Option<Instant>,
    open: Option<Open>,
    /// Probes whose latest run did not pass, and that run.
    down: BTreeMap<String, TraceId>,
}

/// What has come since the last check-in.
#[derive(Debug)]
struct Open {
    due: Instant,
    longest: Duration,
    latest: TraceId,
    bad: Option<TraceId>,
}

/// Sentry takes six check-ins a minute of a monitor, and counts in minutes.
pub const MINUTE: Duration = Duration::from_secs(60);

impl Rollups {
    /// For those of these monitors that runs check in to.
    pub fn new(monitors: &[Monitor]) -> Self {
        let rollup = |monitor: &Monitor| {
            let MonitorSubject::Probes { pointer, several_per_minute } = &monitor.subject else { return None };
            let monitor = monitor.clone();
            Some((
                pointer.clone(),
                Rollup {
                    monitor,
                    several_per_minute: *several_per_minute,
                    last: None,
                    open: None,
                    down: BTreeMap::new(),
                },
            ))
        };
        Self(monitors.iter().filter_map(rollup).collect())
    }

    /// Takes in a run that ended `now`. Whether it is to be told of.
    pub fn record(&mut self, run: &Run, now: Instant) -> bool {
        let mut noted = false;
        for place in pointer_ancestors(&run.probe.pointer) {
            if let Some(rollup) = self.0.get_mut(place) {
                rollup.record(run, now);
                noted = true;
            }
        }
        noted
    }

    /// When the next check-in is due.
    pub fn due(&self) -> Option<Instant> {
        self.0.values().filter_map(|rollup| rollup.open.as_ref()).map(|open| open.due).min()
    }

    /// The check-ins that are due `by` then; all that there are if none.
    pub fn take(&mut self, by: Option<Instant>) -> impl Iterator<Item = CheckIn<'_>> {
        self.0.values_mut().filter_map(move |rollup| rollup.take(by))
    }
}

impl Rollup {
    fn record(&mut self, run: &Run, now: Instant) {
        let trace = run.trace.id;
        // Sentry counts failures in a row itself, so that each is told: a number of ours before it would add to its.
        let bad = !run.outcome.passed();
        match bad {
            true => _ = self.down.insert(run.probe.pointer.clone(), trace),
            false => _ = self.down.remove(&run.probe.pointer),
        }
        let due = match self.last.map(|last| last + MINUTE) {
            _ if !self.several_per_minute => now,
            // Minute joins minute, so that check-ins do not drift.
            Some(next) if next > now => next,
            // Nor is one to be missed that is expected every minute, for a run that is a moment late.
            Some(_) if self.monitor.every == 1 => now,
            _ => now + MINUTE,
        };
        let open = self.open.get_or_insert(Open { due, longest: Duration::ZERO, latest: trace, bad: None });
        open.longest = open.longest.max(run.trace.duration());
        open.latest = trace;
        open.bad = bad.then_some(trace).or(open.bad);
    }

    fn take(&mut self, by: Option<Instant>) -> Option<CheckIn<'_>> {
        let open = self.open.take_if(|open| by.is_none_or(|by| open.due <= by))?;
        self.last = Some(open.due);
        // A group is not well while one of its probes is not, though that one has not run again.
        let bad = open.bad.or_else(|| self.down.values().next().copied());
        Some(CheckIn {
            monitor: &self.monitor,
            well: bad.is_none(),
            duration: Some(open.longest),
            trace: bad.or(Some(open.latest)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixtures;

    const SECOND: Duration = Duration::from_secs(1);

    /// A check-in: after how many seconds, whether well, its longest run's milliseconds, and its trace.
    type Told = (u64, bool, u128, u8);

    /// A run that ends after so many seconds: which probe's, whether well, its milliseconds, and its trace.
    #[derive(Clone, Copy)]
    struct Ended(u64, usize, bool, u64, u8);

    fn monitor(every: u32, several_per_minute: bool) -> Monitor {
        Monitor {
            slug: "shop".into(),
            subject: MonitorSubject::Probes { pointer: "/groups/0".into(), several_per_minute },
            every,
            margin: 2,
            failure_issue_threshold: None,
            recovery_threshold: None,
            owner: None,
        }
    }

    fn run(ended: Ended) -> Run {
        let Ended(_, probe, well, lasted, trace) = ended;
        let mut run = if well { fixtures::passed() } else { fixtures::failed() };
        let mut identity = (*run.probe).clone();
        identity.pointer = format!("/groups/0/probes/{probe}");
        run.probe = identity.into();
        run.trace.id = TraceId([trace; 16]);
        run.trace.spans[0].duration = Duration::from_millis(lasted);
        run
    }

    /// What is told when these runs end, second by second until `end`, and then all that is left.
    fn told(every: u32, several_per_minute: bool, runs: &[Ended], end: u64) -> Vec<Told> {
        let start = Instant::now();
        let mut rollups = Rollups::new(&[monitor(every, several_per_minute)]);
        let mut told = Vec::new();
        let mut keep = |second, check_in: CheckIn| {
            let lasted = check_in.duration.unwrap_or_default().as_millis();
            told.push((second, check_in.well, lasted, check_in.trace.unwrap().0[0]));
        };
        for second in 0..=end {
            let now = start + SECOND * u32::try_from(second).unwrap();
            for ended in runs.iter().filter(|ended| ended.0 == second) {
                assert!(rollups.record(&run(*ended), now));
            }
            rollups.take(Some(now)).for_each(|check_in| keep(second, check_in));
            assert!(rollups.due().is_none_or(|due| due > now));
        }
        rollups.take(None).for_each(|check_in| keep(end, check_in));
        assert_eq!(rollups.take(None).next(), None);
        told
    }

    #[test]
    fn one_that_runs_seldom_checks_in_at_once() {
        let runs = [Ended(3, 0, true, 10, 1), Ended(90, 0, false, 20, 2), Ended(123, 0, true, 30, 3)];
        assert_eq!(told(1, false, &runs, 200), [(3, true, 10, 1), (90, false, 20, 2), (123, true, 30, 3)]);
    }

    #[test]
    fn many_runs_of_a_minute_are_one_check_in() {
        let runs: Vec<_> = (0..=130).map(|second| Ended(second, 0, second != 70, 10 + second, second as u8)).collect();
        let told = told(1, true, &runs, 130);
        assert_eq!(told, [(60, true, 70, 60), (120, false, 130, 70), (130, true, 140, 130)]);
    }

    #[test]
    fn minutes_join_though_runs_do_not() {
        let every_40: Vec<_> = (0..8).map(|k| Ended(40 * k, 0, true, 10, 1)).collect();
        let at: Vec<_> = told(1, true, &every_40, 299).iter().map(|told| told.0).collect();
        assert_eq!(at, [60, 120, 180, 240, 299]);
    }

    #[test]
    fn after_a_pause_a_minute_is_gathered_anew() {
        let runs = [Ended(0, 0, true, 10, 1), Ended(300, 0, true, 10, 2), Ended(301, 0, false, 10, 3)];
        assert_eq!(told(5, true, &runs, 400), [(60, true, 10, 1), (360, false, 10, 3)]);
        let at_once = [(60, true, 10, 1), (300, true, 10, 2), (360, false, 10, 3)];
        assert_eq!(told(1, true, &runs, 400), at_once, "unless one is expected every minute");
    }

    #[test]
    fn a_group_is_down_while_one_of_its_probes_is() {
        let mut runs: Vec<_> = (0..5).map(|k| Ended(60 * k + 1, 0, true, 10, 1)).collect();
        runs.extend([Ended(2, 1, false, 10, 7), Ended(190, 1, true, 10, 8)]);
        let told = told(1, true, &runs, 300);
        let well: Vec<_> = told.iter().map(|told| (told.0, told.1, told.3)).collect();
        assert_eq!(well, [(61, false, 7), (121, false, 7), (181, false, 7), (241, true, 1)]);
    }

    #[test]
    fn what_passes_after_a_retry_is_well_and_what_breaks_is_not() {
        let mut rollups = Rollups::new(&[monitor(1, false)]);
        for (run, well) in [(fixtures::passed_after_retry(), true), (fixtures::broken(), false)] {
            rollups.record(&run, Instant::now());
            assert_eq!(rollups.take(None).map(|check_in| check_in.well).collect::<Vec<_>>(), [well]);
        }
    }

    #[test]
    fn other_probes_are_no_concern_of_a_monitor() {
        let mut rollups = Rollups::new(&[monitor(1, false)]);
        let mut run = fixtures::passed();
        let mut identity = (*run.probe).clone();
        identity.pointer = "/groups/01/probes/0".into();
        run.probe = identity.into();
        assert!(!rollups.record(&run, Instant::now()));
        assert_eq!(rollups.due(), None);
    }
}
