//! The options of the console.

use crate::sink::text::TextOptions;

/// The form in which the console shows runs.
#[derive(Debug, Clone, Copy)]
pub struct ConsoleOptions {
    /// True for one JSON object a line instead of text. Of the other options, only `is_continuous` applies to JSON.
    pub json: bool,
    /// True for the waterfall of every run, false for those of runs that did not pass.
    pub all_waterfalls: bool,
    /// True if the host runs until it is stopped. Each run then begins with the local time of day, a line with the date
    /// comes before the first run of each day, and runs that end at about the same time are written together.
    pub is_continuous: bool,
    /// The maximum number of characters of a line.
    pub width: usize,
}

impl ConsoleOptions {
    /// Returns options for text. The width is that in the environment variable `COLUMNS`, else that of the terminal,
    /// else 100.
    pub fn text(all_waterfalls: bool, is_continuous: bool) -> Self {
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let terminal = || terminal_size::terminal_size().map(|(terminal_size::Width(width), _)| width.into());
        Self { json: false, all_waterfalls, is_continuous, width: columns.or_else(terminal).unwrap_or(100) }
    }

    /// Returns the form of the lines of a run.
    pub(super) fn lines(&self) -> TextOptions {
        TextOptions { all_waterfalls: self.all_waterfalls, has_time: self.is_continuous, width: self.width }
    }

    /// Returns options for JSON of a host that runs until it is stopped.
    pub fn json() -> Self {
        Self { json: true, all_waterfalls: true, is_continuous: true, width: usize::MAX }
    }
}
