//! Values and mistakes as text for a person.

use sentrynet_guest::escape_pointer;
use serde_json::Value;

use crate::Problem;

/// The longest value in a message, in characters. Mismatches are shown in alerts, which must be short.
const MAX_CHARS: usize = 200;

/// Returns a value as JSON. A long text is truncated, and its size added.
pub fn display_value(value: &Value) -> String {
    match value {
        Value::String(text) => match text.char_indices().nth(MAX_CHARS) {
            Some((end, _)) => format!("{} ({} bytes)", quoted(&format!("{}…", &text[..end])), text.len()),
            None => quoted(text),
        },
        other => truncate(other.to_string()),
    }
}

/// Returns a text as a JSON string.
pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Truncates a text to 200 characters, and marks it with an ellipsis.
pub fn truncate(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Describes a value that is given where another type is expected: a number or a boolean by its value, anything else by
/// its type. Text is not repeated, since it may be a secret.
pub fn describe_found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        Value::Number(_) | Value::Bool(_) => truncate(value.to_string()),
    }
}

/// Returns the message for an unknown name, which suggests the name that was probably meant, or lists all known names.
/// `kind` is the kind of name, such as `operator`.
pub fn unknown_name(kind: &str, word: &str, known: &[&str], synonyms: &[(&str, &str)]) -> String {
    match closest_name(word, known, synonyms) {
        Some(meant) => format!("unknown {kind} `{}`, did you mean `{meant}`?", truncate(word.to_owned())),
        None => format!("unknown {kind} `{}`, expected one of `{}`", truncate(word.to_owned()), known.join("`, `")),
    }
}

/// Returns the known name that `word` is a synonym of, or else the most similar one. Of that name, at most a third of
/// the characters may differ from `word`.
pub fn closest_name<'k>(word: &str, known: &[&'k str], synonyms: &[(&str, &'k str)]) -> Option<&'k str> {
    // The time of the comparison grows with the product of both lengths.
    if word.len() > 40 {
        return None;
    }
    let word = normalize(word);
    if let Some((_, meant)) = synonyms.iter().find(|(synonym, _)| *synonym == word) {
        return Some(meant);
    }
    let near = known.iter().map(|known| (strsim::damerau_levenshtein(&word, &normalize(known)), *known));
    let (distance, meant) = near.min()?;
    (distance * 3 <= meant.len().max(3)).then_some(meant)
}

/// Removes case and separators, so that `startsWith`, `starts-with` and `starts_with` are equal.
fn normalize(word: &str) -> String {
    word.to_lowercase().replace(['-', '_', ' '], "")
}

/// Returns the JSON pointer to a key or an index below another pointer.
pub fn child_pointer(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", escape_pointer(key))
}

/// Adds a mistake at a JSON pointer.
pub fn add_problem(problems: &mut Vec<Problem>, pointer: &str, message: impl Into<String>) {
    problems.push(Problem { pointer: pointer.to_owned(), message: message.into() });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_values_are_cut() {
        assert_eq!(display_value(&json!("ü\n")), r#""ü\n""#);
        assert_eq!(display_value(&json!("ü".repeat(200))), format!("\"{}\"", "ü".repeat(200)));
        assert_eq!(display_value(&json!("ü".repeat(300))), format!("\"{}…\" (600 bytes)", "ü".repeat(200)));
        assert_eq!(display_value(&json!(["ü".repeat(300)])), format!("[\"{}…", "ü".repeat(198)));
    }

    #[test]
    fn suggestions() {
        let known = ["starts_with", "equals", "less"];
        let closest = |word| closest_name(word, &known, &[("eq", "equals")]);
        assert_eq!(closest("startsWith"), Some("starts_with"));
        assert_eq!(closest("Starts-Wiht"), Some("starts_with"));
        assert_eq!(closest("EQ"), Some("equals"));
        assert_eq!(closest("colour"), None);
        assert_eq!(closest(""), None);
        assert_eq!(closest(&"less".repeat(1000)), None);
    }

    #[test]
    fn pointers_are_escaped() {
        assert_eq!(child_pointer("/checks", "$['a/b~c']"), "/checks/$['a~1b~0c']");
    }
}
