//! Rolls up runs into check-ins: at most one a minute for each monitor, with the status `error` if one run of that
//! minute did not pass. This module does no I/O, gets the time from its caller, and builds no payloads.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::config::{Monitor, MonitorSubject};
use crate::run::Run;
use crate::trace::TraceId;

/// The rollups of all monitors that runs check in to.
#[derive(Debug)]
pub struct Rollups {
    /// By the slugs of the monitors.
    rollups: BTreeMap<String, Rollup>,
    /// The slugs of the monitors that each probe checks in to, by the probe's number.
    slugs: HashMap<usize, Vec<String>>,
}

/// A check-in to a monitor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CheckIn<'a> {
    pub monitor: &'a Monitor,
    /// True for the status `ok`, false for `error`.
    pub is_ok: bool,
    /// The duration of the longest run, or `None` if the check-in is that of the host itself.
    pub duration: Option<Duration>,
    /// The trace of a run that did not pass, else that of the latest run. `None` for the host itself.
    pub trace: Option<TraceId>,
}

/// The rollup of one monitor.
#[derive(Debug)]
struct Rollup {
    monitor: Monitor,
    /// True if there may be several runs in a minute, which are rolled up into one check-in. Else each run checks in at
    /// once.
    is_batched: bool,
    /// The time at which the last check-in was due.
    last_due: Option<Instant>,
    pending: Option<Pending>,
    /// The probes whose latest run did not pass, by their numbers, and the trace of that run.
    failing: BTreeMap<usize, TraceId>,
}

/// The runs since the last check-in.
#[derive(Debug)]
struct Pending {
    due: Instant,
    /// The duration of the longest run.
    longest: Duration,
    latest: TraceId,
    /// The trace of the latest run that did not pass.
    failed: Option<TraceId>,
}

/// The length of one rollup. Sentry accepts six check-ins a minute for each monitor, and its schedules count in
/// minutes.
pub const MINUTE: Duration = Duration::from_secs(60);

impl Rollups {
    /// Creates rollups for those monitors that runs check in to.
    pub fn new(monitors: &[Monitor]) -> Self {
        let (mut rollups, mut slugs) = (BTreeMap::new(), HashMap::<_, Vec<_>>::new());
        for monitor in monitors {
            let MonitorSubject::Probes { several_per_minute, .. } = monitor.subject else { continue };
            for probe in &monitor.probes {
                slugs.entry(*probe).or_default().push(monitor.slug.clone());
            }
            let rollup = Rollup {
                monitor: monitor.clone(),
                is_batched: several_per_minute,
                last_due: None,
                pending: None,
                failing: BTreeMap::new(),
            };
            rollups.insert(monitor.slug.clone(), rollup);
        }
        Self { rollups, slugs }
    }

    /// Continues the rollups of earlier monitors. A monitor with the slug of an earlier one, or with its place and its
    /// probes, keeps the runs since the last check-in.
    pub fn continue_from(&mut self, earlier: Self) {
        for (slug, earlier) in earlier.rollups {
            let is_renamed = |rollup: &Rollup| {
                rollup.monitor.subject == earlier.monitor.subject && rollup.monitor.probes == earlier.monitor.probes
            };
            let same = if self.rollups.contains_key(&slug) {
                self.rollups.get_mut(&slug)
            } else {
                self.rollups.values_mut().find(|rollup| is_renamed(rollup))
            };
            if let Some(rollup) = same {
                rollup.continue_from(earlier);
            }
        }
    }

    /// Adds a run that ended at `now`. Returns true if at least one monitor covers its probe.
    pub fn record(&mut self, run: &Run, now: Instant) -> bool {
        let slugs = self.slugs.get(&run.probe.number);
        for slug in slugs.into_iter().flatten() {
            if let Some(rollup) = self.rollups.get_mut(slug) {
                rollup.record(run, now);
            }
        }
        slugs.is_some()
    }

    /// Returns the time at which the next check-in is due, or `None` if no run waits for one.
    pub fn next_due(&self) -> Option<Instant> {
        self.rollups.values().filter_map(|rollup| rollup.pending.as_ref()).map(|pending| pending.due).min()
    }

    /// Takes the check-ins that are due at or before `by`, or all that are pending if it is `None`.
    pub fn take(&mut self, by: Option<Instant>) -> impl Iterator<Item = CheckIn<'_>> {
        self.rollups.values_mut().filter_map(move |rollup| rollup.take(by))
    }
}

impl Rollup {
    /// Takes the runs since the last check-in from an earlier rollup.
    fn continue_from(&mut self, earlier: Self) {
        (self.last_due, self.pending, self.failing) = (earlier.last_due, earlier.pending, earlier.failing);
        self.failing.retain(|probe, _| self.monitor.probes.contains(probe));
    }

