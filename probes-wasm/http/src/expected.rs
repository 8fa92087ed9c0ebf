//! Which statuses are right.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// Statuses and classes of them, any of which is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected(Vec<Range>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    Status(u16),
    /// `2xx` is 2.
    Class(u16),
}

impl Expected {
    /// What is right when nothing is said.
    pub fn by_method(method: &str) -> Self {
        Self(vec![Range::Status(if method == "POST" { 201 } else { 200 })])
    }

    pub fn allows(&self, status: u16) -> bool {
        self.0.iter().any(|range| match range {
            Range::Status(right) => *right == status,
            Range::Class(class) => *class == status / 100,
        })
    }
}

impl fmt::Display for Expected {
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

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let ranges = match &value {
            Value::Array(several) if !several.is_empty() => several.iter().map(range).collect(),
            one => range(one).map(|range| vec![range]),
        };
        ranges.map(Self).map_err(D::Error::custom)
    }
}

fn range(value: &Value) -> Result<Range, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"));
    match (text.parse(), class.map(str::parse)) {
        (Ok(status @ 100..=599), _) => Ok(Range::Status(status)),
        (_, Some(Ok(class @ 1..=5))) => Ok(Range::Class(class)),
        _ => Err(format!(
            "{value} is not a status: expected a number such as 200, a class such as `2xx`, or a list of them"
        )),
    }
}

impl schemars::JsonSchema for Expected {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Expected".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let one = json!([
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": "^([1-5][0-9][0-9]|[1-5](xx|XX))$" },
        ]);
        schemars::json_schema!({
            "anyOf": [one[0], one[1], { "type": "array", "minItems": 1, "items": { "anyOf": one } }]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(settings: Value, shown: &str, allowed: &[u16], denied: &[u16]) {
        let expected = Expected::deserialize(settings).expect("right statuses");
        assert_eq!(expected.to_string(), shown);
        assert!(allowed.iter().all(|status| expected.allows(*status)), "{allowed:?}");
        assert!(!denied.iter().any(|status| expected.allows(*status)), "{denied:?}");
    }

    #[test]
    fn statuses_classes_and_lists() {
        check(json!(200), "200", &[200], &[201, 404]);
        check(json!("204"), "204", &[204], &[200]);
        check(json!("2xx"), "2xx", &[200, 204, 299], &[199, 300]);
        check(json!([200, "3XX", "404"]), "200 or 3xx or 404", &[200, 301, 404], &[201, 400]);
    }

    #[test]
    fn what_is_no_status() {
        for wrong in [json!(99), json!(600), json!("6xx"), json!("ok"), json!([]), json!({}), json!(200.5), json!(null)]
        {
            assert!(Expected::deserialize(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
