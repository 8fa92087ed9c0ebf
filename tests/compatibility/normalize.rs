//! Replaces values that differ from run to run by constants.

use regex::{Captures, Regex};
use serde_json::{Number, Value};

/// Replaces times, ids and random numbers, and the texts that were given to [`Normalizer::with`].
pub struct Normalizer {
    /// Texts to replace wherever they occur, each with its replacement, such as `PORT` for a port.
    texts: Vec<(String, String)>,
    /// The ids that were replaced, in the order in which they were first seen.
    ids: Vec<String>,
    /// Matches the ids of traces, spans and events.
    id: Regex,
    /// Matches the random numbers in `baggage`.
    random: Regex,
}

/// Keys whose values are points in time or durations.
const TIME_KEYS: &[&str] =
    &["timestamp", "start_timestamp", "started", "began", "sent_at", "duration", "lasted", "since"];
/// The endings of further such keys.
const TIME_KEY_ENDINGS: &[&str] = &["_ms", ".seconds", "_start", "_end", "_first_byte"];

impl Default for Normalizer {
    fn default() -> Self {
        let pattern = |pattern| Regex::new(pattern).expect("the pattern is valid");
        Self {
            texts: Vec::new(),
            ids: Vec::new(),
            id: pattern(r"\b(?:[0-9a-f]{32}|[0-9a-f]{16})\b"),
            random: pattern(r"sample_rand=[0-9.]+"),
        }
    }
}

impl Normalizer {
    /// Adds a text that is replaced by `name`.
    #[must_use]
    pub fn with(mut self, text: &impl ToString, name: &str) -> Self {
        self.texts.push((text.to_string(), name.to_owned()));
        self
    }

    /// Replaces times by zero or `TIME`, ids by `ID-1` and so on, and the given texts by their names.
    pub fn normalize(&mut self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let is_time = TIME_KEYS.contains(&&**key) || TIME_KEY_ENDINGS.iter().any(|end| key.ends_with(end));
                    match value {
                        Value::Number(number) if is_time => *number = Number::from(0),
                        Value::String(text) if is_time => "TIME".clone_into(text),
                        Value::String(text) if key == "sample_rand" => "RANDOM".clone_into(text),
                        value => self.normalize(value),
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.normalize(value)),
            Value::String(text) => *text = self.text(text),
            Value::Number(number) => {
                if let Some((_, name)) = self.texts.iter().find(|(text, _)| *text == number.to_string()) {
                    *value = Value::String(name.clone());
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn text(&mut self, text: &str) -> String {
        let Self { texts, ids, id, random } = self;
        let text = random.replace_all(text, "sample_rand=RANDOM");
        let text = id.replace_all(&text, |found: &Captures| {
            let number = ids.iter().position(|id| id == &found[0]).unwrap_or_else(|| {
                ids.push(found[0].to_owned());
                ids.len() - 1
            });
            format!("ID-{}", number + 1)
        });
        texts.iter().fold(text.into_owned(), |text, (from, to)| text.replace(from, to))
    }
}
