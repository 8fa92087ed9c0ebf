//! The texts that replace secrets.

use std::borrow::Cow;
use std::ops::Range;

use super::variants::MIN_SUBSTRING_CHARS;

/// The text that stands in the place of a redacted secret. Sentry's data scrubbing uses the same.
pub const REDACTED: &str = "[Filtered]";

/// Returns a text of `length` bytes that begins as [`REDACTED`] does, for places where the guest reads a secret.
///
/// Returns [`REDACTED`] for a `length` below four bytes, since so short a placeholder could be mistaken for other text.
/// The result has at most 1 MiB.
pub fn placeholder(length: usize) -> String {
    /// The maximum length, greater than that of any secret. Lengths are read from recordings, which may have been
    /// edited.
    const MAX_PLACEHOLDER_BYTES: usize = 1 << 20;
    match length {
        ..MIN_SUBSTRING_CHARS => REDACTED.to_owned(),
        _ if length < REDACTED.len() => format!("{}]", &REDACTED[..length - 1]),
        _ => format!("{REDACTED}{}", "_".repeat(length.min(MAX_PLACEHOLDER_BYTES) - REDACTED.len())),
    }
}

/// Replaces ranges of a text, which are in order and do not overlap, by what `marker` returns for their lengths in
/// bytes.
pub fn replace_ranges<'t>(
    text: &'t str,
    ranges: &[Range<usize>],
    marker: impl Fn(usize) -> Cow<'static, str>,
) -> Cow<'t, str> {
    if ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut replaced = String::with_capacity(text.len());
    let mut copied_to = 0;
    for range in ranges {
        replaced.push_str(&text[copied_to..range.start]);
        replaced.push_str(&marker(range.len()));
        copied_to = range.end;
    }
    replaced.push_str(&text[copied_to..]);
    Cow::Owned(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_is_as_long_as_its_secret() {
        let placeholders = [1, 4, 9, 10, 12].map(placeholder);
        assert_eq!(placeholders, ["[Filtered]", "[Fi]", "[Filtere]", "[Filtered]", "[Filtered]__"]);
        assert!(
            placeholder(usize::MAX).len() < 2 << 20,
            "the placeholder is short even if a recording states a huge length"
        );
    }
}
