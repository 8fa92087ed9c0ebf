//! Reads one map of the configuration file key by key. Checks the type and the bounds of each value, and words the
//! message if they are wrong. Independent of the meaning of keys.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use super::diagnostic::{Diagnostic, Diagnostics, MissingFile, below, quote, quote_key};
use super::duration::parse_duration;
use super::identifiers::Identifiers;
use super::interpolation::{Interpolations, Resolved};
use super::section::{Section, place_of};
use super::size::parse_size;
use super::source_map::SourceMap;
use super::yaml_tree::Document;
use crate::schema::closest;

/// The errors and warnings of a file that is being decoded, and its text.
pub struct DecodeContext<'a> {
    pub errors: Diagnostics,
    pub warnings: Diagnostics,
    pub missing_files: Vec<MissingFile>,
    pub resolved: Resolved,
    pub identifiers: Identifiers,
    document: Option<&'a Document>,
    source_map: OnceCell<Option<SourceMap<'a>>>,
}

/// A map that is being decoded. Keys are taken out one by one; [`Table::finish`] reports the rest.
pub struct Table {
    section: Section,
    pub pointer: String,
    pub rest: Map<String, Value>,
}

/// A value, and its place in the file.
pub struct Field {
    pub pointer: String,
    /// The field as messages name it: its key in backquotes, or another description.
    pub label: String,
    pub value: Value,
}

impl<'a> DecodeContext<'a> {
    pub fn new(document: Option<&'a Document>, errors: Diagnostics, warnings: Diagnostics, resolved: Resolved) -> Self {
        let (missing_files, identifiers) = (Vec::new(), Identifiers::default());
        Self { errors, warnings, missing_files, resolved, identifiers, document, source_map: OnceCell::new() }
    }

    /// Returns the references that were replaced below `pointer`, and the source of the numbers, booleans and nulls in
    /// the `settings` there. Pointers are relative to it.
    pub fn interpolations_below(&self, pointer: &str, settings: &Map<String, Value>) -> Interpolations {
        let start = format!("{pointer}/");
        let relative = |found: &str| found[pointer.len()..].to_owned();
        let whole = self.resolved.whole_values.range(start.clone()..).take_while(|found| found.starts_with(&start));
        let escaped =
            self.resolved.template_escaped.range(start.clone()..).take_while(|(found, _)| found.starts_with(&start));
        Interpolations {
            whole_values: whole.map(|found| relative(found)).collect(),
            template_escaped: escaped.map(|(found, text)| (relative(found), text.clone())).collect(),
            source_texts: self.source_texts_below(pointer, settings),
        }
    }

    /// Returns the source of the numbers, booleans and nulls in `settings`, by pointers relative to that of the
    /// settings.
    fn source_texts_below(&self, pointer: &str, settings: &Map<String, Value>) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        let mut waiting: Vec<_> = settings.iter().map(|(key, value)| (below("", key), value)).collect();
        while let Some((at, value)) = waiting.pop() {
            match value {
                Value::Object(map) => waiting.extend(map.iter().map(|(key, value)| (below(&at, key), value))),
                Value::Array(items) => {
                    waiting.extend(items.iter().enumerate().map(|(index, item)| (format!("{at}/{index}"), item)));
                }
                Value::String(_) => {}
                scalar => {
                    let written = self.source_text(&format!("{pointer}{at}")).filter(|text| !text.is_empty());
                    let decoded = scalar.to_string();
                    if let Some(text) = written.filter(|text| scalar.is_null() || *text != decoded) {
                        texts.insert(at, text);
                    }
                }
            }
        }
        texts
    }

    /// Returns the value, or adds the error to those of the file.
    pub fn accept<T>(&mut self, field: &Field, result: Result<T, String>) -> Option<T> {
        let add = |message| {
            // A reference that could not be resolved has an error already.
            if !self.resolved.unresolved.contains(&field.pointer) {
                self.errors.push(Diagnostic::at_value(&field.pointer, message));
            }
        };
        result.map_err(add).ok()
    }

    /// Returns true if a file of the configuration's folder could not be parsed: what the others lack may be in it.
    pub fn is_incomplete(&self) -> bool {
        self.document.is_some_and(Document::is_incomplete)
    }

    /// Returns a number or boolean as it is written in the file: the tag `1.10` must not become `1.1`.
    fn source_text(&self, pointer: &str) -> Option<String> {
        let source_map = self.source_map.get_or_init(|| self.document.map(SourceMap::new)).as_ref()?;
        source_map.text(pointer).map(str::to_string)
    }
}

