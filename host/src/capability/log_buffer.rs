//! The last lines of a run's log.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::capability::text::truncate;
use crate::config::Limits;
use crate::run::{Level, LogLine};
use crate::trace::Recorder;

/// Bytes of one line.
pub const MAX_LINE_BYTES: usize = 4096;

/// The last lines of one run, shared by all that write them.
#[derive(Clone)]
pub struct LogBuffer {
    recorder: Recorder,
    limits: Limits,
    kept: Arc<Mutex<Lines>>,
}

#[derive(Default)]
struct Lines {
    lines: VecDeque<LogLine>,
    /// Bytes of them.
    size: usize,
    left_out: usize,
}

impl LogBuffer {
    pub fn new(recorder: Recorder, limits: Limits) -> Self {
        Self { recorder, limits, kept: Arc::default() }
    }

    pub fn write(&self, level: Level, message: String) {
        let message = truncate(message, MAX_LINE_BYTES.min(self.limits.log_size));
        self.insert(LogLine { at: self.recorder.elapsed(), level, message });
    }

    /// Adds a line as it is.
    pub fn insert(&self, line: LogLine) {
        let Limits { log_lines, log_size, .. } = self.limits;
        let mut kept = self.lock();
        kept.size += line.message.len();
        kept.lines.push_back(line);
        while kept.lines.len() > log_lines || kept.size > log_size {
            kept.leave_out_first();
        }
    }

    /// How many lines there have been.
    pub fn count(&self) -> usize {
        let kept = self.lock();
        kept.left_out + kept.lines.len()
    }

    /// The lines after so many, as far as they are kept.
    pub fn since(&self, count: usize) -> Vec<LogLine> {
        let kept = self.lock();
        kept.lines.iter().skip(count.saturating_sub(kept.left_out)).cloned().collect()
    }

    /// Writes a line, unless it stands there.
    pub fn write_once(&self, level: Level, message: String) {
        let message = truncate(message, MAX_LINE_BYTES);
        let known = self.lock().lines.iter().any(|line| line.message == message);
        if !known {
            self.write(level, message);
        }
    }

    /// What a guest said last of what went wrong: as a rule why it then trapped. In the log itself it stays too.
    pub fn last_words(&self) -> Option<String> {
        const MOST: usize = 4;
        const LONGEST: usize = 500;
        // Rust's advice to whoever runs a program by hand.
        const ADVICE: &str = "note: run with `RUST_BACKTRACE";
        let kept = self.kept.lock();
        let said = kept.lines.iter().rev().filter(|line| matches!(line.level, Level::Warn | Level::Error));
        let said = said.map(|line| line.message.trim()).filter(|line| !line.is_empty() && !line.starts_with(ADVICE));
        let mut last: Vec<_> = said.take(MOST).collect();
        last.reverse();
        (!last.is_empty()).then(|| truncate(last.join(" / "), LONGEST))
    }

    /// The lines; where there were more, the first of them says so.
    pub fn take(&self) -> Vec<LogLine> {
        let mut kept = std::mem::take(&mut *self.lock());
        if kept.left_out > 0 {
            if kept.lines.len() == self.limits.log_lines {
                kept.leave_out_first();
            }
            let message = format!(
                "{} earlier lines are left out: `limits.log_lines` and `limits.log_size` say how many are kept",
                kept.left_out
            );
            let at = kept.lines.front().map_or(self.recorder.elapsed(), |line| line.at);
            kept.lines.push_front(LogLine { at, level: Level::Warn, message });
        }
        kept.lines.into()
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.kept.lock()
    }
}

impl Lines {
    fn leave_out_first(&mut self) {
        if let Some(line) = self.lines.pop_front() {
            self.size -= line.message.len();
            self.left_out += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that are left of `written`, each of which is its number and as many bytes long as it may be.
    #[track_caller]
    fn check(limits: Limits, written: usize, expected: &[&str]) {
        let journal = LogBuffer::new(Recorder::start(String::new(), String::new()), limits);
        for number in 0..written {
            journal.write(Level::Info, format!("{number:04}{}", "x".repeat(5000)));
        }
        let lines = journal.take();
        let shown: Vec<_> = lines.iter().map(|line| line.message.split(' ').next().unwrap_or_default()).collect();
        let shown: Vec<_> = shown.iter().map(|word| word.trim_end_matches('x')).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_last_lines_are_kept_and_what_is_left_out_is_counted() {
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
