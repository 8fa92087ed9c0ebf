//! What a schema does not allow, in the words of who writes a configuration. Text is not repeated: it may be a secret.

use serde_json::{Number, Value};

use super::Violation;
use super::closest::closest;
use super::node::{Count, Numbers, Type};

/// Something that is not allowed, and where.
#[derive(Debug)]
pub struct Found<'v> {
    pub pointer: String,
    pub what: What<'v>,
}

#[derive(Debug)]
pub enum What<'v> {
    Never,
    Expected(Expected<'v>),
    Bound(Expected<'v>),
    Multiple {
        of: &'v Number,
        value: &'v Value,
    },
    Length {
        count: Count,
        got: usize,
    },
    Pattern(&'v str),
    Items {
        count: Count,
        got: usize,
    },
    Contains {
        count: Count,
        got: usize,
    },
    Twice,
    Keys {
        count: Count,
        got: usize,
    },
    /// Any of these.
    Missing(Vec<&'v str>),
    Beside {
        key: &'v str,
        needed: &'v str,
    },
    Unknown {
        key: &'v str,
        known: Vec<&'v str>,
    },
    Name(&'v str),
    Not,
    Ambiguous,
}

/// What should stand in the place of a value.
#[derive(Debug)]
pub struct Expected<'v> {
    pub types: Vec<Type>,
    pub allowed: Vec<&'v Value>,
    /// What is asked of a number, if it is to be one.
    pub numbers: Option<&'v Numbers>,
    /// Keys that it has, if it is to be a map.
    pub keys: &'v [String],
    /// Whether just any text would do.
    pub any_text: bool,
    pub value: &'v Value,
}

impl<'v> Expected<'v> {
    pub fn new(value: &'v Value) -> Self {
        Self { types: Vec::new(), allowed: Vec::new(), numbers: None, keys: &[], any_text: false, value }
    }
}

/// Words of one list; nobody reads more.
const MOST: usize = 20;

pub fn violation(found: &Found, secret: bool) -> Violation {
    let what = &found.what;
    let vague = !matches!(
        what,
        What::Expected(_) | What::Bound(_) | What::Multiple { .. } | What::Missing(_) | What::Beside { .. }
    );
    let missing = match what {
        What::Missing(keys) => keys.first().map(|key| (*key).to_owned()),
        _ => None,
    };
    Violation { pointer: found.pointer.clone(), message: message(what, secret), missing, vague }
}

fn message(what: &What, secret: bool) -> String {
    match what {
        What::Never => "nothing can stand here: leave it out".to_owned(),
        What::Expected(expected) | What::Bound(expected) => {
            let got = match expected.value {
                // Text is among what is expected.
                Value::String(_) if expected.types.is_empty() => String::new(),
                value => format!(", got {}", got(value, secret)),
            };
            format!("expected {}{got}{}", wanted(expected), hint(expected, secret))
        }
        What::Multiple { of, value } => {
            format!("expected a multiple of {}, got {}", shown(of), got(value, secret))
        }
        What::Length { count, .. } if secret => format!("expected text of {}", bounds(*count, "character")),
        What::Length { count, got } => format!("expected text of {}, got {got}", bounds(*count, "character")),
        What::Pattern(pattern) => format!("expected text that matches `{}`", cut(pattern, 200)),
        What::Items { count, got } => format!("expected {}, got {}", bounds(*count, "item"), none(*got)),
        What::Contains { count, got } => {
            format!(
                "expected a list with {} of the kind that the probe asks for, got {}",
                bounds(*count, "item"),
                none(*got)
            )
        }
        What::Twice => "expected a list of which no two items are the same".to_owned(),
        What::Keys { count, got } => format!("expected {}, got {}", bounds(*count, "key"), none(*got)),
        What::Missing(keys) => format!("missing key {}", any_of(keys.iter().map(|key| quoted(key)).collect())),
        What::Beside { key, needed } => format!("{} needs the key {} beside it", quoted(key), quoted(needed)),
        What::Unknown { key, known } => unknown(key, known),
        What::Name(key) => format!("{} is no key that the probe takes here", quoted(&first_word(key))),
        What::Not => "this is just what the probe does not take: its schema's `not` says what that is".to_owned(),
        What::Ambiguous => {
            "this fits several alternatives, and the probe must know which is meant: leave out what belongs to others"
                .to_owned()
        }
    }
}

fn wanted(expected: &Expected) -> String {
    let mut types = expected.types.clone();
    types.sort_unstable();
    types.dedup();
    if types.contains(&Type::Number) {
        types.retain(|known| *known != Type::Integer);
    }
    let allowed = expected.allowed.iter().filter(|value| !value.is_null());
    let numbers: Vec<_> = allowed.clone().filter_map(|value| value.as_number()).map(shown).collect();
    // `1.1` and 1.1 are one to who reads it.
    let told = |value: &&&Value| !value.as_str().is_some_and(|text| numbers.iter().any(|number| number == text));
    let mut words: Vec<String> = allowed.filter(told).map(|value| one(value)).collect();
    words.dedup();
    for known in types {
        match known {
            Type::Text => words.push("text".to_owned()),
            Type::Integer => words.push(number("a whole number", expected.numbers)),
            Type::Number => words.push(number("a number", expected.numbers)),
            Type::Boolean => words.extend(["true", "false"].map(str::to_owned)),
            Type::List => words.push("a list".to_owned()),
            Type::Map => words.push(map(expected.keys)),
            Type::Null => {}
        }
    }
    match words.is_empty() {
        // Who leaves it empty has left it out.
        true => "nothing".to_owned(),
        false => any_of(words),
    }
}

/// Some of its keys tell what it is.
fn map(keys: &[String]) -> String {
    let keys: Vec<_> = keys.iter().take(3).map(|key| quoted(key)).collect();
    match keys.as_slice() {
        [] => "a map".to_owned(),
        [one] => format!("a map with the key {one}"),
        [rest @ .., last] => format!("a map of keys such as {} and {last}", rest.join(", ")),
    }
}

fn number(what: &str, numbers: Option<&Numbers>) -> String {
    let (least, most) = numbers.map_or((None, None), |numbers| (numbers.least.as_ref(), numbers.most.as_ref()));
    match (least, most) {
        (Some(least), Some(most)) if !least.exclusive && !most.exclusive => {
            format!("{what} from {} to {}", shown(&least.limit), shown(&most.limit))
        }
        _ => {
            let least = least.map(|least| match least.exclusive {
                true => format!("above {}", shown(&least.limit)),
                false => format!("of at least {}", shown(&least.limit)),
            });
            let most = most.map(|most| match most.exclusive {
                true => format!("below {}", shown(&most.limit)),
                false => format!("of at most {}", shown(&most.limit)),
            });
            let bounds: Vec<_> = least.into_iter().chain(most).collect();
            format!("{what} {}", bounds.join(" and ")).trim_end().to_owned()
        }
    }
}

fn got(value: &Value, secret: bool) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        Value::Number(_) if secret => "a number".to_owned(),
        Value::Bool(_) if secret => "a boolean".to_owned(),
        Value::Number(number) => shown(number),
        Value::Bool(value) => value.to_string(),
    }
}

/// How to put it right, where it takes no more than quotation marks, or a word was mistyped.
fn hint(expected: &Expected, secret: bool) -> String {
    let takes = |known| expected.types.contains(&known);
    match expected.value {
        Value::Number(_) | Value::Bool(_) if expected.any_text => ": put it in quotes".to_owned(),
        Value::String(text) if takes(Type::Number) || takes(Type::Integer) => {
            let number = text.trim().parse().is_ok_and(f64::is_finite);
            if number && !secret { ": leave out the quotes".to_owned() } else { String::new() }
        }
        Value::String(text) if !secret => {
            let words: Vec<_> = expected.allowed.iter().filter_map(|value| value.as_str()).collect();
            closest(text, &words).map(|meant| format!(": did you mean `{}`?", cut(meant, 60))).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn unknown(key: &str, known: &[&str]) -> String {
    let key = quoted(&first_word(key));
    match closest(key.trim_matches('`'), known) {
        Some(meant) => format!("unknown key {key}, did you mean {}?", quoted(meant)),
        None if known.is_empty() => format!("unknown key {key}: no other may stand here"),
        None => {
            let rest = if known.len() > MOST { ", …" } else { "" };
            let known: Vec<_> = known.iter().take(MOST).map(|known| quoted(known)).collect();
            format!("unknown key {key}, expected one of {}{rest}", known.join(", "))
        }
    }
}

/// Of a key of several words the first: in `{authorization hunter2}` it is a colon that is missing.
fn first_word(key: &str) -> String {
    match key.split_once(|c: char| c.is_whitespace() || c == ':') {
        Some((word, _)) => format!("{word}…"),
        None => key.to_owned(),
    }
}

fn bounds(count: Count, what: &str) -> String {
    let plural = |count: u64| if count == 1 { what.to_owned() } else { format!("{what}s") };
    match (count.least, count.most) {
        (Some(least), Some(most)) if least == most => format!("{least} {}", plural(least)),
        (Some(least), Some(most)) => format!("{least} to {most} {}", plural(most)),
        (Some(least), None) => format!("at least {least} {}", plural(least)),
        (None, Some(most)) => format!("at most {most} {}", plural(most)),
        (None, None) => plural(0),
    }
}

fn none(count: usize) -> String {
    if count == 0 { "none".to_owned() } else { count.to_string() }
}

/// `a`, `b` or `c`.
fn any_of(mut words: Vec<String>) -> String {
    if words.len() > MOST {
        words.truncate(MOST);
        words.push("another".to_owned());
    }
    match words.pop() {
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} or {last}", words.join(", ")),
        None => String::new(),
    }
}

fn one(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Number(number) => shown(number),
        other => cut(&other.to_string(), 60),
    }
}

/// 0.0 as 0.
fn shown(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    }
}

fn quoted(text: &str) -> String {
    format!("`{}`", cut(text, 60))
}

/// The beginning of a text, without what would upset a terminal.
fn cut(text: &str, most: usize) -> String {
    let harmless = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(most).map(harmless).collect();
    if text.chars().nth(most).is_some() {
        short.push('…');
    }
    short
}