impl Table {
    /// Returns the map that a field holds; if it holds anything else, `None`, after adding an error.
    pub fn new(field: Field, section: Section, context: &mut DecodeContext) -> Option<Self> {
        let (pointer, rest) = field.into_map(context)?;
        Some(Self { section, pointer, rest })
    }

    /// Returns a map without keys, for a section that the file does not have.
    pub fn empty(section: Section) -> Self {
        Self { section, pointer: String::new(), rest: Map::new() }
    }

    /// Returns the map of a section that may also be written as something other than a map.
    pub fn with_keys(section: Section, pointer: String, rest: Map<String, Value>) -> Self {
        Self { section, pointer, rest }
    }

    /// Returns true if a key is there and not null.
    pub fn has_value(&self, key: &str) -> bool {
        self.rest.get(key).is_some_and(|value| !value.is_null())
    }

    /// Takes the value of a key. A null counts as a missing key.
    pub fn take(&mut self, key: &str) -> Option<Field> {
        debug_assert!(
            self.section.has(key),
            "the decoder reads the key `{key}`, but config/schema/host.json has none at {}",
            self.section.pointer()
        );
        let value = self.rest.shift_remove(key)?;
        (!value.is_null()).then(|| Field { pointer: below(&self.pointer, key), label: format!("`{key}`"), value })
    }

    /// Takes a key that is a map of its own.
    pub fn take_table(&mut self, key: &str, section: Section, context: &mut DecodeContext) -> Option<Self> {
        self.take(key).and_then(|field| Self::new(field, section, context))
    }

    /// Takes a number of seconds, or text such as `5m`, within the bounds of the key.
    pub fn take_seconds(&mut self, key: &str, context: &mut DecodeContext) -> Option<Duration> {
        let field = self.take(key)?;
        let seconds = field.seconds(self.section.bounds(key));
        context.accept(&field, seconds)
    }

    /// Takes a whole number within the bounds of the key.
    pub fn take_integer(&mut self, key: &str, context: &mut DecodeContext) -> Option<u32> {
        let field = self.take(key)?;
        let number = field.integer(self.section.bounds(key));
        context.accept(&field, number)
    }

    /// Takes a number of seconds. Without the key, returns `shared`, or else the default that `host.json` declares. A
    /// null stands for the latter.
    pub fn take_seconds_or(&mut self, key: &str, shared: Option<Duration>, context: &mut DecodeContext) -> Duration {
        let shared = shared.filter(|_| !self.rest.contains_key(key));
        self.take_seconds(key, context).or(shared).unwrap_or_else(|| self.section.default_seconds(key))
    }

    /// Takes a whole number. Without the key, returns `shared`, or else the default that `host.json` declares. A null
    /// stands for the latter.
    pub fn take_integer_or(&mut self, key: &str, shared: Option<u32>, context: &mut DecodeContext) -> u32 {
        let shared = shared.filter(|_| !self.rest.contains_key(key));
        self.take_integer(key, context).or(shared).unwrap_or_else(|| self.section.default_integer(key) as u32)
    }

    /// Takes a number of bytes within the bounds of the key.
    pub fn take_bytes(&mut self, key: &str, context: &mut DecodeContext) -> Option<u64> {
        let field = self.take(key)?;
        let bytes = field.bytes(self.section.bounds(key));
        context.accept(&field, bytes)
    }

    /// Takes `true` or `false`.
    pub fn take_bool(&mut self, key: &str, context: &mut DecodeContext) -> Option<bool> {
        let field = self.take(key)?;
        let value = field.value.as_bool().ok_or_else(|| field.mismatch("must be `true` or `false`"));
        context.accept(&field, value)
    }

