//! Compares values with recorded ones, in which secrets are redacted.

use serde_json::{Map, Value};

use crate::recording::bytes_from_json;
use crate::redaction::REDACTED;

/// Returns true if the arguments of a call match the recorded ones.
pub fn all_match(recorded: &Map<String, Value>, current: &Map<String, Value>) -> bool {
    recorded.len() == current.len()
        && recorded.iter().all(|(name, recorded)| current.get(name).is_some_and(|current| matches(recorded, current)))
}

/// Returns true if a value matches the recorded one. A redacted part matches anything.
fn matches(recorded: &Value, current: &Value) -> bool {
    if recorded == current || recorded == REDACTED {
        return true;
    }
    match (recorded, current) {
        (Value::String(recorded), Value::String(current)) => text_matches(recorded.as_bytes(), current.as_bytes()),
        (Value::Array(recorded), Value::Array(current)) => {
            recorded.len() == current.len()
                && recorded.iter().zip(current).all(|(recorded, current)| matches(recorded, current))
        }
        // Bytes are recorded as text if they are UTF-8, and in base64 otherwise. Redaction can change which of the two
        // applies.
        (Value::Object(one), Value::Object(other)) => match (bytes_from_json(recorded), bytes_from_json(current)) {
            (Some(recorded), Some(current)) => text_matches(&recorded, &current),
            _ => all_match(one, other),
        },
        _ => false,
    }
}

/// Returns true if the pieces between the redacted parts of `recorded` are found in `current` in the same order: the
/// first at the beginning, the last at the end.
fn text_matches(recorded: &[u8], current: &[u8]) -> bool {
    let mut pieces = Vec::new();
    let mut rest = recorded;
    while let Some(position) = find(rest, REDACTED.as_bytes()) {
        pieces.push(&rest[..position]);
        rest = &rest[position + REDACTED.len()..];
    }
    let Some((first, between)) = pieces.split_first() else { return recorded == current };
    let Some(mut current) = current.strip_prefix(*first) else { return false };
    for piece in between {
        let Some(position) = find(current, piece) else { return false };
        current = &current[position + piece.len()..];
    }
    current.ends_with(rest)
}

fn find(text: &[u8], piece: &[u8]) -> Option<usize> {
    if piece.is_empty() { Some(0) } else { text.windows(piece.len()).position(|window| window == piece) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_redacted_part_matches_anything() {
        let check = |recorded: Value, current: Value, expected: bool| {
            assert_eq!(matches(&recorded, &current), expected, "{recorded} {current}");
        };
        check(json!("a"), json!("a"), true);
        check(json!("a"), json!("b"), false);
        check(json!("Bearer [Filtered]"), json!("Bearer %5BFiltered%5D"), true);
        check(json!("Bearer [Filtered]"), json!("Basic x"), false);
        check(json!("[Filtered]&b=[Filtered]&c"), json!("a=1&b=2&c"), true);
        check(json!("[Filtered]&b=[Filtered]&c"), json!("a=1&c"), false);
        check(json!("x[Filtered]x"), json!("x"), false);
        check(json!("[Filtered]"), json!(5), true);
        check(json!(["[Filtered]", 1]), json!(["a", 2]), false);
        check(json!({ "text": "k=[Filtered]" }), json!({ "base64": "az3/" }), true);
        check(json!({ "text": "k=1" }), json!({ "base64": "az3/" }), false);
        check(json!({ "integer": 1 }), json!({ "number": 1.0 }), false);
    }
}
