//! The search for values in a text and in everything to which the text can be decoded.

use std::ops::Range;

use super::base64_and_hex;
use super::decoded_view::{self, DecodedView};
use super::marker::REDACTED;
use super::matcher::{Matcher, ShortValues};
use super::variants::MIN_SUBSTRING_CHARS;

/// The maximum number of nested encodings that are decoded. JSON with a URL with base64 has three.
const MAX_NESTED_ENCODINGS: usize = 3;

/// The maximum number of decoded bytes that are searched. The budget keeps a guest from blocking the host with texts of
/// many encodings. It need not suffice to find a secret that a guest hides on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchBudget {
    /// The number of decoded bytes for every text, however short.
    base_bytes: usize,
    /// The number of decoded bytes for each byte of a text, in addition.
    per_text_byte: usize,
}

/// The budget for a single text.
impl Default for SearchBudget {
    fn default() -> Self {
        Self { base_bytes: 1 << 16, per_text_byte: 64 }
    }
}

impl SearchBudget {
    /// Returns the budget of each of `count` texts that are searched together and have `bytes` bytes in all. For the
    /// texts of an ordinary run this is the default budget. For more texts it is smaller, but always enough for one
    /// level of encodings.
    pub fn for_texts(count: usize, bytes: usize) -> Self {
        /// The maximum number of decoded bytes of all texts beyond one level of encodings.
        const MAX_BYTES: usize = 8 << 20;
        /// The decoded bytes of one level of encodings for each byte of a text: at most eight, and some separators.
        const ONE_LEVEL: usize = 9;
        let default = Self::default();
        Self {
            base_bytes: default.base_bytes.min(MAX_BYTES / 2 / count.max(1)),
            per_text_byte: default.per_text_byte.min(MAX_BYTES / 2 / bytes.max(1)).max(ONE_LEVEL),
        }
    }

    /// Returns the maximum number of decoded bytes that are searched in `count` texts of `bytes` bytes in all.
    #[cfg(test)]
    pub fn max_bytes(self, count: usize, bytes: usize) -> usize {
        self.base_bytes * count + self.per_text_byte * bytes
    }
}

/// Returns the ranges of a text in which values are found, in order, without overlap, and at character boundaries.
pub fn find(matcher: &Matcher, text: &str, short_values: ShortValues, budget: SearchBudget) -> Vec<Range<usize>> {
    if text.len() < matcher.min_text_bytes() {
        return Vec::new();
    }
    let markers = text.match_indices(REDACTED).map(|(start, marker)| start..start + marker.len()).collect();
    let budget = budget.base_bytes + text.len() * budget.per_text_byte;
    let mut search = Search { matcher, text, short_values, matches: Matches { markers, ranges: Vec::new() }, budget };
    search.search_all_levels();
    search.into_ranges()
}

struct Search<'a> {
    matcher: &'a Matcher,
    text: &'a str,
    short_values: ShortValues,
    matches: Matches,
    /// The decoded bytes that may still be searched.
    budget: usize,
}

/// The ranges in which values were found so far.
struct Matches {
    /// Markers that are already in the text, in order. They stay as they are, even if they contain a value.
    markers: Vec<Range<usize>>,
    ranges: Vec<Range<usize>>,
}

impl Matches {
    fn push(&mut self, range: Range<usize>) {
        let after = self.markers.partition_point(|marker| marker.start <= range.start);
        if after.checked_sub(1).is_some_and(|before| range.end <= self.markers[before].end) {
            return;
        }
        match self.ranges.last_mut() {
            // A text can match at each of its bytes: these matches become one range.
            Some(last) if last.start <= range.start && range.start <= last.end => last.end = last.end.max(range.end),
            _ => self.ranges.push(range),
        }
    }
}

impl Search<'_> {
    fn search_all_levels(&mut self) {
        let text = self.text;
        let min_prefix = |end: usize, length: usize| min_prefix_bytes(text, end, length);
        self.matcher.find(text.as_bytes(), self.short_values, min_prefix, |range| self.matches.push(range));
        let mut views: Vec<_> = DecodedView::new(text).into_iter().map(|view| (view, self.short_values)).collect();
        // Searches level by level, so that the budget is spent on less nested encodings, the likelier ones, first.
        for _ in 0..MAX_NESTED_ENCODINGS {
            let Some(decoded) = self.search_decodings(&views) else { return };
            views = decoded;
        }
    }

    /// Decodes views in all ways, searches the results and returns them. Returns `None` if the budget is exhausted.
    ///
    /// Any word is valid base64, so short values are not searched for in decoded base64.
    fn search_decodings(&mut self, views: &[(DecodedView, ShortValues)]) -> Option<Vec<(DecodedView, ShortValues)>> {
        let text = self.text;
        let mut decoded = Vec::new();
        for (view, short_values) in views {
            for unescaped in decoded_view::unescaped_views(view) {
                self.search_view(&unescaped, *short_values)?;
                decoded.push((unescaped, *short_values));
            }
            let Some(min_bytes) = self.matcher.min_substring_bytes() else { continue };
            for bytes in base64_and_hex::views(view, min_bytes, |end| truncation_at(text, end).is_some()) {
                self.search_view(&bytes, ShortValues::NotFound)?;
                decoded.extend(bytes.readable_parts().map(|parts| (parts, ShortValues::NotFound)));
            }
        }
        Some(decoded)
    }

    /// Searches a view. Returns `None` if the budget is exhausted.
    fn search_view(&mut self, view: &DecodedView, short_values: ShortValues) -> Option<()> {
        self.budget = self.budget.checked_sub(view.bytes().len())?;
        let text = self.text;
        let min_prefix = |end: usize, length: usize| min_prefix_bytes(text, view.source(end - 1..end).end, length);
        self.matcher.find(view.bytes(), short_values, min_prefix, |range| self.matches.push(view.source(range)));
        Some(())
    }

    fn into_ranges(self) -> Vec<Range<usize>> {
        let Self { text, matches: Matches { ranges: mut matches, .. }, .. } = self;
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
    /// The minimum length of a text that the host may have cut off. The shortest limit at which it cuts off text is 64
    /// bytes, and a character at the limit may be left out.
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
