//! One map of the file, read key by key: what a key's value must be, and what is said when it is not. Knows no key's
//! meaning.

use std::cell::OnceCell;
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Referred;
use super::diagnostic::{Diagnostic, Diagnostics, below, quote, quote_key};
use super::interpolation::Found;
use super::known_keys::{closest, home};
use super::source_map::SourceMap;
use super::yaml_tree::Document;

/// Where problems and warnings go while a file is read.
pub struct Report<'a> {
    pub problems: Diagnostics,
    pub warnings: Diagnostics,
    pub found: Found,
    document: Option<&'a Document>,
    locator: OnceCell<Option<SourceMap<'a>>>,
}

/// A map that is being read: what is known is taken out, what is left is unknown, or somebody else's.
pub struct Table {
    pub pointer: String,
    pub rest: Map<String, Value>,
}

/// A value, and where it is.
pub struct Field {
    pub pointer: String,
    pub key: String,
    pub value: Value,
}

impl<'a> Report<'a> {
    pub fn new(document: Option<&'a Document>, problems: Diagnostics, warnings: Diagnostics, found: Found) -> Self {
        Self { problems, warnings, found, document, locator: OnceCell::new() }
    }

    /// What references below `pointer` came to, with pointers from there on.
    pub fn referred(&self, pointer: &str) -> Referred {
        let start = format!("{pointer}/");
        let from = |found: &str| found[pointer.len()..].to_owned();
        let whole = self.found.whole.range(start.clone()..).take_while(|whole| whole.starts_with(&start));
        let braced = self.found.braced.range(start.clone()..).take_while(|(place, _)| place.starts_with(&start));
        Referred {
            whole: whole.map(|whole| from(whole)).collect(),
            braced: braced.map(|(place, text)| (from(place), text.clone())).collect(),
        }
    }

    /// Hands on what is right, and notes what is not.
    pub fn at<T>(&mut self, field: &Field, result: Result<T, String>) -> Option<T> {
        let note = |message| {
            // Of a reference that leads nowhere it has been said.
            if !self.found.failed.contains(&field.pointer) {
                self.problems.push(Diagnostic::value(&field.pointer, message));
            }
        };
        result.map_err(note).ok()
    }

    /// A number or boolean as it is written: the version `1.10` is not `1.1`.
    fn written(&self, pointer: &str) -> Option<String> {
        let locator = self.locator.get_or_init(|| self.document.map(SourceMap::new)).as_ref()?;
        locator.text(pointer).map(str::to_string)
    }
}

impl Table {
    pub fn new(field: Field, report: &mut Report) -> Option<Self> {
        match field.value {
            Value::Object(rest) => Some(Self { pointer: field.pointer, rest }),
            value => {
                let message = format!("{} must be a map of keys and values, not {}", field.key, kind(&value));
                report.problems.push(Diagnostic::value(field.pointer, message));
                None
            }
        }
    }

    /// The value of a key; null is as good as no key.
    pub fn take(&mut self, key: &str) -> Option<Field> {
        let value = self.rest.shift_remove(key)?;
        (!value.is_null()).then(|| Field { pointer: below(&self.pointer, key), key: format!("`{key}`"), value })
    }

    /// The items of a list.
    pub fn list(&mut self, key: &str, report: &mut Report) -> Option<Vec<Field>> {
        let field = self.take(key)?;
        match field.value {
            Value::Array(items) => {
                let item = |(index, value)| Field {
                    pointer: format!("{}/{index}", field.pointer),
                    key: format!("an item of `{key}`"),
                    value,
                };
                Some(items.into_iter().enumerate().map(item).collect())
            }
            value => {
                let message = format!("`{key}` must be a list, each item with a `- ` before it, not {}", kind(&value));
                report.problems.push(Diagnostic::value(field.pointer, message));
                None
            }
        }
    }

    /// Whatever is left is a mistake.
    pub fn finish(self, known: &[&str], report: &mut Report) {
        for key in self.rest.keys() {
            let word = key.split(|c: char| c.is_whitespace() || c == ':').next().unwrap_or_default();
            let message = match (closest(key, known), home(key)) {
                _ if word != key && known.contains(&word) => {
                    format!("no key and value: write `{word}: …`, with a colon and a space")
                }
                (Some(meant), _) => format!("unknown key {}, did you mean `{meant}`?", quote_key(key)),
                (None, Some(home)) => format!("`{key}` has no meaning here: it belongs {home}"),
                (None, None) => format!("unknown key {}, expected one of `{}`", quote_key(key), known.join("`, `")),
            };
            report.problems.push(Diagnostic::key(below(&self.pointer, key), message));
        }
    }
}