    /// Takes text that passes a check. The check gets the text and the key's maximal number of characters.
    pub fn take_text(
        &mut self,
        key: &str,
        check: impl Fn(&str, usize) -> Result<(), String>,
        context: &mut DecodeContext,
    ) -> Option<String> {
        let field = self.take(key)?;
        let max_length = self.section.max_length(key);
        let text = field.text(context).and_then(|text| check(&text, max_length).map(|()| text));
        context.accept(&field, text)
    }

    /// Takes text as [`Table::take_text`] does, and adds it to the identifiers of the file.
    pub fn take_identifier(
        &mut self,
        key: &str,
        check: impl Fn(&str, usize) -> Result<(), String>,
        context: &mut DecodeContext,
    ) -> Option<String> {
        let text = self.take_text(key, check, context)?;
        context.identifiers.push(below(&self.pointer, key), format!("`{key}`"), &text);
        Some(text)
    }

    /// Takes the items of a list.
    pub fn take_list(&mut self, key: &str, context: &mut DecodeContext) -> Option<Vec<Field>> {
        self.take(key)?.into_list(context)
    }

    /// Adds an error for each key that was not taken.
    pub fn finish(self, context: &mut DecodeContext) {
        let known = self.section.keys();
        for key in self.rest.keys() {
            let word = key.split(|c: char| c.is_whitespace() || c == ':').next().unwrap_or_default();
            let message = match (closest(key, &known), place_of(key)) {
                _ if word != key && known.contains(&word) => {
                    format!("no key and value: write `{word}: …`, with a colon and a space")
                }
                (Some(meant), _) => format!("unknown key {}, did you mean `{meant}`?", quote_key(key)),
                _ if self.section == Section::GROUP && Section::DEFAULTS.has(key) => {
                    format!("`{key}` has no meaning here: write it under `defaults` for all probes of the group")
                }
                (None, None) if self.section == Section::GROUP => format!(
                    "unknown key {}, expected one of `{}`; settings of all probes of the group belong under `defaults`",
                    quote_key(key),
                    known.join("`, `")
                ),
                (None, Some(place)) => format!("`{key}` has no meaning here: it belongs {place}"),
                (None, None) => format!("unknown key {}, expected one of `{}`", quote_key(key), known.join("`, `")),
            };
            context.errors.push(Diagnostic::at_key(below(&self.pointer, key), message));
        }
    }
}

impl Field {
    /// Returns the items of a list; if the value is anything else, `None`, after adding an error.
    pub fn into_list(self, context: &mut DecodeContext) -> Option<Vec<Self>> {
        match self.value {
            Value::Array(items) => {
                let item = |(index, value)| Self {
                    pointer: format!("{}/{index}", self.pointer),
                    label: format!("an item of {}", self.label),
                    value,
                };
                Some(items.into_iter().enumerate().map(item).collect())
            }
            value => {
                let message = format!(
                    "{} must be a list, each item with a `- ` before it, not {}",
                    self.label,
                    type_name(&value)
                );
                context.errors.push(Diagnostic::at_value(self.pointer, message));
                None
            }
        }
    }

    /// Returns the pointer and the map; if the value is no map, `None`, after adding an error.
    pub fn into_map(self, context: &mut DecodeContext) -> Option<(String, Map<String, Value>)> {
        match self.value {
            Value::Object(map) => Some((self.pointer, map)),
            value => {
                let message = format!("{} must be a map of keys and values, not {}", self.label, type_name(&value));
                context.errors.push(Diagnostic::at_value(self.pointer, message));
                None
            }
        }
    }

