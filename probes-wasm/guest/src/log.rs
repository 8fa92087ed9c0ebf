//! The run's log. Its lines are shown when the run does not pass, and sent as breadcrumbs with its error.
//!
//! A line is cut after 4096 bytes, and a run keeps its last 100 lines, unless its limits say otherwise. A component
//! from a file may write only where its operator allows it.

pub use crate::host::log::Level;
use crate::host::log::write;

/// Writes a line of the level `debug`.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Writes a line of the level `info`.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Writes a line of the level `warn`.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Writes a line of the level `error`.
pub fn error(message: &str) {
    write(Level::Error, message);
}
