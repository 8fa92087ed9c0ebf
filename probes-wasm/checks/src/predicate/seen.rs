//! A value as it is looked at.

use serde_json::{Number, Value};

use crate::subject::{Nature, Unit};
use crate::words::{cut, shown};

/// A value, and what its text reads as when it comes from the wire.
pub struct Seen<'v> {
    pub value: &'v Value,
    read: Option<Value>,
}

impl<'v> Seen<'v> {
    pub fn new(value: &'v Value, nature: Nature) -> Self {
        let wire = (nature == Nature::Wire).then(|| value.as_str()).flatten();
        let read = wire.and_then(|text| serde_json::from_str(text.trim()).ok());
        Self { value, read: read.filter(|read: &Value| read.is_number() || read.is_boolean()) }
    }

    /// The value, and what it reads as.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        std::iter::once(self.value).chain(&self.read)
    }

    pub fn number(&self) -> Option<&Number> {
        self.values().find_map(|value| value.as_number())
    }
}

impl Unit {
    /// A value as a person reads it.
    pub fn value(self, value: &Value) -> String {
        match (self, value.as_f64()) {
            // Milliseconds are as exact as a measurement over a network is.
            (Self::Seconds, Some(seconds)) => self.number(&((seconds * 1000.0).round() / 1000.0).to_string()),
            (_, Some(_)) => self.number(&value.to_string()),
            _ => shown(value),
        }
    }

    pub fn number(self, number: &str) -> String {
        let number = cut(number.to_owned());
        let unit = match self {
            Self::None => "",
            Self::Seconds => " s",
            Self::Bytes if number == "1" => " byte",
            Self::Bytes => " bytes",
            Self::Days if number == "1" => " day",
            Self::Days => " days",
        };
        number + unit
    }
}
