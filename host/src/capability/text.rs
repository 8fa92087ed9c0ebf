//! Bounds on text that a guest writes.

use crate::printable::{cut, excerpt};

/// Cuts a text to at most `max_bytes`, between characters, counted as it is printed: a control character counts as its
/// escape. The text keeps no more memory than it needs.
pub fn truncate(text: String, max_bytes: usize) -> String {
    cut(text, max_bytes)
}

/// Returns the beginning of a guest's text for a message, escaped, in at most 200 bytes.
pub fn quotable(text: &str) -> String {
    const MAX_BYTES: usize = 200;
    excerpt(text, MAX_BYTES)
}
