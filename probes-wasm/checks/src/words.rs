//! Values and mistakes in words.

use serde_json::Value;

use crate::Problem;

/// Longer values are cut: a mismatch is read in an alert.
const LONGEST: usize = 200;

/// As JSON; of long text the beginning, and how long it is.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => match text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{} ({} bytes)", quoted(&format!("{}…", &text[..end])), text.len()),
            None => quoted(text),
        },
        other => cut(other.to_string()),
    }
}

pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

pub fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// What stands where something else should. Text is not repeated: it may be a secret.
pub fn got(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        Value::Number(_) | Value::Bool(_) => cut(value.to_string()),
    }
}

/// A word that is not among the known: the one that was meant, or all there are.
pub fn unknown(what: &str, word: &str, known: &[&str], synonyms: &[(&str, &str)]) -> String {
    match closest(word, known, synonyms) {
        Some(meant) => format!("unknown {what} `{}`, did you mean `{meant}`?", cut(word.to_owned())),
        None => format!("unknown {what} `{}`, expected one of `{}`", cut(word.to_owned()), known.join("`, `")),
    }
}

/// The known word that a mistyped one comes nearest to, or that stands for what others call so.
pub fn closest<'k>(word: &str, known: &[&'k str], synonyms: &[(&str, &'k str)]) -> Option<&'k str> {
    // The comparison takes the product of both lengths.
    if word.len() > 40 {
        return None;
    }
    let word = plain(word);
    if let Some((_, meant)) = synonyms.iter().find(|(synonym, _)| *synonym == word) {
        return Some(meant);
    }
    let near = known.iter().map(|known| (strsim::damerau_levenshtein(&word, &plain(known)), *known));
    let (distance, meant) = near.min()?;
    (distance * 3 <= meant.len().max(3)).then_some(meant)
}

/// `startsWith`, `starts-with` and `starts_with` are one.
fn plain(word: &str) -> String {
    word.to_lowercase().replace(['-', '_', ' '], "")
}

/// Adds a step to a JSON pointer.
pub fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

pub fn problem(problems: &mut Vec<Problem>, pointer: &str, message: impl Into<String>) {
    problems.push(Problem { pointer: pointer.to_owned(), message: message.into() });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_values_are_cut() {
        assert_eq!(shown(&json!("ü\n")), r#""ü\n""#);
        assert_eq!(shown(&json!("ü".repeat(200))), format!("\"{}\"", "ü".repeat(200)));
        assert_eq!(shown(&json!("ü".repeat(300))), format!("\"{}…\" (600 bytes)", "ü".repeat(200)));
        assert_eq!(shown(&json!(["ü".repeat(300)])), format!("[\"{}…", "ü".repeat(198)));
    }

    #[test]
    fn what_was_meant() {
        let known = ["starts_with", "equals", "less"];
        let closest = |word| closest(word, &known, &[("eq", "equals")]);
        assert_eq!(closest("startsWith"), Some("starts_with"));
        assert_eq!(closest("Starts-Wiht"), Some("starts_with"));
        assert_eq!(closest("EQ"), Some("equals"));
        assert_eq!(closest("colour"), None);
        assert_eq!(closest(""), None);
        assert_eq!(closest(&"less".repeat(1000)), None);
    }

    #[test]
    fn pointers_are_escaped() {
        assert_eq!(below("/checks", "$['a/b~c']"), "/checks/$['a~1b~0c']");
    }
}
