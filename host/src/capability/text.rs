//! Bounds on text that a guest writes.

/// Cuts a text to at most `max_bytes`, between characters.
pub fn truncate(mut text: String, max_bytes: usize) -> String {
    if text.len() > max_bytes {
        text.truncate(text.floor_char_boundary(max_bytes));
    }
    text
}
