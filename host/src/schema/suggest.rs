//! Suggestions for mistyped words.

/// Longer words get no suggestion: the comparison takes time in proportion to the product of both lengths.
const MAX_WORD_BYTES: usize = 40;
/// Longer known words are not suggested.
const MAX_KNOWN_BYTES: usize = 80;

/// Returns the known word that is closest to a mistyped one, or `None` if none is close.
///
/// A word is close if at most a third of its bytes have to be changed. Case does not count, nor does `-` for `_`.
pub fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if word.len() > MAX_WORD_BYTES {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    let distance = |known: &&'k str| (strsim::damerau_levenshtein(&word, known), *known);
    let (distance, suggestion) = known.iter().filter(|known| known.len() <= MAX_KNOWN_BYTES).map(distance).min()?;
    (distance * 3 <= suggestion.len().max(3)).then_some(suggestion)
}
