//! Sets of HTTP statuses, such as `200`, `2xx` or a list of both.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};

/// A set of HTTP statuses and classes of statuses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Statuses(Vec<Range>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    Status(u16),
    /// A class by its first digit: 2 for `2xx`.
    Class(u16),
}

impl Statuses {
    /// Returns true if the set contains the status.
    pub fn allows(&self, status: u16) -> bool {
        self.0.iter().any(|range| match range {
            Range::Status(right) => *right == status,
            Range::Class(class) => *class == status / 100,
        })
    }
}

impl From<u16> for Statuses {
    fn from(status: u16) -> Self {
        Self(vec![Range::Status(status)])
    }
}

impl TryFrom<Value> for Statuses {
    type Error = String;

    /// Parses a number, a class such as `2xx`, or a list of them.
    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::Array(several) if !several.is_empty() => several.iter().map(parse_range).collect::<Result<_, _>>(),
            one => parse_range(&one).map(|range| vec![range]),
        }
        .map(Self)
    }
}

fn parse_range(value: &Value) -> Result<Range, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"));
    match (text.parse(), class.map(str::parse)) {
        (Ok(status @ 100..=599), _) => Ok(Range::Status(status)),
        (_, Some(Ok(class @ 1..=5))) => Ok(Range::Class(class)),
        _ => Err(format!(
            "{} is not a status: expected a number such as 200, a class such as `2xx`, or a list of them",
            crate::messages::display_value(value)
        )),
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " or " };
            match range {
                Range::Status(status) => write!(f, "{separator}{status}")?,
                Range::Class(class) => write!(f, "{separator}{class}xx")?,
            }
        }
        Ok(())
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json!([
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": "^([1-5][0-9][0-9]|[1-5](xx|XX))$" },
        ]);
        json_schema!({
            "description": "A number, a class such as `2xx`, or a list of them",
            "anyOf": [one[0], one[1], { "type": "array", "minItems": 1, "items": { "anyOf": one } }]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(form: Value, shown: &str, allowed: &[u16], denied: &[u16]) {
        let statuses = Statuses::deserialize(form).expect("the statuses are valid");
        assert_eq!(statuses.to_string(), shown);
        assert!(allowed.iter().all(|status| statuses.allows(*status)), "{allowed:?}");
        assert!(!denied.iter().any(|status| statuses.allows(*status)), "{denied:?}");
    }

    #[test]
    fn statuses_classes_and_lists_are_parsed() {
        check(json!(200), "200", &[200], &[201, 404]);
        check(json!("204"), "204", &[204], &[200]);
        check(json!("2xx"), "2xx", &[200, 204, 299], &[199, 300]);
        check(json!([200, "3XX", "404"]), "200 or 3xx or 404", &[200, 301, 404], &[201, 400]);
    }

    #[test]
    fn values_that_are_no_status_are_rejected() {
        for wrong in [json!(99), json!(600), json!("6xx"), json!("ok"), json!([]), json!({}), json!(200.5), json!(null)]
        {
            assert!(Statuses::deserialize(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
