//! Fields of templates: `{key[index].attribute!conversion:spec}`.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::spec::Spec;
use super::{Template, format, integer, repr};

/// A parsed field.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The key and the path as the template writes them, for messages.
    pub name: String,
    pub key: String,
    /// The path from the key's value to the value of the field.
    pub path: Vec<PathStep>,
    pub conversion: Option<Conversion>,
    pub format: FieldFormat,
}

/// A step of a field's path.
#[derive(Debug, Clone, PartialEq)]
pub enum PathStep {
    /// An index of a list or a text: `[0]`.
    Index(i64),
    /// A key of a map: `[key]`.
    Key(String),
    /// An attribute of a number: `.real`.
    Attribute(Attribute),
}

/// The attributes of numbers in Python that are supported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Attribute {
    Real,
    Imag,
    Numerator,
    Denominator,
}

/// The conversions `!s`, `!r` and `!a`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Conversion {
    Str,
    Repr,
    Ascii,
}

/// The format of a field's value.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldFormat {
    /// There is no format spec: the value is formatted as by Python's `str`.
    Plain,
    Fixed(Spec),
    /// The format spec contains fields itself. `source` is its text, for messages.
    Nested {
        source: String,
        spec: Template,
    },
}

impl Field {
    /// Renders the field.
    ///
    /// # Errors
    /// Returns a sentence that names the field, without values of keys.
    pub fn render(&self, keys: &Map<String, Value>) -> Result<String, String> {
        let at_name = |error: String| format!("`{}`: {error}", self.name);
        let value = keys.get(&self.key).ok_or_else(|| format!("key `{}` is not set", self.key))?;
        let spec = match &self.format {
            FieldFormat::Plain => None,
            FieldFormat::Fixed(spec) => Some(Cow::Borrowed(spec)),
            FieldFormat::Nested { source, spec } => match spec.render(keys)?.as_str() {
                "" => None,
                // The message must not contain the rendered spec, which contains values of keys.
                spec => Some(Cow::Owned(Spec::parse(spec).map_err(|error| {
                    at_name(format!("the format spec that `{source}` makes is not valid: {error}"))
                })?)),
            },
        };
        self.format_value(value, spec.as_deref()).map_err(at_name)
    }

    /// Follows the path from the key's value, converts the value, and formats it.
    fn format_value(&self, value: &Value, spec: Option<&Spec>) -> Result<String, String> {
        let mut value = Cow::Borrowed(value);
        for step in &self.path {
            value = match value {
                Cow::Borrowed(value) => step.apply(value)?,
                Cow::Owned(value) => Cow::Owned(step.apply(&value)?.into_owned()),
            };
        }
        let converted = match self.conversion {
            None => return format::format(&value, spec),
            Some(Conversion::Str) => repr::text(&value),
            Some(Conversion::Repr) => repr::repr(&value),
            Some(Conversion::Ascii) => repr::ascii(&value),
        };
        format::format(&Value::String(converted), spec)
    }

    /// Adds the keys that the field uses, those of its format spec included.
    pub fn collect_keys<'a>(&'a self, keys: &mut Vec<&'a str>) {
        keys.push(&self.key);
        if let FieldFormat::Nested { spec, .. } = &self.format {
            spec.collect_keys(keys);
        }
    }
}

impl PathStep {
    /// Returns the value that the step leads to.
    fn apply<'a>(&self, value: &'a Value) -> Result<Cow<'a, Value>, String> {
        match (self, value) {
            (Self::Index(index), Value::Array(items)) => {
                let item = usize::try_from(*index).ok().and_then(|index| items.get(index));
                item.map(Cow::Borrowed).ok_or_else(|| format!("the list has no item {index}"))
            }
            (Self::Index(index), Value::String(text)) => {
                let character = usize::try_from(*index).ok().and_then(|index| text.chars().nth(index));
                let character = character.ok_or_else(|| format!("the text has no character {index}"))?;
                Ok(Cow::Owned(Value::String(character.into())))
            }
            (Self::Index(index), Value::Object(_)) => {
                Err(format!("the keys of a map are text, and `[{index}]` is a number"))
            }
            (Self::Key(key), Value::Object(map)) => {
                map.get(key).map(Cow::Borrowed).ok_or_else(|| format!("the map has no key `{key}`"))
            }
            (Self::Key(key), Value::Array(_) | Value::String(_)) => {
                Err(format!("{} takes a number such as `[0]`, not `[{key}]`", type_name(value)))
            }
            (Self::Index(index), _) => Err(format!("{} has no `[{index}]`", type_name(value))),
            (Self::Key(key), _) => Err(format!("{} has no `[{key}]`", type_name(value))),
            (Self::Attribute(attribute), _) => attribute.value_of(value).map(Cow::Owned),
        }
    }
}

impl Attribute {
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Real, Self::Imag, Self::Numerator, Self::Denominator]
            .into_iter()
            .find(|attribute| attribute.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Imag => "imag",
            Self::Numerator => "numerator",
            Self::Denominator => "denominator",
        }
    }

    /// Returns the value of the attribute.
    fn value_of(self, value: &Value) -> Result<Value, String> {
        let float = match value {
            Value::Number(number) => integer::is_float(number),
            Value::Bool(_) => false,
            _ => return Err(format!("{} has no `.{}`", type_name(value), self.name())),
        };
        match (self, value) {
            (Self::Numerator | Self::Denominator, _) if float => Err(format!("a float has no `.{}`", self.name())),
            (Self::Real | Self::Numerator, Value::Bool(truth)) => Ok(json!(u8::from(*truth))),
            (Self::Real | Self::Numerator, _) => Ok(value.clone()),
            (Self::Imag, _) if float => Ok(json!(0.0)),
            (Self::Imag, _) => Ok(json!(0)),
            (Self::Denominator, _) => Ok(json!(1)),
        }
    }
}

/// Returns the name of a value's type, for messages.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if integer::is_float(number) => "a float",
        Value::Number(_) => "an integer",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
