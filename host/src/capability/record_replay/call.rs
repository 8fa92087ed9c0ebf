//! The record of one call: its name and its arguments.

use serde_json::{Map, Value, json};
use wasmtime::component::Resource;

use crate::capability::truncate;
use crate::printable::excerpt;
use crate::recording::{Call, bytes_to_json};

/// The record of a call that is made.
#[derive(Debug, Default)]
pub struct CallRecord {
    name: String,
    handles: Vec<Option<u32>>,
    arguments: Map<String, Value>,
}

/// A value that can be the argument of a call.
pub trait Argument {
    /// Adds the value to the record of a call, under the parameter's name.
    fn record(&self, name: &str, call: &mut CallRecord);
}

impl CallRecord {
    /// Returns the record of a call without arguments. `interface` and `function` are as in the contract, except that
    /// `function` may have underscores instead of hyphens.
    pub fn new(interface: &str, function: &str) -> Self {
        Self { name: format!("{interface}.{}", function.replace('_', "-")), ..Self::default() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn with(mut self, name: &str, argument: &impl Argument) -> Self {
        argument.record(&name.replace('_', "-"), &mut self);
        self
    }

    /// Sets an argument that is not a handle.
    pub fn set_argument(&mut self, name: &str, value: Value) {
        self.arguments.insert(name.to_owned(), value);
    }

    /// Returns the interface and the function, with a dot between: `http.request.send`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the handles among the arguments. In a replay, a handle that the recorded run did not have is `None`.
    pub fn handles(&self) -> &[Option<u32>] {
        &self.handles
    }

    /// Replaces each handle by the one that its resource had in the recorded run.
    pub fn map_handles(&mut self, recorded: impl Fn(u32) -> Option<u32>) {
        self.handles.iter_mut().for_each(|handle| *handle = handle.and_then(&recorded));
    }

    /// Returns the arguments that are not handles.
    pub fn arguments(&self) -> &Map<String, Value> {
        &self.arguments
    }

    /// Returns the approximate number of bytes that the arguments take in memory.
    pub fn approximate_size(&self) -> usize {
        self.arguments.values().map(approximate_size).sum()
    }

    /// Converts the call to the form that recordings have.
    pub fn into_call(self) -> Call {
        let Self { name, handles, arguments } = self;
        Call { call: name, handles: handles.into_iter().flatten().collect(), with: arguments, ..Call::default() }
    }

    /// Formats the call for a message.
    pub fn display(&self) -> String {
        display(&self.name, &self.arguments)
    }
}

/// Returns the approximate number of bytes that a value takes in memory.
pub fn approximate_size(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(list) => list.iter().map(approximate_size).sum(),
            Value::Object(map) => map.iter().map(|(key, value)| key.len() + approximate_size(value)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

/// Formats a call for a message: the name and the arguments, cut to 160 bytes.
pub fn display(name: &str, arguments: &Map<String, Value>) -> String {
    const MAX_BYTES: usize = 160;
    let arguments = arguments.values().map(|value| match value {
        Value::String(text) => format!(" {}", excerpt(text, MAX_BYTES)),
        other => format!(" {other}"),
    });
    let whole = format!("{name}{}", arguments.collect::<String>());
    let length = whole.len();
    let mut text = truncate(whole, MAX_BYTES);
    if text.len() < length {
        text.push('…');
    }
    format!("`{text}`")
}

impl<T: 'static> Argument for Resource<T> {
    fn record(&self, _: &str, call: &mut CallRecord) {
        call.handles.push(Some(self.rep()));
    }
}

impl<T: 'static> Argument for Vec<Resource<T>> {
    fn record(&self, name: &str, call: &mut CallRecord) {
        call.set_argument(name, json!(self.len()));
        for handle in self {
            handle.record(name, call);
        }
    }
}

impl<T: 'static> Argument for Option<Resource<T>> {
    fn record(&self, name: &str, call: &mut CallRecord) {
        call.set_argument(name, json!(self.is_some()));
        if let Some(handle) = self {
            handle.record(name, call);
        }
    }
}

impl Argument for Vec<u8> {
    fn record(&self, name: &str, call: &mut CallRecord) {
        call.set_argument(name, bytes_to_json(self));
    }
}

/// Implements [`Argument`] for types that serde can write.
macro_rules! impl_argument_by_serde {
    ($($type:ty),*) => {
        $(impl Argument for $type {
            fn record(&self, name: &str, call: &mut CallRecord) {
                call.set_argument(name, json!(self));
            }
        })*
    };
}

mod by_serde {
    use super::{Argument, CallRecord, json};
    use crate::capability::bindings::sentrynet::probe::{log, span, types};

    impl_argument_by_serde!(String, Option<String>, bool, u8, u16, u32, u64);
    impl_argument_by_serde!(types::Value, types::Failure, types::Problem, span::Status, log::Level);
}
