//! Compares values with recorded ones, in which secrets are redacted.

use serde_json::{Map, Value};

use crate::recording::bytes_from_json;
use crate::redaction::REDACTED;

/// Returns true if the arguments of a call match the recorded ones.
pub fn all_match(recorded: &Map<String, Value>, now: &Map<String, Value>) -> bool {
    recorded.len() == now.len()
        && recorded.iter().all(|(name, recorded)| now.get(name).is_some_and(|now| matches(recorded, now)))
}

/// Returns true if a value matches the recorded one. A redacted part matches anything.
fn matches(recorded: &Value, now: &Value) -> bool {
    if recorded == now || recorded == REDACTED {
        return true;
    }
    match (recorded, now) {
        (Value::String(recorded), Value::String(now)) => text_matches(recorded.as_bytes(), now.as_bytes()),
        (Value::Array(recorded), Value::Array(now)) => {
            recorded.len() == now.len() && recorded.iter().zip(now).all(|(recorded, now)| matches(recorded, now))
        }
        // Bytes are recorded as text if they are UTF-8. Redaction can change whether they are.
        (Value::Object(one), Value::Object(other)) => match (bytes_from_json(recorded), bytes_from_json(now)) {
            (Some(recorded), Some(now)) => text_matches(&recorded, &now),
            _ => all_match(one, other),
        },
        _ => false,
    }
}

/// Returns true if the pieces between the redacted parts of `recorded` are found in `now` in the same order: the first
/// at the beginning, the last at the end.
fn text_matches(recorded: &[u8], now: &[u8]) -> bool {
    let mut pieces = Vec::new();
    let mut rest = recorded;
    while let Some(position) = find(rest, REDACTED.as_bytes()) {
        pieces.push(&rest[..position]);
        rest = &rest[position + REDACTED.len()..];
    }
    let Some((first, between)) = pieces.split_first() else { return recorded == now };
    let Some(mut now) = now.strip_prefix(*first) else { return false };
    for piece in between {
        let Some(position) = find(now, piece) else { return false };
        now = &now[position + piece.len()..];
    }
    now.ends_with(rest)
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
        let check = |recorded: Value, now: Value, expected: bool| {
            assert_eq!(matches(&recorded, &now), expected, "{recorded} {now}");
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
