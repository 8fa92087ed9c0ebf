//! The trace of a run: spans as plain data, timed by the host's clock, and the hosts that the run tried to reach.
//!
//! A [`Recorder`] builds a trace; [`Recorder::finish`] returns it. The sinks send traces to Sentry.

mod id;
mod reachability;
mod recorder;
mod replay;
mod span;

pub use id::{Digits, SpanId, TraceId};
pub use reachability::HostContact;
pub use recorder::{Handle, MAX_SPANS, Recorder, SPANS_LEFT_OUT};
pub use span::{Span, Status, Trace, Value};

#[cfg(test)]
mod tests;
