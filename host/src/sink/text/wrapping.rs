//! Truncating and wrapping of text, and durations.

use std::time::Duration;

/// Returns the beginning of `text`, at most `width` characters. If it was longer, the last of them is an ellipsis.
pub fn truncate(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain((width > 0).then_some('…')).collect()
}

/// Returns `text` in lines of at most `width` characters, broken between words where possible. If there are more than
/// `max_lines`, returns only these, and truncates the last one.
pub fn wrap(text: &str, width: usize, max_lines: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if lines.len() + 1 == max_lines {
            lines.push(truncate(rest, width));
            break;
        }
        let end = rest.char_indices().nth(width).map_or(rest.len(), |(end, _)| end);
        let is_whole_word = end == rest.len() || rest[end..].starts_with(' ');
        let end = if is_whole_word { end } else { rest[..end].rfind(' ').unwrap_or(end) };
        lines.push(rest[..end].trim_end().to_owned());
        rest = rest[end..].trim_start();
    }
    lines
}

/// Formats a duration with about three digits. The result has at most 9 characters up to 99 hours.
pub fn format_duration(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    match ms {
        ..0.9995 => format!("{:.0} µs", ms * 1e3),
        ..99.95 => format!("{ms:.1} ms"),
        ..999.5 => format!("{ms:.0} ms"),
        ..59_995.0 => format!("{:.2} s", ms / 1e3),
        _ => {
            let seconds = (ms / 1e3).round() as u64;
            match seconds / 60 {
                minutes @ ..60 => format!("{minutes} m {:02} s", seconds % 60),
                minutes => format!("{} h {:02} m", minutes / 60, minutes % 60),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncate_counts_characters() {
        assert_eq!(truncate("straße", 6), "straße");
        assert_eq!(truncate("straße", 5), "stra…");
        assert_eq!(truncate("straße", 1), "…");
        assert_eq!(truncate("straße", 0), "");
    }

    #[test]
    fn wrap_breaks_between_words_where_it_can() {
        assert_eq!(wrap("one two three", 7, 9), ["one two", "three"]);
        assert_eq!(wrap("one two three", 6, 9), ["one", "two", "three"]);
        assert_eq!(wrap("incomprehensibilities", 8, 9), ["incompre", "hensibil", "ities"]);
        assert_eq!(wrap("größer als größer", 6, 9), ["größer", "als", "größer"]);
        assert_eq!(wrap("a b c d e f", 1, 3), ["a", "b", "…"]);
        assert_eq!(wrap("", 10, 9), Vec::<String>::new());
        assert_eq!(wrap("  x", 0, 9), ["x"]);
    }

    #[test]
    fn durations_have_about_three_digits() {
        let check = |micros: u64, expected: &str| assert_eq!(format_duration(Duration::from_micros(micros)), expected);
        check(0, "0 µs");
        check(85, "85 µs");
        check(999, "999 µs");
        check(1_000, "1.0 ms");
        check(12_340, "12.3 ms");
        check(99_960, "100 ms");
        check(482_250, "482 ms");
        check(999_700, "1.00 s");
        check(1_240_000, "1.24 s");
        check(59_999_000, "1 m 00 s");
        check(3_599_000_000, "59 m 59 s");
        check(3_725_000_000, "1 h 02 m");
    }
}
