//! Words failures for the author of a configuration. Strings of the value are not repeated: they may be secrets.

use serde_json::{Number, Value};

use super::failure::{Expected, Failure, FailureKind};
use super::node::{Bound, CountLimits, Range, Type};
use super::suggest::closest;
use super::types::Violation;

/// The maximal number of alternatives or keys in one message.
const MAX_LISTED: usize = 20;
/// The maximal number of keys that describe an object.
const MAX_EXAMPLE_KEYS: usize = 3;
/// The maximal number of characters of a word that a message quotes.
const MAX_WORD_CHARS: usize = 60;
/// The maximal number of characters of a regular expression that a message quotes.
const MAX_PATTERN_CHARS: usize = 200;

/// Converts a failure to a violation. The message for a secret does not repeat anything of the value.
pub fn to_violation(failure: &Failure, is_secret: bool) -> Violation {
    let kind = &failure.kind;
    let is_vague = !matches!(
        kind,
        FailureKind::Unexpected(_)
            | FailureKind::OutOfRange(_)
            | FailureKind::NotMultiple { .. }
            | FailureKind::MissingKey(_)
            | FailureKind::MissingDependency { .. }
    );
    let missing_key = match kind {
        FailureKind::MissingKey(keys) => keys.first().map(|key| (*key).to_owned()),
        _ => None,
    };
    Violation { pointer: failure.pointer.clone(), message: message(kind, is_secret), missing_key, is_vague }
}

fn message(kind: &FailureKind, is_secret: bool) -> String {
    match kind {
        FailureKind::FalseSchema => "nothing can stand here: leave it out".to_owned(),
        FailureKind::Unexpected(expected) | FailureKind::OutOfRange(expected) => {
            let got = match expected.value {
                // Another string is expected. The actual one is not repeated.
                Value::String(_) if expected.types.is_empty() => String::new(),
                value => format!(", got {}", describe_value(value, is_secret)),
            };
            format!("expected {}{got}{}", describe_expected(expected), hint(expected, is_secret))
        }
        FailureKind::NotMultiple { of, value } => {
            format!("expected a multiple of {}, got {}", format_number(of), describe_value(value, is_secret))
        }
        FailureKind::Length { limits, .. } if is_secret => {
            format!("expected text of {}", describe_limits(*limits, "character"))
        }
        FailureKind::Length { limits, got } => {
            format!("expected text of {}, got {got}", describe_limits(*limits, "character"))
        }
        FailureKind::Pattern(pattern) => format!("expected text that matches `{}`", cut(pattern, MAX_PATTERN_CHARS)),
        FailureKind::ItemCount { limits, got } => {
            format!("expected {}, got {}", describe_limits(*limits, "item"), format_count(*got))
        }
        FailureKind::Contains { limits, got } => {
            format!(
                "expected a list with {} of the kind that the probe asks for, got {}",
                describe_limits(*limits, "item"),
                format_count(*got)
            )
        }
        FailureKind::DuplicateItems => "expected a list of which no two items are the same".to_owned(),
        FailureKind::KeyCount { limits, got } => {
            format!("expected {}, got {}", describe_limits(*limits, "key"), format_count(*got))
        }
        FailureKind::MissingKey(keys) => {
            format!("missing key {}", join_or(keys.iter().map(|key| quote(key)).collect()))
        }
        FailureKind::MissingDependency { key, required } => {
            format!("{} needs the key {} beside it", quote(key), quote(required))
        }
        FailureKind::UnknownKey { key, known } => unknown_key(key, known),
        FailureKind::InvalidKey(key) => format!("{} is no key that the probe takes here", quote(&first_word(key))),
        FailureKind::Not => "this value is forbidden by a `not` in the schema of the probe's settings".to_owned(),
        FailureKind::Ambiguous => {
            "this fits several alternatives, and the probe must know which is meant: leave out what belongs to others"
                .to_owned()
        }
    }
}

fn describe_expected(expected: &Expected) -> String {
    let mut types = expected.types.clone();
    types.sort_unstable();
    types.dedup();
    if types.contains(&Type::Number) {
        types.retain(|known| *known != Type::Integer);
    }
    let allowed = expected.allowed.iter().filter(|value| !value.is_null());
    let numbers: Vec<_> = allowed.clone().filter_map(|value| value.as_number()).map(format_number).collect();
    // The string `1.1` is left out beside the number 1.1: to the reader they are the same.
    let is_listed = |value: &&&Value| !value.as_str().is_some_and(|text| numbers.iter().any(|number| number == text));
    let mut words: Vec<String> = allowed.filter(is_listed).map(|value| format_value(value)).collect();
    words.dedup();
    let quantity = Quantity::of(expected);
    for known in types {
        match known {
            Type::String if quantity.is_some() => {}
            Type::Integer | Type::Number if let Some(quantity) = &quantity => {
                words.push(quantity.describe(expected.range));
            }
            Type::String => words.push("text".to_owned()),
            Type::Integer => words.push(describe_range("a whole number", expected.range)),
            Type::Number => words.push(describe_range("a number", expected.range)),
            Type::Boolean => words.extend(["true", "false"].map(str::to_owned)),
            Type::Array => words.push("a list".to_owned()),
            Type::Object => words.push(describe_object(expected.keys)),
            // A key with the value null counts as left out.
            Type::Null => {}
        }
    }
    if words.is_empty() { "nothing".to_owned() } else { join_or(words) }
}

/// A quantity that a setting gives as a number or as text with a unit, by its `format`.
struct Quantity {
    /// The text as an example, with the article before it.
    example: &'static str,
    /// The unit of a number.
    number: &'static str,
}

