//! A run as lines of text, for the console and for reports. Independent of the output.

mod answer;
mod excerpt;
mod format;
mod waterfall;
mod wrapping;

pub use self::format::{TextOptions, format_findings, format_run, format_trace};
pub use self::wrapping::{format_duration, truncate, wrap};
