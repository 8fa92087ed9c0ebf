//! The word that was meant by another.

/// The known word that a mistyped one comes nearest to.
pub fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    // The comparison takes the product of both lengths.
    if word.len() > 40 {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    let distance = |known: &&'k str| (strsim::damerau_levenshtein(&word, known), *known);
    let (distance, meant) = known.iter().filter(|known| known.len() <= 80).map(distance).min()?;
    (distance * 3 <= meant.len().max(3)).then_some(meant)
}
