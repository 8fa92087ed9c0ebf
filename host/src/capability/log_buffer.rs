//! The last lines of a run's log.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::capability::text::truncate;
use crate::config::Limits;
use crate::run::{Level, LogLine};
use crate::trace::Recorder;

/// The maximum bytes of one line. Longer lines are cut.
pub const MAX_LINE_BYTES: usize = 4096;

/// The last lines of one run's log, up to the limits on their number and their size. Clones share the lines.
#[derive(Clone)]
pub struct LogBuffer {
    recorder: Recorder,
    limits: Limits,
    lines: Arc<Mutex<Lines>>,
}

#[derive(Default)]
struct Lines {
    last: VecDeque<LogLine>,
    /// Bytes of the messages of these lines.
    size: usize,
    /// The number of lines that were dropped because of the limits.
    dropped: usize,
}

impl LogBuffer {
    /// Returns an empty log. Lines get their times from `recorder`.
    pub fn new(recorder: Recorder, limits: Limits) -> Self {
        Self { recorder, limits, lines: Arc::default() }
    }

    /// Writes a line at the current time of the run.
    pub fn write(&self, level: Level, message: String) {
        let message = truncate(message, MAX_LINE_BYTES.min(self.limits.log_size));
        self.insert(LogLine { at: self.recorder.elapsed(), level, message });
    }

    /// Adds a line unchanged, and drops the oldest lines until the limits are met. Waits while another thread has the
    /// run's trace for itself ([`Recorder::exclusive`]).
    pub fn insert(&self, line: LogLine) {
        let _exclusive = self.recorder.exclusive();
        let Limits { log_lines, log_size, .. } = self.limits;
        let mut lines = self.lines.lock();
        lines.size += line.message.len();
        lines.last.push_back(line);
        while lines.last.len() > log_lines || lines.size > log_size {
            lines.drop_first();
        }
    }

    /// Returns the number of lines that were written, including dropped ones.
    pub fn count(&self) -> usize {
        let lines = self.lines.lock();
        lines.dropped + lines.last.len()
    }

    /// Returns the lines that were written after the first `count`, except for dropped ones.
    pub fn since(&self, count: usize) -> Vec<LogLine> {
        let lines = self.lines.lock();
        lines.last.iter().skip(count.saturating_sub(lines.dropped)).cloned().collect()
    }

    /// Writes a line unless the log has one with the same message.
    pub fn write_once(&self, level: Level, message: String) {
        let message = truncate(message, MAX_LINE_BYTES);
        let is_new = self.lines.lock().last.iter().all(|line| line.message != message);
        if is_new {
            self.write(level, message);
        }
    }

    /// Returns the last warnings and errors, which usually give the cause of a trap, as one text of at most 4 lines and
    /// 500 bytes. Returns `None` if there are none. The lines stay in the log.
    pub fn last_warnings(&self) -> Option<String> {
        const MAX_LINES: usize = 4;
        const MAX_BYTES: usize = 500;
        // A hint that Rust's panic handler prints, which does not apply here.
        const ADVICE: &str = "note: run with `RUST_BACKTRACE";
        let lines = self.lines.lock();
        let warnings = lines.last.iter().rev().filter(|line| matches!(line.level, Level::Warn | Level::Error));
        let messages = warnings.map(|line| line.message.trim());
        let messages = messages.filter(|message| !message.is_empty() && !message.starts_with(ADVICE));
        let mut messages: Vec<_> = messages.take(MAX_LINES).collect();
        messages.reverse();
        (!messages.is_empty()).then(|| truncate(messages.join(" / "), MAX_BYTES))
    }

    /// Takes all lines. If some were dropped, the first line says how many.
    pub fn take(&self) -> Vec<LogLine> {
        let mut lines = std::mem::take(&mut *self.lines.lock());
        if lines.dropped > 0 {
            if lines.last.len() == self.limits.log_lines {
                lines.drop_first();
            }
            let message = format!(
                "{} earlier lines are left out: `limits.log_lines` and `limits.log_size` say how many are kept",
                lines.dropped
            );
            let at = lines.last.front().map_or(self.recorder.elapsed(), |line| line.at);
            lines.last.push_front(LogLine { at, level: Level::Warn, message });
        }
        lines.last.into()
    }
}

impl Lines {
    fn drop_first(&mut self) {
        if let Some(line) = self.last.pop_front() {
            self.size -= line.message.len();
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes lines that begin with their numbers and are longer than allowed, and checks the numbers of those that are
    /// left.
    #[track_caller]
    fn check(limits: Limits, written: usize, expected: &[&str]) {
        let log = LogBuffer::new(Recorder::start(String::new(), String::new()), limits);
        for number in 0..written {
            log.write(Level::Info, format!("{number:04}{}", "x".repeat(5000)));
        }
        let lines = log.take();
        let first_words = lines.iter().map(|line| line.message.split(' ').next().unwrap_or_default());
        let numbers: Vec<_> = first_words.map(|word| word.trim_end_matches('x')).collect();
        assert_eq!(numbers, expected);
    }

    #[test]
    fn the_last_lines_are_kept_and_dropped_ones_are_counted() {
        let limits = Limits { log_lines: 3, ..Limits::default() };
        check(limits, 0, &[]);
        check(limits, 3, &["0000", "0001", "0002"]);
        check(limits, 10, &["8", "0008", "0009"]);
        check(Limits { log_lines: 1, ..limits }, 2, &["2"]);
        let limits = Limits { log_size: 2 * MAX_LINE_BYTES + 1, ..Limits::default() };
        check(limits, 10, &["8", "0008", "0009"]);
        check(Limits { log_size: 1024, ..limits }, 2, &["1", "0001"]);
    }
}
