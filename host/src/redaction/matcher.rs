//! The search for any of many values in bytes, without regard to encodings.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use aho_corasick::AhoCorasick;

use super::variants::{MIN_SUBSTRING_CHARS, is_short, variants};

/// The bytes of each pattern that the automaton searches for. Where they are found, the rest of the pattern is
/// compared. So the automaton stays small even if values are long, and it also finds the beginnings of values that are
/// cut off.
const HEAD_BYTES: usize = 4;

/// The number of bytes that may be compared with patterns for each byte of a text. Each head that is found costs the
/// comparison with two patterns. Ordinary texts have few heads, and few that overlap: only texts that repeat a few
/// characters as a pattern does need more comparisons.
const COMPARED_BYTES_PER_BYTE: usize = 8;
/// The number of bytes that may be compared in every text, in addition.
const BASE_COMPARED_BYTES: usize = 16 << 10;

/// A set of patterns, made of values.
pub struct Matcher {
    /// Finds the first bytes of the patterns.
    heads: AhoCorasick,
    /// All patterns, sorted by their bytes, so that a binary search finds those with which a text begins.
    sorted: Vec<Pattern>,
    min_substring_bytes: Option<usize>,
    /// The length of the shortest text in which a value can be found, whole or cut off.
    min_text_bytes: usize,
    /// The values that are finite numbers, without short ones.
    numbers: Vec<f64>,
}

/// The places in which short values are found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ShortValues {
    /// They are found wherever they are a whole value.
    #[default]
    Found,
    /// They are found where they are a whole value within a text, but not where they are the whole text. This is for
    /// texts of the host, which may consist of a word or a number that is no secret.
    FoundWithin,
    /// They are not found. This is for bytes that were decoded by guessing, and for text that was searched before.
    NotFound,
}

struct Pattern {
    bytes: Vec<u8>,
    /// True if the pattern matches only where it is a whole value, because it is short.
    whole_value_only: bool,
    /// The index of the longest other pattern that this pattern begins with.
    longest_prefix: Option<usize>,
}

impl Matcher {
    /// Returns a matcher for all variants of the values, or `None` if no value has any text.
    pub fn new<V: AsRef<str>>(values: impl IntoIterator<Item = V>) -> Option<Self> {
        let mut whole_value_only_by_pattern: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
        let mut numbers = Vec::new();
        for value in values {
            let value = value.as_ref();
            if is_short(value) {
                whole_value_only_by_pattern.entry(value.trim().into()).or_insert(true);
                continue;
            }
            whole_value_only_by_pattern.extend(variants(value).into_iter().map(|variant| (variant, false)));
            numbers.extend(value.trim().parse().ok().filter(|number: &f64| number.is_finite()));
        }
        let mut sorted: Vec<Pattern> = Vec::with_capacity(whole_value_only_by_pattern.len());
        for (bytes, whole_value_only) in whole_value_only_by_pattern {
            let mut longest_prefix = sorted.len().checked_sub(1);
            while let Some(index) = longest_prefix.filter(|index| !bytes.starts_with(&sorted[*index].bytes)) {
                longest_prefix = sorted[index].longest_prefix;
            }
            sorted.push(Pattern { bytes, whole_value_only, longest_prefix });
        }
        let heads: BTreeSet<&[u8]> = sorted.iter().map(|pattern| head(&pattern.bytes)).collect();
        // An automaton may have about 2³¹ states. This one has at most one state for each byte of each head.
        let heads = AhoCorasick::new(&heads).expect("heads of four bytes stay below the automaton's limit");
        let substrings = sorted.iter().filter(|pattern| !pattern.whole_value_only);
        let min_substring_bytes = substrings.map(|pattern| pattern.bytes.len()).min();
        let min_text_bytes = sorted.iter().map(|pattern| pattern.bytes.len().min(MIN_SUBSTRING_CHARS)).min()?;
        Some(Self { heads, sorted, min_substring_bytes, min_text_bytes, numbers })
    }

    /// Returns the number of patterns.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Returns true if one of the values that are not short is this number.
    pub fn has_number(&self, number: f64) -> bool {
        self.numbers.iter().any(|known| known.to_bits() == number.to_bits())
    }

    /// Returns the length of the shortest text in which a value can be found, whole or cut off. Encoded values are
    /// longer.
    pub fn min_text_bytes(&self) -> usize {
        self.min_text_bytes
    }