    /// Returns the text. A number or a boolean is text as it is written in the file.
    pub fn text(&self, context: &DecodeContext) -> Result<String, String> {
        match &self.value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(_) | Value::Bool(_) => {
                Ok(context.source_text(&self.pointer).unwrap_or_else(|| self.value.to_string()))
            }
            value => Err(format!("{} must be text, not {}", self.label, type_name(value))),
        }
    }

    fn number(&self, range: &RangeInclusive<f64>, unit: &str, bounds: &str) -> Result<f64, String> {
        let number = match &self.value {
            Value::Number(number) => number.as_f64().unwrap_or(f64::INFINITY),
            // `1e999` is text, because no number is that large.
            Value::String(text) if text.parse().is_ok_and(|number: f64| number.is_infinite()) => f64::INFINITY,
            _ => return Err(self.mismatch(&format!("must be {unit}"))),
        };
        if range.contains(&number) { Ok(number) } else { Err(self.mismatch(&format!("must be {bounds}"))) }
    }

    fn seconds(&self, range: RangeInclusive<f64>) -> Result<Duration, String> {
        let seconds = match &self.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => parse_duration(text.trim()),
            _ => None,
        };
        let seconds = seconds.filter(|seconds| range.contains(seconds));
        let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        duration.ok_or_else(|| self.mismatch(&describe_seconds(&range)))
    }

    fn integer(&self, range: RangeInclusive<f64>) -> Result<u32, String> {
        let bounds = format!("from {} to {}", range.start(), range.end());
        let number = self.number(&range, "a whole number", &bounds)?;
        // The bounds are within those of a u32.
        if number.fract() == 0.0 { Ok(number as u32) } else { Err(self.mismatch("must be a whole number")) }
    }

    /// Returns a number of bytes, which is a number or text such as `64 MiB`.
    fn bytes(&self, range: RangeInclusive<f64>) -> Result<u64, String> {
        let bytes = match &self.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => parse_size(text.trim()),
            _ => None,
        };
        let bytes = bytes.filter(|bytes| range.contains(bytes)).map(|bytes| bytes as u64);
        bytes.ok_or_else(|| self.mismatch(&describe_bytes(&range)))
    }

    /// Returns a message with the requirement `must` and the actual value. It must be used only for the host's own
    /// values, which are no secrets, because the message repeats the value.
    pub fn mismatch(&self, must: &str) -> String {
        match &self.value {
            Value::String(text) if text.trim().parse::<f64>().is_ok_and(f64::is_finite) => {
                format!("{} {must}, not text: leave out the quotes", self.label)
            }
            Value::String(text) => format!("{} {must}, not {}", self.label, quote(text)),
            // A float without a fraction is shown as a whole number.
            Value::Number(number) if number.is_f64() => {
                format!("{} {must}, not `{}`", self.label, number.as_f64().unwrap_or_default())
            }
            Value::Number(_) | Value::Bool(_) => format!("{} {must}, not `{}`", self.label, self.value),
            value => format!("{} {must}, not {}", self.label, type_name(value)),
        }
    }
}

/// Returns the times that a key takes, such as "must be a time such as `30s`, from 0.05 seconds to an hour (3600)".
fn describe_seconds(range: &RangeInclusive<f64>) -> String {
    let (least, most) = (range.start(), range.end());
    let example = if range.contains(&30.0) { "30s" } else { "1s" };
    match NAMED_SECONDS.iter().find(|(seconds, _)| *seconds == *most as u64) {
        Some((_, name)) => format!("must be a time such as `{example}`, from {least} seconds to {name} ({most})"),
        None => format!("must be a time such as `{example}`, from {least} to {most} seconds"),
    }
}

/// Returns the sizes that a key takes, such as "must be a size such as `64 MiB`, from 1 KiB to 1 TiB".
fn describe_bytes(range: &RangeInclusive<f64>) -> String {
    const MIB: u64 = 1 << 20;
    let example = if range.contains(&((64 * MIB) as f64)) { Bytes(64 * MIB) } else { Bytes(MIB) };
    let (least, most) = (Bytes(*range.start() as u64), Bytes(*range.end() as u64));
    format!("must be a size such as `{example}`, from {least} to {most}")
}

/// Durations that messages name beside their seconds.
const NAMED_SECONDS: &[(u64, &str)] = &[(3600, "an hour"), (86_400, "a day"), (31_536_000, "a year")];

/// A number of bytes, displayed in the largest unit of TiB, MiB and KiB that needs no fraction.
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

/// Returns the type of a value as a message names it.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Checks that a text is one line, not empty and of at most `max_length` characters.
pub fn check_line(label: impl Display, text: &str, max_length: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err(format!("{label} is empty: leave it out, or fill it in"));
    }
    match text.chars().count() {
        length if length > max_length => Err(format!("{label} is {length} characters long: {max_length} at most")),
        _ if text.chars().any(char::is_control) => {
            Err(format!("{label} holds a line break or another control character: write it on one line"))
        }
        _ => Ok(()),
    }
}
