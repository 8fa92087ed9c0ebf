//! A call as it stands on the tape: its name, and what it was given.

use serde_json::{Map, Value, json};
use wasmtime::component::Resource;

use crate::capability::truncate;
use crate::recording::{Call, of_bytes};

/// A call that is being made.
#[derive(Debug, Default)]
pub struct CallRecord {
    call: String,
    handles: Vec<Option<u32>>,
    with: Map<String, Value>,
}

/// What a call can be given.
pub trait Argument {
    fn record(&self, name: &str, said: &mut CallRecord);
}

impl CallRecord {
    /// `interface` and `function` as the contract has them, but for underscores.
    pub fn new(interface: &str, function: &str) -> Self {
        Self { call: format!("{interface}.{}", function.replace('_', "-")), ..Self::default() }
    }

    #[must_use]
    pub fn with(mut self, name: &str, given: &impl Argument) -> Self {
        given.record(&name.replace('_', "-"), &mut self);
        self
    }

    pub fn set_argument(&mut self, name: &str, given: Value) {
        self.with.insert(name.to_owned(), given);
    }

    pub fn name(&self) -> &str {
        &self.call
    }

    /// None for one that the recording does not know by a number.
    pub fn handles(&self) -> &[Option<u32>] {
        &self.handles
    }

    /// Has its handles be those that they were when the run was recorded.
    pub fn map_handles(&mut self, recorded: impl Fn(u32) -> Option<u32>) {
        self.handles.iter_mut().for_each(|handle| *handle = handle.and_then(&recorded));
    }

    pub fn given(&self) -> &Map<String, Value> {
        &self.with
    }

    /// Bytes that it takes, about.
    pub fn weight(&self) -> usize {
        self.with.values().map(weight).sum()
    }

    pub fn into_call(self) -> Call {
        let Self { call, handles, with } = self;
        Call { call, handles: handles.into_iter().flatten().collect(), with, ..Call::default() }
    }

    /// For a person.
    pub fn display(&self) -> String {
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
    let mut shown = truncate(whole, LONGEST);
    if shown.len() < length {
        shown.push('…');
    }
    format!("`{shown}`")
}

impl<T: 'static> Argument for Resource<T> {
    fn record(&self, _: &str, said: &mut CallRecord) {
        said.handles.push(Some(self.rep()));
    }
}

impl<T: 'static> Argument for Vec<Resource<T>> {
    fn record(&self, name: &str, said: &mut CallRecord) {
        said.set_argument(name, json!(self.len()));
        for handle in self {
            handle.record(name, said);
        }
    }
}

impl<T: 'static> Argument for Option<Resource<T>> {
    fn record(&self, name: &str, said: &mut CallRecord) {
        said.set_argument(name, json!(self.is_some()));
        if let Some(handle) = self {
            handle.record(name, said);
        }
    }
}

impl Argument for Vec<u8> {
    fn record(&self, name: &str, said: &mut CallRecord) {
        said.set_argument(name, of_bytes(self));
    }
}

macro_rules! plain {
    ($($type:ty),*) => {
        $(impl Argument for $type {
            fn record(&self, name: &str, said: &mut CallRecord) {
                said.set_argument(name, json!(self));
            }
        })*
    };
}

mod plain {
    use super::{Argument, CallRecord, json};
    use crate::capability::bindings::sentrynet::probe::{log, span, types};

    plain!(String, Option<String>, bool, u8, u16, u32, u64, types::Value, span::Status, log::Level);
}
