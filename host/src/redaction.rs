//! What must not leave: values that the configuration has from the environment or from a file, struck out of text
//! however they come back; and out of what is told of a failure, credentials that are nobody's but the target's. Knows
//! texts and the run that holds them; not where a value is from, nor where a text goes.

mod encoded;
mod credential;
mod redact_evidence;
mod variants;
mod redact_recording;
mod late_redactor;
mod redact_run;
mod matcher;
mod decoded_view;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use decoded_view::DecodedView;
pub use late_redactor::{LateRedactor, RedactingWriter};
use matcher::Matcher;
use variants::SHORT_CHARS;
pub use variants::is_short;

/// What stands in a secret's place: Sentry's own word for what it has taken out.
pub const REDACTED: &str = "[Filtered]";

/// The values to strike out. Cheap to clone; with none of them, nothing is looked at.
#[derive(Clone, Default)]
pub struct Secrets(Option<Arc<Matcher>>);

impl Secrets {
    pub fn new<V: AsRef<str>>(values: impl IntoIterator<Item = V>) -> Self {
        Self(Matcher::new(values).map(Arc::new))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The text without any of the values: neither as they are, nor percent-encoded, in base64, in hexadecimal digits,
    /// or escaped as in JSON, source code or HTML, nor in one of these within another; nor the beginning of one, where
    /// the text was cut.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        replace(text, &self.find(text), |_| Cow::Borrowed(REDACTED))
    }

    /// Where they stand in a text, in order and apart from each other.
    fn find(&self, text: &str) -> Vec<Range<usize>> {
        let Some(patterns) = &self.0 else { return Vec::new() };
        let mut search =
            Search { patterns, text, found: Vec::new(), budget: BASE_BUDGET_BYTES + text.len() * BUDGET_PER_TEXT_BYTE };
        search.run();
        search.into_ranges()
    }
}

/// The text with a mark in the place of each of what was found.
fn replace<'t>(text: &'t str, found: &[Range<usize>], mark: impl Fn(usize) -> Cow<'static, str>) -> Cow<'t, str> {
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut replaced = String::with_capacity(text.len());
    let mut kept = 0;
    for range in found {
        replaced.push_str(&text[kept..range.start]);
        replaced.push_str(&mark(range.len()));
        kept = range.end;
    }
    replaced.push_str(&text[kept..]);
    Cow::Owned(replaced)
}

/// How many there are, and nothing of what they are.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.as_ref().map_or(0, |patterns| patterns.len()))
    }
}

/// Encodings within encodings that are looked through: JSON that holds a URL that holds base64.
const MAX_NESTED_ENCODINGS: usize = 3;
/// Bytes to look at for one text, with all that can be decoded from it. A guest that encodes more cleverly than this
/// means to tell; what it must not do is hold us up.
const BASE_BUDGET_BYTES: usize = 1 << 16;
const BUDGET_PER_TEXT_BYTE: usize = 64;

struct Search<'a> {
    patterns: &'a Matcher,
    text: &'a str,
    found: Vec<Range<usize>>,
    budget: usize,
}

impl Search<'_> {
    fn run(&mut self) {
        let text = self.text;
        let cut = |end: usize, length: usize| min_prefix_length(text, end, length);
        self.patterns.find(text.as_bytes(), cut, |range| self.found.push(range));
        let mut views: Vec<DecodedView> = DecodedView::of(text).into_iter().collect();
        // One level after the other, so that what is likely comes first.
        for _ in 0..MAX_NESTED_ENCODINGS {
            let Some(decoded) = self.search_decodings(&views) else { return };
            views = decoded;
        }
    }

    /// Looks at all that some views may be encodings of, and returns it; none when there has been enough to look at.
    fn search_decodings(&mut self, views: &[DecodedView]) -> Option<Vec<DecodedView>> {
        let text = self.text;
        let mut decoded = Vec::new();
        for view in views {
            for text in decoded_view::decoded_texts(view) {
                self.search_view(&text)?;
                decoded.push(text);
            }
            let Some(shortest) = self.patterns.shortest() else { continue };
            for bytes in encoded::views(view, shortest, |end| truncation_at(text, end).is_some()) {
                self.search_view(&bytes)?;
                decoded.extend(bytes.readable());
            }
        }
        Some(decoded)
    }

    fn search_view(&mut self, view: &DecodedView) -> Option<()> {
        self.budget = self.budget.checked_sub(view.bytes().len())?;
        let text = self.text;
        let cut = |end: usize, length: usize| min_prefix_length(text, view.source(end - 1..end).end, length);
        self.patterns.find(view.bytes(), cut, |range| self.found.push(view.source(range)));
        Some(())
    }

    /// In order, apart from each other, and of whole characters.
    fn into_ranges(self) -> Vec<Range<usize>> {
        let Self { text, mut found, .. } = self;
        // A mark that is there already stays as it is, whatever its letters.
        let marks: Vec<_> = match found.is_empty() {
            true => Vec::new(),
            false => text.match_indices(REDACTED).map(|(start, _)| start..start + REDACTED.len()).collect(),
        };
        found.retain(|range| !marks.iter().any(|mark| mark.start <= range.start && range.end <= mark.end));
        found.sort_by_key(|range| range.start);
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for range in found {
            let range = text.floor_char_boundary(range.start)..text.ceil_char_boundary(range.end);
            match ranges.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => ranges.push(range),
            }
        }
        ranges
    }
}

/// Why a text may not go on.
enum Truncation {
    /// It ends.
    End,
    /// Somebody says so.
    Marked,
}

/// How much of a value's beginning tells it when the text is cut at `end`. None when it is not.
fn min_prefix_length(text: &str, end: usize, length: usize) -> Option<usize> {
    /// The shortest of the host's own bounds for text is 64 bytes, and a character's width less when it is cut.
    const MIN_TRUNCATED_BYTES: usize = 60;
    match truncation_at(text, end)? {
        Truncation::Marked => Some(SHORT_CHARS),
        Truncation::End if text.len() >= MIN_TRUNCATED_BYTES => Some(SHORT_CHARS),
        // Nobody cuts so short, most likely: `status` may well be all there was to say, and no `status-page-token`.
        Truncation::End => Some((length / 2).max(8)),
    }
}

fn truncation_at(text: &str, end: usize) -> Option<Truncation> {
    // An ellipsis may stand behind the closing quote.
    let rest = text[text.ceil_char_boundary(end)..].trim_start_matches(['\\', '"', '\'', '`']);
    match rest {
        "" => Some(Truncation::End),
        _ if rest.starts_with(['…', '\u{fffd}']) || rest.starts_with("...") => Some(Truncation::Marked),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
