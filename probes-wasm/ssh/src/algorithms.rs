//! The setting `algorithms`.

use sentrynet_guest::Problems;
use sentrynet_guest::ssh::Client;
use serde::Deserialize;
use serde_json::Value;

/// The algorithms of each kind that may be used.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Algorithms {
    /// Exchanges of keys, such as `+diffie-hellman-group14-sha1`.
    kex: Option<Names>,
    /// Algorithms of host keys, such as `+ssh-rsa`, which also lets an RSA key log in with SHA-1.
    host_key: Option<Names>,
    /// Ciphers, such as `+aes128-cbc`.
    cipher: Option<Names>,
    /// Message authentication codes.
    mac: Option<Names>,
}

/// Names as in `ssh_config`, with commas between them, or as a list.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
struct Names(String);

impl Algorithms {
    /// Sets the algorithms of the client, and adds the mistakes that the host finds.
    pub fn apply(&self, client: &Client, problems: &mut Problems) {
        let kinds = [
            ("kex", "kex", &self.kex),
            ("host_key", "host-key", &self.host_key),
            ("cipher", "cipher", &self.cipher),
            ("mac", "mac", &self.mac),
        ];
        for (key, kind, names) in kinds {
            if let Some(Names(names)) = names {
                problems.ok_or_add(format_args!("/algorithms/{key}"), client.algorithms(kind, names));
            }
        }
    }
}

impl Names {
    /// Joins the items of a list. The prefix of its items, such as `+`, is that of the whole.
    fn join(items: &[String]) -> Result<Self, String> {
        let prefix_of = |item: &str| item.starts_with(['+', '^', '-']).then(|| item[..1].to_owned());
        let prefix = items.first().and_then(|item| prefix_of(item));
        if items.iter().any(|item| prefix_of(item) != prefix) {
            return Err("expected the same prefix before each name: `+` adds it to the default ones".to_owned());
        }
        let prefix = prefix.unwrap_or_default();
        let names: Vec<_> = items.iter().map(|item| item[prefix.len()..].trim()).collect();
        Ok(Self(prefix + &names.join(",")))
    }
}

impl TryFrom<Value> for Names {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        const SHAPE: &str = "expected the name of an algorithm, such as `+ssh-rsa`, or a list of them";
        match value {
            Value::String(names) => Ok(Self(names)),
            Value::Array(items) if !items.is_empty() => {
                let text = |item: &Value| item.as_str().map(|item| item.trim().to_owned()).ok_or(SHAPE);
                Self::join(&items.iter().map(text).collect::<Result<Vec<_>, _>>()?)
            }
            _ => Err(SHAPE.to_owned()),
        }
    }
}

impl schemars::JsonSchema for Names {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let text = serde_json::json!({ "type": "string" });
        schemars::json_schema!({ "anyOf": [text, { "type": "array", "minItems": 1, "items": text }] })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_have_one_prefix() {
        let names = |value: Value| Names::try_from(value).map(|names| names.0);
        assert_eq!(names(json!("+a,b")).as_deref(), Ok("+a,b"));
        assert_eq!(names(json!(["+a", "+b"])).as_deref(), Ok("+a,b"));
        assert_eq!(names(json!(["a", "b"])).as_deref(), Ok("a,b"));
        for wrong in [json!(["+a", "b"]), json!(["a", "-b"]), json!([]), json!([1]), json!(1)] {
            assert!(names(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
