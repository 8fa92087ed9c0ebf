//! JSON values whose texts are templates, such as a body or the headers.

use sentrynet_guest::escape_pointer;
use serde_json::{Map, Value};

use super::Template;

/// A JSON value whose texts are templates. A text that is exactly the name of a key is replaced by the key's value,
/// with its type; any other text is a template. The keys of maps, numbers, booleans and null stay as they are.
#[derive(Debug, Clone, PartialEq)]
pub enum TemplatedValue {
    /// A number, a boolean or null.
    Fixed(Value),
    Text {
        text: String,
        /// `None` if the text is no valid template. It can then only be the name of a key.
        template: Option<Template>,
    },
    List(Vec<TemplatedValue>),
    Map(Vec<(String, TemplatedValue)>),
}

impl TemplatedValue {
    /// Parses all texts of a value. Returns it with the mistakes: the JSON pointer to each text that is no valid
    /// template, and a sentence. A text for which `is_known` returns true is the name of a key, and no mistake.
    pub fn parse(value: &Value, is_known: &dyn Fn(&str) -> bool) -> (Self, Vec<(String, String)>) {
        let mut errors = Vec::new();
        (Self::parse_at(value, is_known, "", &mut errors), errors)
    }

    /// Returns the keys that the templates use, each with the JSON pointer to the template.
    pub fn keys(&self) -> Vec<(String, &str)> {
        let mut keys = Vec::new();
        self.collect_keys("", &mut keys);
        keys
    }

    /// Returns the texts of maps that are replaced as a whole by the value of a key, each with its JSON pointer. Those
    /// whose own key has the same name, as in `token: token`, are left out: they say that they mean the key.
    pub fn replaced_texts(&self, is_known: &dyn Fn(&str) -> bool) -> Vec<(String, &str)> {
        let mut texts = Vec::new();
        self.collect_replaced(is_known, "", &mut texts);
        texts
    }

    /// Returns the value of a text that does not depend on keys; `None` if it has fields or is the name of a key.
    pub fn constant(&self, is_known: &dyn Fn(&str) -> bool) -> Option<Value> {
        match self {
            Self::Text { text, template: Some(template) } if !is_known(text) && template.keys().next().is_none() => {
                template.render(&Map::new()).ok().map(Value::String)
            }
            _ => None,
        }
    }

    /// Returns the value of a key, if this is a map.
    pub fn entry(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, templated)| templated),
            _ => None,
        }
    }

    /// Renders all texts.
    ///
    /// # Errors
    /// Returns the JSON pointer to the first text that does not render, and the sentence of [`Template::render`].
    pub fn render(&self, keys: &Map<String, Value>) -> Result<Value, (String, String)> {
        self.render_at("", keys)
    }

    fn parse_at(
        value: &Value,
        is_known: &dyn Fn(&str) -> bool,
        pointer: &str,
        errors: &mut Vec<(String, String)>,
    ) -> Self {
        match value {
            Value::String(text) => {
                let template = Template::parse(text);
                let template = template.map_err(|error| {
                    if !is_known(text) {
                        errors.push((pointer.to_owned(), error));
                    }
                });
                Self::Text { text: text.clone(), template: template.ok() }
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                Self::List(
                    items
                        .map(|(index, item)| {
                            Self::parse_at(item, is_known, &child_pointer(pointer, &index.to_string()), errors)
                        })
                        .collect(),
                )
            }
            Value::Object(map) => {
                let mut parse = |(key, value): (&String, &Value)| {
                    (key.clone(), Self::parse_at(value, is_known, &child_pointer(pointer, key), errors))
                };
                Self::Map(map.iter().map(&mut parse).collect())
            }
            other => Self::Fixed(other.clone()),
        }
    }

    fn collect_keys<'a>(&'a self, pointer: &str, keys: &mut Vec<(String, &'a str)>) {
        match self {
            Self::Fixed(_) => {}
            Self::Text { template, .. } => {
                keys.extend(template.iter().flat_map(Template::keys).map(|key| (pointer.to_owned(), key)));
            }
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.collect_keys(&child_pointer(pointer, &index.to_string()), keys);
                }
            }
            Self::Map(entries) => {
                for (key, templated) in entries {
                    templated.collect_keys(&child_pointer(pointer, key), keys);
                }
            }
        }
    }

    fn collect_replaced<'a>(
        &'a self,
        is_known: &dyn Fn(&str) -> bool,
        pointer: &str,
        texts: &mut Vec<(String, &'a str)>,
    ) {
        match self {
            Self::Fixed(_) | Self::Text { .. } => {}
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.collect_replaced(is_known, &child_pointer(pointer, &index.to_string()), texts);
                }
            }
            Self::Map(entries) => {
                for (key, templated) in entries {
                    match templated {
                        Self::Text { text, .. } if is_known(text) && text != key => {
                            texts.push((child_pointer(pointer, key), text));
                        }
                        other => other.collect_replaced(is_known, &child_pointer(pointer, key), texts),
                    }
                }
            }
        }
    }

    fn render_at(&self, pointer: &str, keys: &Map<String, Value>) -> Result<Value, (String, String)> {
        match self {
            Self::Fixed(value) => Ok(value.clone()),
            Self::Text { text, template } => match (keys.get(text), template) {
                (Some(value), _) => Ok(value.clone()),
                (None, Some(template)) => {
                    template.render(keys).map(Value::String).map_err(|error| (pointer.to_owned(), error))
                }
                (None, None) => Err((pointer.to_owned(), format!("key `{text}` is not set"))),
            },
            Self::List(items) => {
                let items = items.iter().enumerate();
                items.map(|(index, item)| item.render_at(&child_pointer(pointer, &index.to_string()), keys)).collect()
            }
            Self::Map(entries) => {
                let entries = entries.iter();
                entries
                    .map(|(key, templated)| Ok((key.clone(), templated.render_at(&child_pointer(pointer, key), keys)?)))
                    .collect::<Result<Map<_, _>, _>>()
                    .map(Value::Object)
            }
        }
    }
}

