//! A call as it stands on the tape: its name, and what it was given.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use wasmtime::component::Resource;

use crate::capability::cut;
use crate::recording::Call;

/// A call that is being made.
#[derive(Debug, Default)]
pub struct Said {
    call: String,
    handle: Option<u32>,
    with: Map<String, Value>,
}

/// What a call can be given.
pub trait Given {
    fn put(&self, name: &str, said: &mut Said);
}

impl Said {
    /// `interface` and `function` as the contract has them, but for underscores.
    pub fn new(interface: &str, function: &str) -> Self {
        Self { call: format!("{interface}.{}", function.replace('_', "-")), ..Self::default() }
    }

    #[must_use]
    pub fn with(mut self, name: &str, given: &impl Given) -> Self {
        given.put(&name.replace('_', "-"), &mut self);
        self
    }

    pub fn name(&self) -> &str {
        &self.call
    }

    pub fn given(&self) -> &Map<String, Value> {
        &self.with
    }

    /// Bytes that it takes, about.
    pub fn weight(&self) -> usize {
        self.with.values().map(weight).sum()
    }

    pub fn into_call(self) -> Call {
        let Self { call, handle, with } = self;
        Call { call, handle, with, ..Call::default() }
    }

    /// For a person.
    pub fn shown(&self) -> String {
        shown(&self.call, &self.with)
    }
}

/// Bytes that a value takes, about.
pub fn weight(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(list) => list.iter().map(weight).sum(),
            Value::Object(map) => map.iter().map(|(key, value)| key.len() + weight(value)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

/// A call for a person: its name and what it was given, as far as anybody reads.
pub fn shown(call: &str, with: &Map<String, Value>) -> String {
    const LONGEST: usize = 160;
    let given = with.values().map(|value| match value {
        Value::String(text) => format!(" {}", text.escape_debug()),
        other => format!(" {other}"),
    });
    let whole = format!("{call}{}", given.collect::<String>());
    let length = whole.len();
    let mut shown = cut(whole, LONGEST);
    if shown.len() < length {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// Text as it is, and what is none in base64.
pub fn of_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

pub fn to_bytes(value: &Value) -> Option<Vec<u8>> {
    match (value["text"].as_str(), value["base64"].as_str()) {
        (Some(text), _) => Some(text.as_bytes().to_vec()),
        (None, Some(text)) => STANDARD.decode(text).ok(),
        (None, None) => None,
    }
}

impl<T> Given for Resource<T> {
    fn put(&self, _: &str, said: &mut Said) {
        said.handle = Some(self.rep());
    }
}

impl Given for Vec<u8> {
    fn put(&self, name: &str, said: &mut Said) {
        said.with.insert(name.to_owned(), of_bytes(self));
    }
}

macro_rules! plain {
    ($($type:ty),*) => {
        $(impl Given for $type {
            fn put(&self, name: &str, said: &mut Said) {
                said.with.insert(name.to_owned(), json!(self));
            }
        })*
    };
}

mod plain {
    use super::{Given, Said, json};
    use crate::capability::bindings::sentrynet::probe::{log, span, types};

    plain!(String, Option<String>, bool, u8, u16, u32, u64, types::Value, span::Status, log::Level);
}
