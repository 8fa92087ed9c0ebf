//! Limits of the lengths in a payload.

/// The limits of the details of a run in a payload.
#[derive(Debug, Clone, Copy)]
pub struct DetailLevel {
    /// The maximum number of characters of a description or message.
    pub text_chars: usize,
    /// The maximum number of characters of a value of a span's data. If it is 0, spans have no data, and events about
    /// the host no contexts.
    pub value_chars: usize,
    /// The maximum number of spans besides the root.
    pub spans: usize,
}

/// The detail levels, from the highest to one at which every run fits into a payload.
pub const DETAIL_LEVELS: [DetailLevel; 4] = [
    DetailLevel { text_chars: 1024, value_chars: 4096, spans: 1000 },
    DetailLevel { text_chars: 256, value_chars: 256, spans: 1000 },
    DetailLevel { text_chars: 64, value_chars: 0, spans: 1000 },
    DetailLevel { text_chars: 64, value_chars: 0, spans: 300 },
];

/// Sentry's limit for the characters of tags and transaction names.
pub const MAX_TAG_CHARS: usize = 200;
/// Sentry's limit for the characters of a span's `op`.
pub const MAX_OP_CHARS: usize = 128;
/// The maximum size of a context as JSON. Sentry trims contexts to 8192 bytes.
pub const MAX_CONTEXT_BYTES: usize = 7_800;

/// Returns the beginning of `text`, at most `max_chars` characters.
pub fn truncate(text: &str, max_chars: usize) -> &str {
    // A text has at most as many characters as bytes: the characters of most texts need not be counted.
    if text.len() <= max_chars {
        return text;
    }
    text.char_indices().nth(max_chars).map_or(text, |(end, _)| &text[..end])
}