/// Returns the JSON pointer to a key or an index below another pointer.
fn child_pointer(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", escape_pointer(key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys() -> Map<String, Value> {
        let Value::Object(keys) = json!({ "id": 7, "list": [1, null], "name": "Ada", "a{": "odd", "{name}": "whole" })
        else {
            unreachable!()
        };
        keys
    }

    #[track_caller]
    fn parse(value: &Value, is_known: &dyn Fn(&str) -> bool) -> TemplatedValue {
        let (templated, errors) = TemplatedValue::parse(value, is_known);
        assert_eq!(errors, []);
        templated
    }

    #[track_caller]
    fn check(value: &Value, expected: &Value) {
        let templated = parse(value, &|text| text == "a{");
        assert_eq!(templated.render(&keys()).as_ref(), Ok(expected));
    }

    #[test]
    fn text_that_is_a_key_is_its_value() {
        check(&json!("id"), &json!(7));
        check(&json!("list"), &json!([1, null]));
        check(&json!("a{"), &json!("odd"));
        check(&json!("{name}"), &json!("whole"));
        check(&json!("{id}"), &json!("7"));
        check(&json!("id "), &json!("id "));
    }

    #[test]
    fn texts_in_maps_and_lists_are_rendered() {
        check(
            &json!({ "id": ["id", "/{id}", { "{id}": "name" }], "n": 1, "t": true, "none": null }),
            &json!({ "id": [7, "/7", { "{id}": "Ada" }], "n": 1, "t": true, "none": null }),
        );
    }

    #[test]
    fn errors_have_pointers() {
        let wrong = json!({ "a/b": ["{x}", "{"], "c~": "}", "d": "a{" });
        let (templated, errors) = TemplatedValue::parse(&wrong, &|_| false);
        let pointers: Vec<&str> = errors.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/a~1b/1", "/c~0", "/d"]);
        assert_eq!(
            templated.keys(),
            [("/a~1b/0".to_owned(), "x")],
            "the keys of valid templates are collected nevertheless"
        );
        let templated = parse(&json!({ "a": [0, "{nope}"] }), &|_| false);
        assert_eq!(templated.render(&keys()), Err(("/a/1".to_owned(), "key `nope` is not set".to_owned())));
        let templated = parse(&json!("b{"), &|_| true);
        assert_eq!(templated.render(&keys()), Err((String::new(), "key `b{` is not set".to_owned())));
    }

    #[test]
    fn texts_that_are_replaced_are_collected() {
        let value = json!({ "role": "name", "name": "name", "list": ["name", { "a/b": "name" }], "x": "{name}" });
        let templated = parse(&value, &|_| false);
        let expected = [("/role".to_owned(), "name"), ("/list/1/a~1b".to_owned(), "name")];
        assert_eq!(templated.replaced_texts(&|text| text == "name"), expected);
    }

    #[test]
    fn keys_are_collected() {
        let templated = parse(&json!({ "a": ["{x}{y:{w}}"], "b": "{z}" }), &|_| false);
        let expected = [("/a/0", "x"), ("/a/0", "y"), ("/a/0", "w"), ("/b", "z")];
        assert_eq!(templated.keys(), expected.map(|(pointer, key)| (pointer.to_owned(), key)));
    }
}
