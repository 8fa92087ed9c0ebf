//! Finding any of many values in bytes. Knows nothing of encodings.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use aho_corasick::AhoCorasick;

use super::variants::{SHORT_CHARS, is_short, variants};

/// Bytes of a pattern that are looked for; the rest is compared where they stand. So the automaton stays small, however
/// long the values, and finds the beginning of one that was cut.
const HEAD_BYTES: usize = 4;

/// What to look for.
pub struct Matcher {
    heads: AhoCorasick,
    /// In the order of their bytes: what a text begins with is next to where the text itself would stand.
    sorted: Vec<Pattern>,
    /// Bytes of the shortest that is found anywhere.
    shortest: Option<usize>,
    /// The values that are numbers.
    numbers: Vec<f64>,
}

struct Pattern {
    bytes: Vec<u8>,
    /// Found only where neither a letter nor a digit is beside it.
    whole_word_only: bool,
    /// The longest other that this one begins with.
    longest_prefix: Option<usize>,
}

impl Matcher {
    /// None if there is nothing to look for.
    pub fn new<V: AsRef<str>>(values: impl IntoIterator<Item = V>) -> Option<Self> {
        let mut found: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
        let mut numbers = Vec::new();
        for value in values {
            let value = value.as_ref();
            if is_short(value) {
                found.entry(value.trim().into()).or_insert(true);
            } else {
                found.extend(variants(value).into_iter().map(|form| (form, false)));
            }
            numbers.extend(value.trim().parse().ok().filter(|number: &f64| number.is_finite()));
        }
        let mut sorted: Vec<Pattern> = Vec::with_capacity(found.len());
        for (bytes, alone) in found {
            let mut shorter = sorted.len().checked_sub(1);
            while let Some(index) = shorter.filter(|index| !bytes.starts_with(&sorted[*index].bytes)) {
                shorter = sorted[index].longest_prefix;
            }
            sorted.push(Pattern { bytes, whole_word_only: alone, longest_prefix: shorter });
        }
        let heads: BTreeSet<&[u8]> = sorted.iter().map(|pattern| head(&pattern.bytes)).collect();
        // It fails beyond two thousand million states, which are more than four bytes of any values can make.
        let heads = AhoCorasick::new(&heads).expect("an automaton of some bytes for each value");
        let shortest =
            sorted.iter().filter(|pattern| !pattern.whole_word_only).map(|pattern| pattern.bytes.len()).min();
        (!sorted.is_empty()).then_some(Self { heads, sorted, shortest, numbers })
    }

    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    pub fn is_number(&self, number: f64) -> bool {
        self.numbers.iter().any(|known| known.to_bits() == number.to_bits())
    }

    pub fn shortest(&self) -> Option<usize> {
        self.shortest
    }

    /// Hands each place to `found`. Where a text may have been cut, `cut` says how much of a pattern's beginning is to
    /// be found there, by the place and the length of the whole pattern.
    pub fn find(&self, text: &[u8], cut: impl Fn(usize, usize) -> Option<usize>, mut found: impl FnMut(Range<usize>)) {
        for head in self.heads.find_overlapping_iter(text) {
            if let Some(end) = self.longest_match_at(text, head.start(), &cut) {
                found(head.start()..end);
            }
        }
    }

    /// Where the longest pattern ends that starts here.
    fn longest_match_at(
        &self,
        text: &[u8],
        start: usize,
        cut: &impl Fn(usize, usize) -> Option<usize>,
    ) -> Option<usize> {
        let rest = &text[start..];
        let next = self.sorted.partition_point(|pattern| pattern.bytes.as_slice() <= rest);
        let before = next.checked_sub(1);
        // Whatever `rest` begins with, its neighbour begins with too.
        let mut longest = before.map(|index| &self.sorted[index]);
        while let Some(pattern) = longest {
            let end = start + pattern.bytes.len();
            if rest.starts_with(&pattern.bytes) && (!pattern.whole_word_only || is_whole_word(text, start..end)) {
                break;
            }
            longest = pattern.longest_prefix.map(|index| &self.sorted[index]);
        }
        let whole = longest.map(|pattern| start + pattern.bytes.len());
        let neighbours = before.into_iter().chain([next]).filter_map(|index| self.sorted.get(index));
        let partly = neighbours.filter(|pattern| !pattern.whole_word_only).filter_map(|pattern| {
            let common = pattern.bytes.iter().zip(rest).take_while(|(one, other)| one == other).count();
            let length = pattern.bytes.len();
            let proper = (SHORT_CHARS..length).contains(&common);
            (proper && common >= cut(start + common, length)?).then_some(start + common)
        });
        partly.chain(whole).max()
    }
}

fn head(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(HEAD_BYTES)]
}

fn is_whole_word(text: &[u8], range: Range<usize>) -> bool {
    // A byte of a character beyond ASCII is one of a letter, most likely.
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80;
    !text[..range.start].last().is_some_and(word) && !text[range.end..].first().is_some_and(word)
}