    /// Returns the length of the shortest pattern that is not only matched as a whole value.
    pub fn min_substring_bytes(&self) -> Option<usize> {
        self.min_substring_bytes
    }

    /// Calls `on_match` with the range of each match. Ranges may overlap.
    ///
    /// The beginning of a pattern matches too where the text may be cut off: `min_prefix` gets the end of the match
    /// and the length of the whole pattern, and returns how many bytes are required there, or `None` if the text is
    /// not cut off.
    ///
    /// The search takes linear time: if a text resembles the patterns so much that more bytes have to be compared than
    /// [`COMPARED_BYTES_PER_BYTE`] for each byte, the rest of the text is a match.
    pub fn find(
        &self,
        text: &[u8],
        short_values: ShortValues,
        min_prefix: impl Fn(usize, usize) -> Option<usize>,
        mut on_match: impl FnMut(Range<usize>),
    ) {
        let mut comparisons_left = BASE_COMPARED_BYTES + text.len() * COMPARED_BYTES_PER_BYTE;
        for head in self.heads.find_overlapping_iter(text) {
            let (end, compared) = self.longest_match_end(text, head.start(), short_values, &min_prefix);
            if let Some(end) = end {
                on_match(head.start()..end);
            }
            let Some(left) = comparisons_left.checked_sub(compared) else {
                on_match(head.start()..text.len());
                return;
            };
            comparisons_left = left;
        }
    }

    /// Returns the end of the longest match that starts at `start`, and the number of bytes that patterns have in
    /// common with the text there.
    fn longest_match_end(
        &self,
        text: &[u8],
        start: usize,
        short_values: ShortValues,
        min_prefix: &impl Fn(usize, usize) -> Option<usize>,
    ) -> (Option<usize>, usize) {
        let rest = &text[start..];
        let after = self.sorted.partition_point(|pattern| pattern.bytes.as_slice() <= rest);
        let before = after.checked_sub(1);
        // If `rest` begins with a pattern, this is the last pattern sorted at or before `rest`, or a prefix of that
        // pattern.
        let mut longest = before.map(|index| &self.sorted[index]);
        while let Some(pattern) = longest {
            let end = start + pattern.bytes.len();
            let matches_here = || !pattern.whole_value_only || is_whole_value(text, start..end, short_values);
            if rest.starts_with(&pattern.bytes) && matches_here() {
                break;
            }
            longest = pattern.longest_prefix.map(|index| &self.sorted[index]);
        }
        let whole_end = longest.map(|pattern| start + pattern.bytes.len());
        // The pattern with which `rest` has the most bytes in common is one of its neighbours.
        let neighbours = before.into_iter().chain([after]).filter_map(|index| self.sorted.get(index));
        let mut compared = 0;
        let prefix_ends = neighbours.filter(|pattern| !pattern.whole_value_only).filter_map(|pattern| {
            let common = pattern.bytes.iter().zip(rest).take_while(|(one, other)| one == other).count();
            compared += common;
            let length = pattern.bytes.len();
            let is_prefix = (MIN_SUBSTRING_CHARS..length).contains(&common);
            (is_prefix && common >= min_prefix(start + common, length)?).then_some(start + common)
        });
        let end = prefix_ends.chain(whole_end).max();
        (end, compared)
    }
}

fn head(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(HEAD_BYTES)]
}

/// Returns true if a range of a text is a whole value: the whole text, or between what separates values from names and
/// from each other in JSON, HTML, headers, queries and settings. A word in a sentence is none.
fn is_whole_value(text: &[u8], range: Range<usize>, short_values: ShortValues) -> bool {
    let (before, rest) = (text[..range.start].trim_ascii_end(), &text[range.end..]);
    let after = rest.trim_ascii_start();
    let begins = match before {
        [] => short_values == ShortValues::Found || !after.is_empty(),
        // `12:30` is a time, and `host:22` has a port.
        [.., b'"' | b'\'', b':'] => true,
        [.., b':'] => before.len() < range.start,
        [.., last] => matches!(last, b'=' | b'"' | b'\'' | b'>'),
    };
    let is_separator = |byte: &u8| b"\"'\\,;&#<}]".contains(byte);
    let ends = rest[..rest.len() - after.len()].contains(&b'\n') || after.first().is_none_or(is_separator);
    short_values != ShortValues::NotFound && begins && ends
}
