//! The progress of a command that runs each probe once, on the status line of a terminal.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sentrynet::run::Outcome;
use sentrynet::sink::text::format_duration;
use tokio::time::{Interval, MissedTickBehavior};

use crate::logging::start_status_line;
use crate::logging::status_line::StatusLine;

/// How many probes have run, and which are running. It is shown until it is dropped, if there is a status line.
pub struct Progress {
    /// `None` if nothing is shown.
    line: Option<(StatusLine, Interval)>,
    probes: usize,
    passed: usize,
    failed: usize,
    broken: usize,
    /// The probes that are running, by their indices, which grow with the times of their starts.
    running: BTreeMap<usize, (Instant, String)>,
}

/// The time from one change of the line to the next, and before the first.
const INTERVAL: Duration = Duration::from_millis(200);

impl Progress {
    /// Creates the progress of a command that runs this number of probes. One probe alone has none.
    pub fn start(probes: usize) -> Self {
        let line = (probes > 1).then(start_status_line).flatten().map(|line| (line, interval()));
        Self { line, probes, passed: 0, failed: 0, broken: 0, running: BTreeMap::new() }
    }

    pub fn add_started(&mut self, index: usize, title: &str) {
        self.running.insert(index, (Instant::now(), title.to_owned()));
    }

    pub fn add_ended(&mut self, index: usize, outcome: &Outcome) {
        self.running.remove(&index);
        *match outcome {
            Outcome::Passed | Outcome::PassedAfterRetry(_) => &mut self.passed,
            Outcome::Failed(_) => &mut self.failed,
            Outcome::Broken(_) => &mut self.broken,
        } += 1;
    }

    /// Changes the line again and again. Never returns; may be cancelled at any time.
    pub async fn show(&mut self) {
        loop {
            match &mut self.line {
                Some((_, interval)) => _ = interval.tick().await,
                None => std::future::pending().await,
            }
            if let Some((line, _)) = &self.line {
                line.show(&self.text());
            }
        }
    }

    /// Returns a text such as `12 of 40 probes done, 1 failed; running for 3.20 s: Shop`.
    fn text(&self) -> String {
        let Self { probes, passed, failed, broken, .. } = self;
        let counts = [(failed, "failed"), (broken, "broken")].into_iter().filter(|(count, _)| **count > 0);
        let counts: String = counts.map(|(count, word)| format!(", {count} {word}")).collect();
        let slowest = self
            .running
            .first_key_value()
            .map(|(_, (started, title))| format!("; running for {}: {title}", format_duration(started.elapsed())));
        format!("{} of {probes} probes done{counts}{}", passed + failed + broken, slowest.unwrap_or_default())
    }
}

fn interval() -> Interval {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + INTERVAL, INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

#[cfg(test)]
mod tests {
    use sentrynet::run::{Failure, Fault, FaultKind};

    use super::*;

    #[test]
    fn the_text_has_the_counts_and_the_probe_that_runs_for_longest() {
        let mut progress = Progress::start(4);
        assert_eq!(progress.text(), "0 of 4 probes done");
        for (index, title) in ["a", "b", "c", "d"].into_iter().enumerate() {
            progress.add_started(index, title);
        }
        progress.add_ended(0, &Outcome::Passed);
        assert!(progress.text().starts_with("1 of 4 probes done; running for "), "{}", progress.text());
        let failure = Failure { reason: String::new(), message: String::new(), mismatches: Vec::new() };
        let fault = Fault { kind: FaultKind::Host, message: String::new(), backtrace: Vec::new() };
        progress.add_ended(2, &Outcome::Failed(failure));
        progress.add_ended(3, &Outcome::Broken(fault));
        let text = progress.text();
        assert!(text.starts_with("3 of 4 probes done, 1 failed, 1 broken; running for "), "{text}");
        assert!(text.ends_with("s: b"), "{text}");
    }
}
