//! The interface `span`: the guest's own spans in the run's trace.

use wasmtime::component::Resource;

use crate::capability::bindings::sentrynet::probe::span::{Host, HostSpan, Status as Guest};
use crate::capability::bindings::sentrynet::probe::types::Value as GuestValue;
use crate::capability::{Context, truncate};
use crate::trace::{Handle, Status, Value};

/// An open span of the guest's.
pub struct Span(Handle);

/// Bytes of an op, and of a tag's key or value: Sentry cuts longer ones.
const MAX_OP_BYTES: usize = 128;
const MAX_TAG_BYTES: usize = 200;
/// Tags that a guest may set on a run, beside those of the configuration.
const MAX_TAGS: usize = 50;
/// Bytes of a span's description, and of a value of its data.
const MAX_VALUE_BYTES: usize = 4096;

impl HostSpan for Context {
    fn new(&mut self, op: String, description: String) -> wasmtime::Result<Resource<Span>> {
        let (op, description) = (truncate(op, MAX_OP_BYTES), truncate(description, MAX_VALUE_BYTES));
        let description =
            if self.accounting.take_span_text(op.len() + description.len()) { description } else { String::new() };
        let handle = self.run.recorder.push(op, description);
        match self.table.push(Span(handle)) {
            Ok(span) => Ok(span),
            Err(full) => {
                self.run.recorder.pop(handle);
                Err(full.into())
            }
        }
    }

    fn set_data(&mut self, span: Resource<Span>, key: String, value: GuestValue) -> wasmtime::Result<()> {
        let handle = self.table.get(&span)?.0;
        self.set(handle, key, value);
        Ok(())
    }

    fn set_status(&mut self, span: Resource<Span>, status: Guest) -> wasmtime::Result<()> {
        let handle = self.table.get(&span)?.0;
        self.run.recorder.set_status(handle, status.into());
        Ok(())
    }

    fn drop(&mut self, span: Resource<Span>) -> wasmtime::Result<()> {
        let span = self.table.delete(span)?;
        self.run.recorder.pop(span.0);
        Ok(())
    }
}

impl Host for Context {
    fn set_data(&mut self, key: String, value: GuestValue) -> wasmtime::Result<()> {
        let root = self.run.recorder.root();
        self.set(root, key, value);
        Ok(())
    }

    fn set_tag(&mut self, key: String, value: String) -> wasmtime::Result<()> {
        if self.tags.len() < MAX_TAGS || self.tags.contains_key(&key) {
            self.tags.insert(truncate(key, MAX_TAG_BYTES), truncate(value, MAX_TAG_BYTES));
        }
        Ok(())
    }
}

impl Context {
    fn set(&mut self, span: Handle, key: String, value: GuestValue) {
        let (key, value) = (truncate(key, MAX_TAG_BYTES), Value::from(value));
        let text = if let Value::Text(text) = &value { text.len() } else { size_of::<f64>() };
        if self.accounting.take_span_text(key.len() + text) {
            self.run.recorder.set(span, key, value);
        }
    }
}

impl From<GuestValue> for Value {
    fn from(value: GuestValue) -> Self {
        match value {
            GuestValue::Text(text) => Self::Text(truncate(text, MAX_VALUE_BYTES)),
            GuestValue::Integer(number) => Self::Integer(number),
            // JSON has neither infinities nor NaN.
            GuestValue::Number(number) if !number.is_finite() => Self::Text(number.to_string()),
            GuestValue::Number(number) => Self::Number(number),
            GuestValue::Boolean(yes) => Self::Boolean(yes),
        }
    }
}

impl From<Guest> for Status {
    fn from(status: Guest) -> Self {
        match status {
            Guest::Ok => Self::Ok,
            Guest::Cancelled => Self::Cancelled,
            Guest::Unknown => Self::Unknown,
            Guest::InvalidArgument => Self::InvalidArgument,
            Guest::DeadlineExceeded => Self::DeadlineExceeded,
            Guest::NotFound => Self::NotFound,
            Guest::AlreadyExists => Self::AlreadyExists,
            Guest::PermissionDenied => Self::PermissionDenied,
            Guest::ResourceExhausted => Self::ResourceExhausted,
            Guest::FailedPrecondition => Self::FailedPrecondition,
            Guest::Aborted => Self::Aborted,
            Guest::OutOfRange => Self::OutOfRange,
            Guest::Unimplemented => Self::Unimplemented,
            Guest::InternalError => Self::InternalError,
            Guest::Unavailable => Self::Unavailable,
            Guest::DataLoss => Self::DataLoss,
            Guest::Unauthenticated => Self::Unauthenticated,
        }
    }
}
