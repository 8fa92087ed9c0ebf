//! Bounds on text that a guest writes.

/// Cuts text to at most `longest` bytes, between characters.
pub fn truncate(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest));
    }
    text
}