    fn record(&mut self, run: &Run, now: Instant) {
        let trace = run.trace.id;
        // The first failure counts already, whatever `failures_before_error` says: Sentry counts failures in a row
        // itself.
        let passed = run.outcome.passed();
        if passed {
            self.failing.remove(&run.probe.number);
        } else {
            self.failing.insert(run.probe.number, trace);
        }
        let due = match self.last_due.map(|last| last + MINUTE) {
            _ if !self.is_batched => now,
            // Each minute begins where the last one ended, so that check-ins do not drift.
            Some(next) if next > now => next,
            // Sentry expects a check-in every minute: a run that is slightly late must not make Sentry miss a check-in.
            Some(_) if self.monitor.every == 1 => now,
            _ => now + MINUTE,
        };
        let pending = Pending { due, longest: Duration::ZERO, latest: trace, failed: None };
        let pending = self.pending.get_or_insert(pending);
        pending.longest = pending.longest.max(run.trace.duration());
        pending.latest = trace;
        if !passed {
            pending.failed = Some(trace);
        }
    }

    fn take(&mut self, by: Option<Instant>) -> Option<CheckIn<'_>> {
        let pending = self.pending.take_if(|pending| by.is_none_or(|by| pending.due <= by))?;
        self.last_due = Some(pending.due);
        // A group is in error while one of its probes is, also in a minute in which that probe does not run.
        let failed = pending.failed.or_else(|| self.failing.values().next().copied());
        Some(CheckIn {
            monitor: &self.monitor,
            is_ok: failed.is_none(),
            duration: Some(pending.longest),
            trace: failed.or(Some(pending.latest)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixtures;

    const SECOND: Duration = Duration::from_secs(1);

    /// A check-in: the second, `is_ok`, the milliseconds of the longest run, and the trace.
    type Sent = (u64, bool, u128, u8);

    /// A run: the second in which it ends, the number of its probe, whether it passed, its milliseconds, and its trace.
    #[derive(Clone, Copy)]
    struct Ended(u64, usize, bool, u64, u8);

    fn monitor(every: u32, several_per_minute: bool) -> Monitor {
        Monitor {
            slug: "shop".into(),
            subject: MonitorSubject::Probes { pointer: "/groups/0".into(), several_per_minute },
            probes: vec![0, 1],
            every,
            margin: 2,
            failure_issue_threshold: None,
            recovery_threshold: None,
            owner: None,
        }
    }

    fn run(ended: Ended) -> Run {
        let Ended(_, probe, is_passed, millis, trace) = ended;
        let mut run = if is_passed { fixtures::passed() } else { fixtures::failed() };
        let mut identity = (*run.probe).clone();
        identity.number = probe;
        run.probe = identity.into();
        run.trace.id = TraceId([trace; 16]);
        run.trace.spans[0].duration = Duration::from_millis(millis);
        run
    }

    /// Returns the check-ins for these runs. Those that are due are taken every second until `end`, and all that are
    /// still pending at `end`.
    fn check_ins(every: u32, several_per_minute: bool, runs: &[Ended], end: u64) -> Vec<Sent> {
        let start = Instant::now();
        let mut rollups = Rollups::new(&[monitor(every, several_per_minute)]);
        let mut sent = Vec::new();
        let mut add = |second, check_in: CheckIn| {
            let millis = check_in.duration.unwrap_or_default().as_millis();
            sent.push((second, check_in.is_ok, millis, check_in.trace.unwrap().0[0]));
        };
        for second in 0..=end {
            let now = start + SECOND * u32::try_from(second).unwrap();
            for ended in runs.iter().filter(|ended| ended.0 == second) {
                assert!(rollups.record(&run(*ended), now));
            }
            rollups.take(Some(now)).for_each(|check_in| add(second, check_in));
            assert!(rollups.next_due().is_none_or(|due| due > now));
        }
        rollups.take(None).for_each(|check_in| add(end, check_in));
        assert_eq!(rollups.take(None).next(), None);
        sent
    }

    #[test]
    fn rare_runs_check_in_at_once() {
        let runs = [Ended(3, 0, true, 10, 1), Ended(90, 0, false, 20, 2), Ended(123, 0, true, 30, 3)];
        assert_eq!(check_ins(1, false, &runs, 200), [(3, true, 10, 1), (90, false, 20, 2), (123, true, 30, 3)]);
    }

    #[test]
    fn runs_of_one_minute_are_one_check_in() {
        let runs: Vec<_> = (0..=130).map(|second| Ended(second, 0, second != 70, 10 + second, second as u8)).collect();
        let sent = check_ins(1, true, &runs, 130);
        assert_eq!(sent, [(60, true, 70, 60), (120, false, 130, 70), (130, true, 140, 130)]);
    }

    #[test]
    fn minutes_follow_each_other_without_gaps() {
        let every_40: Vec<_> = (0..8).map(|k| Ended(40 * k, 0, true, 10, 1)).collect();
        let seconds: Vec<_> = check_ins(1, true, &every_40, 299).iter().map(|sent| sent.0).collect();
        assert_eq!(seconds, [60, 120, 180, 240, 299]);
    }

    #[test]
    fn after_a_gap_a_new_minute_begins() {
        let runs = [Ended(0, 0, true, 10, 1), Ended(300, 0, true, 10, 2), Ended(301, 0, false, 10, 3)];
        assert_eq!(check_ins(5, true, &runs, 400), [(60, true, 10, 1), (360, false, 10, 3)]);
        let at_once = [(60, true, 10, 1), (300, true, 10, 2), (360, false, 10, 3)];
        assert_eq!(check_ins(1, true, &runs, 400), at_once, "unless one is expected every minute");
    }

    #[test]
    fn a_group_is_in_error_while_one_of_its_probes_is() {
        let mut runs: Vec<_> = (0..5).map(|k| Ended(60 * k + 1, 0, true, 10, 1)).collect();
        runs.extend([Ended(2, 1, false, 10, 7), Ended(190, 1, true, 10, 8)]);
        let sent = check_ins(1, true, &runs, 300);
        let states: Vec<_> = sent.iter().map(|sent| (sent.0, sent.1, sent.3)).collect();
        assert_eq!(states, [(61, false, 7), (121, false, 7), (181, false, 7), (241, true, 1)]);
    }

    #[test]
    fn a_pass_after_a_retry_is_ok_and_a_broken_run_is_an_error() {
        let mut rollups = Rollups::new(&[monitor(1, false)]);
        for (run, is_ok) in [(fixtures::passed_after_retry(), true), (fixtures::broken(), false)] {
            rollups.record(&run, Instant::now());
            assert_eq!(rollups.take(None).map(|check_in| check_in.is_ok).collect::<Vec<_>>(), [is_ok]);
        }
    }

    #[test]
    fn monitors_can_be_added_and_renamed() {
        let of_probe = |slug: &str| Monitor {
            slug: slug.to_owned(),
            subject: MonitorSubject::Probes { pointer: "/groups/0/probes/0".into(), several_per_minute: false },
            probes: vec![0],
            ..monitor(1, false)
        };
        let slugs = |rollups: &mut Rollups| -> Vec<_> {
            rollups.take(None).map(|check_in| (check_in.monitor.slug.clone(), check_in.is_ok)).collect()
        };
        let now = Instant::now();
        let mut rollups = Rollups::new(&[monitor(1, false)]);
        assert!(rollups.record(&run(Ended(0, 0, false, 10, 1)), now));
        let replace = |rollups: &mut Rollups, monitors: &[Monitor]| {
            let earlier = std::mem::replace(rollups, Rollups::new(monitors));
            rollups.continue_from(earlier);
        };
        replace(&mut rollups, &[monitor(1, false), of_probe("redis")]);
        assert_eq!(slugs(&mut rollups), [("shop".to_owned(), false)], "the check-in that was pending is kept");
        rollups.record(&run(Ended(0, 0, false, 10, 2)), now);
        replace(&mut rollups, &[monitor(1, false), of_probe("cache")]);
        rollups.record(&run(Ended(0, 1, true, 10, 3)), now);
        assert_eq!(slugs(&mut rollups), [("cache".to_owned(), false), ("shop".to_owned(), false)]);
        rollups.record(&run(Ended(0, 0, false, 10, 4)), now);
        let of_another = Monitor { probes: vec![7], ..of_probe("other") };
        replace(&mut rollups, &[Monitor { probes: vec![1, 7], ..monitor(1, false) }, of_another]);
        let rest = slugs(&mut rollups);
        assert_eq!(rest, [("shop".to_owned(), false)], "another probe at the place of a monitor is not checked in");
        rollups.record(&run(Ended(0, 1, true, 10, 5)), now);
        assert_eq!(slugs(&mut rollups), [("shop".to_owned(), true)], "a probe that has ended fails no longer");
    }

    #[test]
    fn a_monitor_ignores_other_probes() {
        let mut rollups = Rollups::new(&[monitor(1, false)]);
        let mut run = fixtures::passed();
        let mut identity = (*run.probe).clone();
        identity.number = 2;
        run.probe = identity.into();
        assert!(!rollups.record(&run, Instant::now()));
        assert_eq!(rollups.next_due(), None);
    }
}
