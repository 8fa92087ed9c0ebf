//! A field: which key, what of it, and how it is written.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::spec::Spec;
use super::{Template, format, integer, repr};

#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Key and path as they are written, for errors.
    pub name: String,
    pub key: String,
    pub path: Vec<Step>,
    pub conversion: Option<Conversion>,
    pub format: Format,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// `[0]`
    Index(i64),
    /// `[key]`
    Key(String),
    /// `.real`
    Attribute(Attribute),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Attribute {
    Real,
    Imag,
    Numerator,
    Denominator,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Conversion {
    Str,
    Repr,
    Ascii,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    Plain,
    Fixed(Spec),
    /// The spec has fields itself; its source is for errors.
    Nested {
        source: String,
        spec: Template,
    },
}

impl Field {
    pub fn render(&self, keys: &Map<String, Value>) -> Result<String, String> {
        let at_name = |error: String| format!("`{}`: {error}", self.name);
        let value = keys.get(&self.key).ok_or_else(|| format!("key `{}` is not set", self.key))?;
        let spec = match &self.format {
            Format::Plain => None,
            Format::Fixed(spec) => Some(Cow::Borrowed(spec)),
            Format::Nested { source, spec } => match spec.render(keys)?.as_str() {
                "" => None,
                // The sentence must not say what the spec is: it is made of values.
                spec => Some(Cow::Owned(
                    Spec::parse(spec)
                        .map_err(|error| at_name(format!("the format spec that `{source}` makes is none: {error}")))?,
                )),
            },
        };
        self.write(value, spec.as_deref()).map_err(at_name)
    }

    fn write(&self, value: &Value, spec: Option<&Spec>) -> Result<String, String> {
        let mut value = Cow::Borrowed(value);
        for step in &self.path {
            value = match value {
                Cow::Borrowed(value) => step.of(value)?,
                Cow::Owned(value) => Cow::Owned(step.of(&value)?.into_owned()),
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

    pub fn collect_keys<'a>(&'a self, keys: &mut Vec<&'a str>) {
        keys.push(&self.key);
        if let Format::Nested { spec, .. } = &self.format {
            spec.collect_keys(keys);
        }
    }
}

impl Step {
    fn of<'a>(&self, value: &'a Value) -> Result<Cow<'a, Value>, String> {
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
                Err(format!("{} takes a number such as `[0]`, not `[{key}]`", type_of(value)))
            }
            (Self::Index(index), _) => Err(format!("{} has no `[{index}]`", type_of(value))),
            (Self::Key(key), _) => Err(format!("{} has no `[{key}]`", type_of(value))),
            (Self::Attribute(attribute), _) => attribute.of(value).map(Cow::Owned),
        }
    }
}

impl Attribute {
    pub fn named(name: &str) -> Option<Self> {
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

    fn of(self, value: &Value) -> Result<Value, String> {
        let float = match value {
            Value::Number(number) => integer::is_float(number),
            Value::Bool(_) => false,
            _ => return Err(format!("{} has no `.{}`", type_of(value), self.name())),
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

pub fn type_of(value: &Value) -> &'static str {
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
