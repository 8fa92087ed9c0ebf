//! Times in settings.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

/// A setting that is a time: a number of seconds, or text with a unit such as `500ms`, `30s` or `5m`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Seconds(f64);

/// The texts that [`Seconds::parse`] takes, as a regular expression for schemas.
pub const SECONDS_PATTERN: &str = r"^\s*[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)?\s*$";

/// The text with a unit that messages have as an example.
const EXAMPLE: &str = "a time such as `5s`";

impl Seconds {
    /// Returns the number of seconds.
    pub fn as_f64(self) -> f64 {
        self.0
    }

    /// Returns the time, which must be within these bounds.
    ///
    /// # Errors
    /// Returns a sentence with the bounds if the time is not within them.
    pub fn within(self, bounds: RangeInclusive<f64>) -> Result<Duration, String> {
        let time = Duration::try_from_secs_f64(self.0).ok().filter(|_| bounds.contains(&self.0));
        time.ok_or_else(|| {
            let (least, most) = (bounds.start(), bounds.end());
            format!("expected {EXAMPLE}, or seconds from {least} to {most}, got {}", self.0)
        })
    }

    /// Parses `500ms`, `30s`, `1.5 m`, `1h`, `7d`, or a number alone, which is seconds. Returns `None` for any other
    /// text.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (number, unit) = text.split_at(digits);
        let seconds = match unit.trim_start() {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let is_decimal = !number.starts_with('.') && !number.ends_with('.');
        number.parse::<f64>().ok().filter(|_| is_decimal).map(|number| Self(number * seconds))
    }
}

impl TryFrom<Value> for Seconds {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let seconds = match &value {
            Value::Number(number) => number.as_f64().map(Self),
            Value::String(text) => Self::parse(text),
            _ => None,
        };
        seconds.ok_or_else(|| format!("expected {EXAMPLE}, or a number of seconds"))
    }
}

/// The schema of a number or a text. A field can add `minimum` and `maximum`, which hold for numbers alone: the probe
/// has to check the bounds with [`Seconds::within`]. By its `format` the host knows what a number means.
impl schemars::JsonSchema for Seconds {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Seconds".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let schema = json!({ "type": ["number", "string"], "format": "seconds", "pattern": SECONDS_PATTERN });
        schemars::Schema::try_from(schema).expect("a map is a schema")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_or_have_a_unit() {
        let seconds = |value: Value| Seconds::try_from(value).map(Seconds::as_f64);
        for (value, expected) in [
            (json!(5), 5.0),
            (json!(0.25), 0.25),
            (json!("500ms"), 0.5),
            (json!(" 30s "), 30.0),
            (json!("1.5 m"), 90.0),
            (json!("1h"), 3600.0),
            (json!("2d"), 172_800.0),
            (json!("5"), 5.0),
        ] {
            assert_eq!(seconds(value.clone()), Ok(expected), "{value}");
        }
        let wrong = ["", "s", "5x", "-5s", "1.s", ".5s", "1.2.3s", "5S", "1h30m", "1e3s"];
        for wrong in wrong.map(Value::from).into_iter().chain([json!(true), json!(null), json!([5])]) {
            assert!(seconds(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_have_bounds() {
        let within = |text| Seconds::parse(text).expect("the test's time is valid").within(0.001..=3600.0);
        let wrong = |got| Err(format!("expected a time such as `5s`, or seconds from 0.001 to 3600, got {got}"));
        assert_eq!(within("1h"), Ok(Duration::from_hours(1)));
        assert_eq!(within("2h"), wrong("7200"));
        assert_eq!(within("0s"), wrong("0"));
    }
}
