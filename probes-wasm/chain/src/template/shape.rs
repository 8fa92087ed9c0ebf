//! A value whose text is templates: a body, a map of headers.

use std::fmt::Display;

use serde_json::{Map, Value};

use super::Template;

/// Text that is exactly a key's name is that key's value, type kept; any other text is a template. Maps and lists hold
/// more of them; a map's keys and all other values stay as they are.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Fixed(Value),
    Text {
        text: String,
        /// None where only a key of that name can make something of it.
        template: Option<Template>,
    },
    List(Vec<Shape>),
    Map(Vec<(String, Shape)>),
}

impl Shape {
    /// The shape, and all texts that are no templates: JSON pointers, and what is wrong. Such a text is right
    /// nevertheless when it is a `known` key's name.
    pub fn parse(value: &Value, known: &dyn Fn(&str) -> bool) -> (Self, Vec<(String, String)>) {
        let mut errors = Vec::new();
        (Self::read(value, known, "", &mut errors), errors)
    }

    /// The keys that its templates use, each after the JSON pointer to the template.
    pub fn keys(&self) -> Vec<(String, &str)> {
        let mut keys = Vec::new();
        self.collect_keys("", &mut keys);
        keys
    }

    /// What it comes to whatever the keys are: none where one is used, or is named by the whole text.
    pub fn constant(&self, known: &dyn Fn(&str) -> bool) -> Option<Value> {
        match self {
            Self::Text { text, template: Some(template) } if !known(text) && template.keys().next().is_none() => {
                template.render(&Map::new()).ok().map(Value::String)
            }
            _ => None,
        }
    }

    /// What stands under a key of a map.
    pub fn entry(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, shape)| shape),
            _ => None,
        }
    }

    /// # Errors
    ///
    /// The first text that does not render: a JSON pointer, and what is wrong, as [`Template::render`] says it.
    pub fn render(&self, keys: &Map<String, Value>) -> Result<Value, (String, String)> {
        self.render_at("", keys)
    }

    fn read(value: &Value, known: &dyn Fn(&str) -> bool, pointer: &str, errors: &mut Vec<(String, String)>) -> Self {
        match value {
            Value::String(text) => {
                let template = Template::parse(text);
                let template = template.map_err(|error| {
                    if !known(text) {
                        errors.push((pointer.to_owned(), error));
                    }
                });
                Self::Text { text: text.clone(), template: template.ok() }
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                Self::List(
                    items.map(|(index, item)| Self::read(item, known, &within(pointer, &index), errors)).collect(),
                )
            }
            Value::Object(map) => {
                let mut read = |(key, value): (&String, &Value)| {
                    (key.clone(), Self::read(value, known, &within(pointer, key), errors))
                };
                Self::Map(map.iter().map(&mut read).collect())
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
                    item.collect_keys(&within(pointer, &index), keys);
                }
            }
            Self::Map(entries) => {
                for (key, shape) in entries {
                    shape.collect_keys(&within(pointer, key), keys);
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
                items.map(|(index, item)| item.render_at(&within(pointer, &index), keys)).collect()
            }
            Self::Map(entries) => {
                let entries = entries.iter();
                entries
                    .map(|(key, shape)| Ok((key.clone(), shape.render_at(&within(pointer, key), keys)?)))
                    .collect::<Result<Map<_, _>, _>>()
                    .map(Value::Object)
            }
        }
    }
}

/// JSON pointer to a key or an index.
fn within(pointer: &str, key: &dyn Display) -> String {
    format!("{pointer}/{}", key.to_string().replace('~', "~0").replace('/', "~1"))
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
    fn parse(value: &Value, known: &dyn Fn(&str) -> bool) -> Shape {
        let (shape, errors) = Shape::parse(value, known);
        assert_eq!(errors, []);
        shape
    }

    #[track_caller]
    fn check(value: &Value, expected: &Value) {
        let shape = parse(value, &|text| text == "a{");
        assert_eq!(shape.render(&keys()).as_ref(), Ok(expected));
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
    fn maps_and_lists_are_walked() {
        check(
            &json!({ "id": ["id", "/{id}", { "{id}": "name" }], "n": 1, "t": true, "none": null }),
            &json!({ "id": [7, "/7", { "{id}": "Ada" }], "n": 1, "t": true, "none": null }),
        );
    }

    #[test]
    fn errors_have_their_place() {
        let wrong = json!({ "a/b": ["{x}", "{"], "c~": "}", "d": "a{" });
        let (shape, errors) = Shape::parse(&wrong, &|_| false);
        let places: Vec<&str> = errors.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(places, ["/a~1b/1", "/c~0", "/d"]);
        assert_eq!(shape.keys(), [("/a~1b/0".to_owned(), "x")], "the rest is looked at all the same");
        let shape = parse(&json!({ "a": [0, "{nope}"] }), &|_| false);
        assert_eq!(shape.render(&keys()), Err(("/a/1".to_owned(), "key `nope` is not set".to_owned())));
        let shape = parse(&json!("b{"), &|_| true);
        assert_eq!(shape.render(&keys()), Err((String::new(), "key `b{` is not set".to_owned())));
    }

    #[test]
    fn the_keys_that_it_uses() {
        let shape = parse(&json!({ "a": ["{x}{y:{w}}"], "b": "{z}" }), &|_| false);
        let expected = [("/a/0", "x"), ("/a/0", "y"), ("/a/0", "w"), ("/b", "z")];
        assert_eq!(shape.keys(), expected.map(|(pointer, key)| (pointer.to_owned(), key)));
    }
}