impl Quantity {
    /// Returns the quantity that is expected, if both a number and a text are.
    fn of(expected: &Expected) -> Option<Self> {
        let expects = |known| expected.types.contains(&known);
        let takes_both = expects(Type::String) && (expects(Type::Number) || expects(Type::Integer));
        match expected.format.filter(|_| takes_both)? {
            "seconds" => Some(Self { example: "a time such as `5s`", number: "seconds" }),
            "bytes" => Some(Self { example: "a size such as `2 MiB`", number: "a number of bytes" }),
            _ => None,
        }
    }

    fn describe(&self, range: Option<&Range>) -> String {
        format!("{}, or {}", self.example, describe_range(self.number, range))
    }
}

fn describe_object(keys: &[String]) -> String {
    let keys: Vec<_> = keys.iter().take(MAX_EXAMPLE_KEYS).map(|key| quote(key)).collect();
    match keys.as_slice() {
        [] => "a map".to_owned(),
        [one] => format!("a map with the key {one}"),
        [rest @ .., last] => format!("a map of keys such as {} and {last}", rest.join(", ")),
    }
}

fn describe_range(what: &str, range: Option<&Range>) -> String {
    let (min, max) = range.map_or((None, None), |range| (range.min.as_ref(), range.max.as_ref()));
    if let (Some(min), Some(max)) = (min, max)
        && !min.is_exclusive
        && !max.is_exclusive
    {
        return format!("{what} from {} to {}", format_number(&min.limit), format_number(&max.limit));
    }
    let describe = |bound: &Bound, exclusive: &str, inclusive: &str| {
        format!("{} {}", if bound.is_exclusive { exclusive } else { inclusive }, format_number(&bound.limit))
    };
    let min = min.map(|min| describe(min, "above", "of at least"));
    let max = max.map(|max| describe(max, "below", "of at most"));
    let bounds: Vec<_> = min.into_iter().chain(max).collect();
    format!("{what} {}", bounds.join(" and ")).trim_end().to_owned()
}

fn describe_value(value: &Value, is_secret: bool) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        Value::Number(_) if is_secret => "a number".to_owned(),
        Value::Bool(_) if is_secret => "a boolean".to_owned(),
        Value::Number(number) => format_number(number),
        Value::Bool(value) => value.to_string(),
    }
}

/// Returns how to correct the value, if only the quotation marks are wrong or a word is mistyped.
fn hint(expected: &Expected, is_secret: bool) -> String {
    let expects = |known| expected.types.contains(&known);
    match expected.value {
        Value::Number(_) | Value::Bool(_) if expected.any_string => ": put it in quotes".to_owned(),
        Value::String(text) if expects(Type::Number) || expects(Type::Integer) => {
            let is_number = text.trim().parse().is_ok_and(f64::is_finite);
            if is_number && !is_secret { ": leave out the quotes".to_owned() } else { String::new() }
        }
        Value::String(text) if !is_secret => {
            let words: Vec<_> = expected.allowed.iter().filter_map(|value| value.as_str()).collect();
            closest(text, &words).map(|word| format!(": did you mean {}?", quote(word))).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn unknown_key(key: &str, known: &[&str]) -> String {
    let key = quote(&first_word(key));
    match closest(key.trim_matches('`'), known) {
        Some(word) => format!("unknown key {key}, did you mean {}?", quote(word)),
        None if known.is_empty() => format!("unknown key {key}: no other may stand here"),
        None => {
            let rest = if known.len() > MAX_LISTED { ", …" } else { "" };
            let known: Vec<_> = known.iter().take(MAX_LISTED).map(|known| quote(known)).collect();
            format!("unknown key {key}, expected one of {}{rest}", known.join(", "))
        }
    }
}

/// Returns only the first word of a key of several words, followed by `…`: in `{authorization hunter2}` the colon is
/// missing, and the rest is a secret.
fn first_word(key: &str) -> String {
    match key.split_once(|c: char| c.is_whitespace() || c == ':') {
        Some((word, _)) => format!("{word}…"),
        None => key.to_owned(),
    }
}

fn describe_limits(limits: CountLimits, what: &str) -> String {
    let unit = |count: u64| if count == 1 { what.to_owned() } else { format!("{what}s") };
    match (limits.min, limits.max) {
        (Some(min), Some(max)) if min == max => format!("{min} {}", unit(min)),
        (Some(min), Some(max)) => format!("{min} to {max} {}", unit(max)),
        (Some(min), None) => format!("at least {min} {}", unit(min)),
        (None, Some(max)) => format!("at most {max} {}", unit(max)),
        (None, None) => unit(0),
    }
}

fn format_count(count: usize) -> String {
    if count == 0 { "none".to_owned() } else { count.to_string() }
}

/// Joins words as `a`, `b` or `c`.
fn join_or(mut words: Vec<String>) -> String {
    if words.len() > MAX_LISTED {
        words.truncate(MAX_LISTED);
        words.push("another".to_owned());
    }
    match words.pop() {
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} or {last}", words.join(", ")),
        None => String::new(),
    }
}

fn format_value(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Number(number) => format_number(number),
        other => cut(&other.to_string(), MAX_WORD_CHARS),
    }
}

/// Formats 0.0 as 0.
fn format_number(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    }
}

fn quote(text: &str) -> String {
    format!("`{}`", cut(text, MAX_WORD_CHARS))
}

/// Returns at most `max` characters of a text, with control characters replaced, which could upset a terminal.
fn cut(text: &str, max: usize) -> String {
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(max).map(printable).collect();
    if text.chars().nth(max).is_some() {
        short.push('…');
    }
    short
}