impl Field {
    pub fn text(&self, report: &Report) -> Result<String, String> {
        match &self.value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(_) | Value::Bool(_) => {
                Ok(report.written(&self.pointer).unwrap_or_else(|| self.value.to_string()))
            }
            value => Err(format!("{} must be text, not {}", self.key, kind(value))),
        }
    }

    pub fn number(&self, range: RangeInclusive<f64>, unit: &str, bounds: &str) -> Result<f64, String> {
        let number = match &self.value {
            Value::Number(number) => number.as_f64().unwrap_or(f64::INFINITY),
            // `1e999`, which is text for want of a number that large.
            Value::String(text) if text.parse().is_ok_and(|number: f64| number.is_infinite()) => f64::INFINITY,
            _ => return Err(self.wrong(&format!("must be {unit}"))),
        };
        match range.contains(&number) {
            true => Ok(number),
            false => Err(self.wrong(&format!("must be {bounds}"))),
        }
    }

    pub fn seconds(&self, range: RangeInclusive<f64>, bounds: &str) -> Result<Duration, String> {
        let seconds = self.number(range, "a number of seconds", bounds)?;
        Duration::try_from_secs_f64(seconds).map_err(|_| self.wrong(&format!("must be {bounds}")))
    }

    pub fn whole(&self, range: RangeInclusive<u32>) -> Result<u32, String> {
        let (least, most) = range.into_inner();
        let bounds = format!("from {least} to {most}");
        let number = self.number(least.into()..=most.into(), "a whole number", &bounds)?;
        match number.fract() == 0.0 {
            // In range, as was just seen.
            true => Ok(number as u32),
            false => Err(self.wrong("must be a whole number")),
        }
    }

    /// Bytes, as a number or as `64 MiB`.
    pub fn size(&self, range: RangeInclusive<u64>) -> Result<u64, String> {
        let size = match &self.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => size(text.trim()),
            _ => None,
        };
        let size = size.ok_or_else(|| self.wrong("must be a number of bytes, or text like `64 MiB`"))?;
        let (least, most) = range.into_inner();
        match (least as f64..=most as f64).contains(&size) {
            true => Ok(size as u64),
            false => Err(self.wrong(&format!("must be from {} to {}", Bytes(least), Bytes(most)))),
        }
    }

    /// What is wrong, with what is there. Only for values that are no secret: the host's own.
    pub fn wrong(&self, must: &str) -> String {
        match &self.value {
            Value::String(text) if text.trim().parse::<f64>().is_ok_and(f64::is_finite) => {
                format!("{} {must}, not text: leave out the quotes", self.key)
            }
            Value::String(text) => format!("{} {must}, not {}", self.key, quote(text)),
            // A float without a fraction has none to show.
            Value::Number(number) if number.is_f64() => {
                format!("{} {must}, not `{}`", self.key, number.as_f64().unwrap_or_default())
            }
            Value::Number(_) | Value::Bool(_) => format!("{} {must}, not `{}`", self.key, self.value),
            value => format!("{} {must}, not {}", self.key, kind(value)),
        }
    }
}

/// A bound as one writes it.
struct Bytes(u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (20, "MiB"), (10, "KiB")];
        let unit = units.iter().find(|(shift, _)| self.0 >= 1 << shift && self.0.trailing_zeros() >= *shift);
        match unit {
            Some((shift, unit)) => write!(f, "{} {unit}", self.0 >> shift),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

fn size(text: &str) -> Option<f64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kib" | "k" => 1024.0,
        "mib" | "m" => 1024.0 * 1024.0,
        "gib" | "g" => 1024.0 * 1024.0 * 1024.0,
        "tib" | "t" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        _ => return None,
    };
    text[..digits].parse::<f64>().ok().map(|number| number * unit)
}

pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// A text within bounds.
pub fn bounded(what: impl Display, text: &str, most: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err(format!("{what} is empty: leave it out, or fill it in"));
    }
    match text.chars().count() {
        length if length > most => Err(format!("{what} is {length} characters long: {most} at most")),
        _ if text.chars().any(char::is_control) => {
            Err(format!("{what} holds a line break or another control character: write it on one line"))
        }
        _ => Ok(()),
    }
}
