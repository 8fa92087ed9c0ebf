//! The interface `span`: the guest's own spans in the run's trace.

use wasmtime::component::Resource;

use crate::capability::bindings::sentrynet::probe::span::{Host, HostSpan, Status as GuestStatus};
use crate::capability::bindings::sentrynet::probe::types::Value as GuestValue;
use crate::capability::{Context, truncate};
use crate::run::Level;
use crate::run::reserved_names::{is_reserved_data, is_reserved_tag};
use crate::trace::{Handle, Status, Value};

/// A guest's open span.
pub struct Span(Handle);

/// The maximum bytes of a span's op. Sentry cuts longer ones.
const MAX_OP_BYTES: usize = 128;
/// The maximum bytes of a tag's key or value, and of a key of a span's data. Sentry cuts longer tags.
const MAX_TAG_BYTES: usize = 200;
/// The maximum number of tags that a guest may set on a run, besides those of the configuration. Further ones are
/// ignored.
const MAX_TAGS: usize = 50;
/// The number of bytes that are counted for a span in addition to its texts.
const SPAN_BYTES: usize = 256;
/// The number of bytes that are counted for an entry of a span's data in addition to its texts.
const DATA_BYTES: usize = 64;
/// The maximum bytes of a span's description, and of a value of its data.
const MAX_VALUE_BYTES: usize = 4096;

impl HostSpan for Context {
    fn new(&mut self, op: String, description: String) -> wasmtime::Result<Resource<Span>> {
        let (op, description) = (truncate(op, MAX_OP_BYTES), truncate(description, MAX_VALUE_BYTES));
        let op = if self.probe.built_in { op } else { self.probe.span_ops.bounded(op) };
        let description =
            if self.accounting.take_span_text(op.len() + description.len()) { description } else { String::new() };
        let bytes = SPAN_BYTES + op.len() + description.len();
        let handle = self.run.recorder.push(op, description);
        if !self.probe.built_in {
            self.run.recorder.mark_of_component(handle);
        }
        if handle.is_recorded() {
            self.held_arguments.hold_to_the_end(self.accounting.quota.hold(bytes)?);
        }
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
        self.set_span_data(handle, key, value)
    }

    fn set_status(&mut self, span: Resource<Span>, status: GuestStatus) -> wasmtime::Result<()> {
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
        self.set_span_data(root, key, value)
    }

    fn set_tag(&mut self, key: String, value: String) -> wasmtime::Result<()> {
        if is_reserved_tag(&key) {
            self.report_reserved("tag", &key);
        } else if self.tags.len() < MAX_TAGS || self.tags.contains_key(&key) {
            self.tags.insert(truncate(key, MAX_TAG_BYTES), truncate(value, MAX_TAG_BYTES));
        }
        Ok(())
    }
}

impl Context {
    /// Sets data of a span, unless the guest has put too much text on spans already.
    fn set_span_data(&mut self, span: Handle, key: String, value: GuestValue) -> wasmtime::Result<()> {
        if is_reserved_data(&key) {
            self.report_reserved("attribute", &key);
            return Ok(());
        }
        let (key, value) = (truncate(key, MAX_TAG_BYTES), Value::from(value));
        let text = if let Value::Text(text) = &value { text.len() } else { size_of::<f64>() };
        if self.accounting.take_span_text(key.len() + text) {
            let held = self.accounting.quota.hold(DATA_BYTES + key.len() + text)?;
            self.held_arguments.hold_to_the_end(held);
            self.run.recorder.set(span, key, value);
        }
        Ok(())
    }

    /// Warns in the run's log that the guest has set a tag or an attribute whose name belongs to the host or to Sentry.
    /// After the first such name, further ones of the same attempt are not reported.
    fn report_reserved(&mut self, kind: &str, key: &str) {
        const MAX_SHOWN_CHARS: usize = 50;
        if std::mem::replace(&mut self.has_set_reserved, true) {
            return;
        }
        let key: String = key.escape_debug().take(MAX_SHOWN_CHARS).collect();
        let message = format!("the {kind} `{key}` is left out: the host and Sentry set names like this themselves");
        self.run.log.write(Level::Warn, message);
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

impl From<GuestStatus> for Status {
    fn from(status: GuestStatus) -> Self {
        match status {
            GuestStatus::Ok => Self::Ok,
            GuestStatus::Cancelled => Self::Cancelled,
            GuestStatus::Unknown => Self::Unknown,
            GuestStatus::InvalidArgument => Self::InvalidArgument,
            GuestStatus::DeadlineExceeded => Self::DeadlineExceeded,
            GuestStatus::NotFound => Self::NotFound,
            GuestStatus::AlreadyExists => Self::AlreadyExists,
            GuestStatus::PermissionDenied => Self::PermissionDenied,
            GuestStatus::ResourceExhausted => Self::ResourceExhausted,
            GuestStatus::FailedPrecondition => Self::FailedPrecondition,
            GuestStatus::Aborted => Self::Aborted,
            GuestStatus::OutOfRange => Self::OutOfRange,
            GuestStatus::Unimplemented => Self::Unimplemented,
            GuestStatus::InternalError => Self::InternalError,
            GuestStatus::Unavailable => Self::Unavailable,
            GuestStatus::DataLoss => Self::DataLoss,
            GuestStatus::Unauthenticated => Self::Unauthenticated,
        }
    }
}
