//! Bounds on text that a guest writes.

/// Cuts a text to at most `max_bytes`, between characters. The result takes no more memory than its length: a guest's text
/// may have a much larger allocation, which would stay as long as the text is kept.
pub fn truncate(mut text: String, max_bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(max_bytes));
    text.shrink_to_fit();
    text
}
