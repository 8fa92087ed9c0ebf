//! The search for values in a text and in everything to which the text can be decoded.

use std::ops::Range;

use super::decoded_view::{self, DecodedView};
use super::encoded;
use super::marker::REDACTED;
use super::matcher::Matcher;
use super::variants::MIN_SUBSTRING_CHARS;

/// The maximum number of nested encodings that are decoded. JSON with a URL with base64 has three.
const MAX_NESTED_ENCODINGS: usize = 3;
/// The number of decoded bytes that are searched for every text, however short.
const BASE_BUDGET_BYTES: usize = 1 << 16;
/// The number of decoded bytes that are searched for each byte of a text, in addition to [`BASE_BUDGET_BYTES`]. The
/// budget keeps a guest from blocking the host with a text of many encodings. It need not suffice to find a secret that
/// a guest hides on purpose.
const BUDGET_PER_TEXT_BYTE: usize = 64;

/// Returns the ranges of a text in which values are found, in order, without overlap, and at character boundaries.
pub fn find(matcher: &Matcher, text: &str) -> Vec<Range<usize>> {
    let budget = BASE_BUDGET_BYTES + text.len() * BUDGET_PER_TEXT_BYTE;
    let mut search = Search { matcher, text, matches: Vec::new(), budget };
    search.search_all_levels();
    search.into_ranges()
}

struct Search<'a> {
    matcher: &'a Matcher,
    text: &'a str,
    matches: Vec<Range<usize>>,
    /// The decoded bytes that may still be searched.
    budget: usize,
}

impl Search<'_> {
    fn search_all_levels(&mut self) {
        let text = self.text;
        let min_prefix = |end: usize, length: usize| min_prefix_bytes(text, end, length);
        self.matcher.find(text.as_bytes(), min_prefix, |range| self.matches.push(range));
        let mut views: Vec<DecodedView> = DecodedView::new(text).into_iter().collect();
        // Searches level by level, so that the budget is spent on less nested encodings, the likelier ones, first.
        for _ in 0..MAX_NESTED_ENCODINGS {
            let Some(decoded) = self.search_decodings(&views) else { return };
            views = decoded;
        }
    }

    /// Decodes views in all ways, searches the results and returns them. Returns `None` if the budget is exhausted.
    fn search_decodings(&mut self, views: &[DecodedView]) -> Option<Vec<DecodedView>> {
        let text = self.text;
        let mut decoded = Vec::new();
        for view in views {
            for unescaped in decoded_view::unescaped_views(view) {
                self.search_view(&unescaped)?;
                decoded.push(unescaped);
            }
            let Some(min_bytes) = self.matcher.min_substring_bytes() else { continue };
            for bytes in encoded::views(view, min_bytes, |end| truncation_at(text, end).is_some()) {
                self.search_view(&bytes)?;
                decoded.extend(bytes.readable_parts());
            }
        }
        Some(decoded)
    }

    /// Searches a view. Returns `None` if the budget is exhausted.
    fn search_view(&mut self, view: &DecodedView) -> Option<()> {
        self.budget = self.budget.checked_sub(view.bytes().len())?;
        let text = self.text;
        let min_prefix = |end: usize, length: usize| min_prefix_bytes(text, view.source(end - 1..end).end, length);
        self.matcher.find(view.bytes(), min_prefix, |range| self.matches.push(view.source(range)));
        Some(())
    }

    fn into_ranges(self) -> Vec<Range<usize>> {
        let Self { text, mut matches, .. } = self;
        if matches.is_empty() {
            return matches;
        }
        // A marker that is already in the text stays as it is, even if it contains a value.
        let markers: Vec<_> = text.match_indices(REDACTED).map(|(start, marker)| start..start + marker.len()).collect();
        matches.retain(|range| !markers.iter().any(|marker| marker.start <= range.start && range.end <= marker.end));
        matches.sort_by_key(|range| range.start);
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for range in matches {
            let range = text.floor_char_boundary(range.start)..text.ceil_char_boundary(range.end);
            match ranges.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => ranges.push(range),
            }
        }
        ranges
    }
}

/// A sign that a text is cut off.
enum Truncation {
    /// The text ends.
    TextEnd,
    /// An ellipsis or a replacement character follows.
    Ellipsis,
}

/// Returns how many bytes of a value of `length` bytes must stand before `end` for a match, if the text may be cut off
/// there. Returns `None` if the text continues after `end`.
fn min_prefix_bytes(text: &str, end: usize, length: usize) -> Option<usize> {
    /// The shortest limit at which the host cuts off text is 64 bytes; a character at the limit may be left out.
    const MIN_TRUNCATED_TEXT_BYTES: usize = 60;
    match truncation_at(text, end)? {
        Truncation::Ellipsis => Some(MIN_SUBSTRING_CHARS),
        Truncation::TextEnd if text.len() >= MIN_TRUNCATED_TEXT_BYTES => Some(MIN_SUBSTRING_CHARS),
        // A short text is most likely complete: `status` need not be the beginning of `status-page-token`.
        Truncation::TextEnd => Some((length / 2).max(8)),
    }
}

fn truncation_at(text: &str, end: usize) -> Option<Truncation> {
    // An ellipsis may follow the closing quote.
    let rest = text[text.ceil_char_boundary(end)..].trim_start_matches(['\\', '"', '\'', '`']);
    match rest {
        "" => Some(Truncation::TextEnd),
        _ if rest.starts_with(['…', '\u{fffd}']) || rest.starts_with("...") => Some(Truncation::Ellipsis),
        _ => None,
    }
}
