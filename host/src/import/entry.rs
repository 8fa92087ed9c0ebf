//! Values of a YAML file with their places.

use std::rc::Rc;

use serde_json::Value;

use super::report::{Place, Report};
use crate::config::{ForeignYaml, YamlPlaces};

/// A YAML file that is imported.
pub struct File<'a> {
    name: Rc<str>,
    value: &'a Value,
    places: YamlPlaces<'a>,
}

/// A value of a file.
#[derive(Clone)]
pub struct Entry<'a> {
    file: &'a File<'a>,
    pointer: String,
    pub value: &'a Value,
}

impl<'a> File<'a> {
    /// Returns a file, and notes what could not be read in it.
    pub fn new(name: &str, yaml: &'a ForeignYaml, report: &mut Report) -> Self {
        let file = Self { name: name.into(), value: &yaml.value, places: yaml.places() };
        for (line, message) in &yaml.problems {
            report.left_out(&Place { file: Rc::clone(&file.name), line: *line }, message);
        }
        file
    }

    pub fn root(&'a self) -> Entry<'a> {
        Entry { file: self, pointer: String::new(), value: self.value }
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<'a> Entry<'a> {
    pub fn place(&self) -> Place {
        Place { file: Rc::clone(&self.file.name), line: self.file.places.line(&self.pointer) }
    }

    fn below(&self, segment: &str, value: &'a Value) -> Self {
        let segment = segment.replace('~', "~0").replace('/', "~1");
        Self { file: self.file, pointer: format!("{}/{segment}", self.pointer), value }
    }

    /// Returns the value of a key, unless it is null or missing.
    pub fn get(&self, key: &str) -> Option<Self> {
        self.value.get(key).filter(|value| !value.is_null()).map(|value| self.below(key, value))
    }

    /// Returns the keys of a map with their values, except those that are null.
    pub fn members(&self) -> Vec<(&'a str, Self)> {
        let members = self.value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        members.map(|(key, value)| (key.as_str(), self.below(key, value))).collect()
    }

    /// Returns the items of a list. Any other value is a list of itself.
    pub fn items(&self) -> Vec<Self> {
        match self.value {
            Value::Array(items) => {
                items.iter().enumerate().map(|(index, item)| self.below(&index.to_string(), item)).collect()
            }
            Value::Null => Vec::new(),
            _ => vec![self.clone()],
        }
    }

    /// Returns a scalar as it is written. `None` for null, a list or a map.
    pub fn text(&self) -> Option<String> {
        match self.value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => {
                Some(self.file.places.text(&self.pointer).map_or_else(|| self.value.to_string(), str::to_owned))
            }
            _ => None,
        }
    }

    /// Returns the scalars of a list, or the only one.
    pub fn texts(&self) -> Vec<String> {
        self.items().iter().filter_map(Self::text).collect()
    }

    pub fn is_true(&self) -> bool {
        self.value.as_bool() == Some(true) || self.value.as_str() == Some("true")
    }

    /// Notes that a key has no equivalent.
    pub fn no_equivalent(&self, key: &str, report: &mut Report) {
        report.left_out(&self.place(), format!("`{}` has no equivalent", shown(key)));
    }
}

/// Returns a key or a name as a message shows it.
pub fn shown(text: &str) -> String {
    const MAX_BYTES: usize = 80;
    crate::printable::excerpt(text, MAX_BYTES)
}
