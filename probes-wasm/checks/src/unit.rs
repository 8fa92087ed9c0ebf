//! Units of numbers, and how values are displayed with them.

use serde_json::Value;

use crate::messages::{display_value, truncate};

/// The unit of a subject's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    None,
    Bytes,
    Days,
    Seconds,
}

impl Unit {
    /// Returns a value as text for a person; a number with the unit. Seconds are rounded to milliseconds, which is as
    /// exact as a measurement over a network can be.
    pub fn display(self, value: &Value) -> String {
        match (self, value.as_f64()) {
            (Self::Seconds, Some(seconds)) => self.append_to(&((seconds * 1000.0).round() / 1000.0).to_string()),
            (_, Some(_)) => self.append_to(&value.to_string()),
            _ => display_value(value),
        }
    }

    /// Returns a number with the unit: `1 byte`, `0.8 s`.
    pub fn append_to(self, number: &str) -> String {
        let number = truncate(number.to_owned());
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
