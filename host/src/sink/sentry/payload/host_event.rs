//! The payload of an event about the host itself, such as a panic or the loss of its network.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::Value;

use super::common::write_common;
use super::exception::exception;
use super::limits::{DetailLevel, MAX_TAG_CHARS, truncate};
use super::span::{SPAN_ORIGIN, SpanData, SpanFields};
use crate::propagation::EventDefaults;
use crate::run::Frame;
use crate::sink::sentry::json_writer::ObjectWriter;
use crate::trace::{SpanId, Status, TraceId};

/// An event about the host.
#[derive(Debug)]
pub struct HostEvent {
    pub timestamp: SystemTime,
    /// The id of a trace that consists of this event alone.
    pub trace_id: TraceId,
    /// `fatal`, `error`, `warning` or `info`.
    pub level: &'static str,
    /// The type of the exception, such as `Offline`.
    pub r#type: String,
    /// The value of the exception: one sentence in lower case without a full stop.
    pub message: String,
    /// False if the event ended a thread.
    pub handled: bool,
    /// The stack of the host itself, innermost frame first. May be empty.
    pub backtrace: Vec<Frame>,
    /// The parts by which Sentry groups events into issues: they must be the same for each event of one cause.
    pub fingerprint: Vec<String>,
    /// Contexts by their names. Sentry trims each to 8192 bytes.
    pub contexts: BTreeMap<&'static str, Value>,
}

/// Writes an event about the host.
pub fn write_host_event(
    payload: &mut ObjectWriter,
    event_id: &str,
    event: &HostEvent,
    event_defaults: &EventDefaults,
    detail: DetailLevel,
) {
    let HostEvent { timestamp, trace_id, level, r#type, message, handled, backtrace, fingerprint, contexts } = event;
    let mut span_id = [0; 8];
    span_id.copy_from_slice(&trace_id.0[..8]);
    let span = SpanFields {
        trace_id: *trace_id,
        span_id: SpanId(span_id),
        parent_span_id: None,
        op: "sentrynet.host",
        status: Status::InternalError,
        origin: SPAN_ORIGIN,
        data: SpanData::default(),
    };
    write_common(payload, event_id, *timestamp, event_defaults);
    payload.text("level", level);
    payload.value("fingerprint", &fingerprint.iter().map(|part| truncate(part, MAX_TAG_CHARS)).collect::<Vec<_>>());
    payload
        .value("exception", &exception(truncate(r#type, MAX_TAG_CHARS).into(), message, *handled, backtrace, detail));
    payload.object("contexts", |object| {
        object.object("trace", |trace| span.write(trace));
        for (name, context) in contexts.iter().filter(|_| detail.value_chars > 0) {
            object.value(name, context);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::limits::DETAIL_LEVELS;
    use super::*;
    use crate::config::{self, Source};
    use crate::sink::sentry::json_writer;

    #[test]
    fn a_host_event_has_no_run() {
        let host_event = HostEvent {
            timestamp: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_473_901),
            trace_id: TraceId([7; 16]),
            level: "fatal",
            r#type: "Panic".to_owned(),
            message: "index out of bounds".to_owned(),
            handled: false,
            backtrace: ["inner", "outer"]
                .map(|function| Frame { function: function.to_owned(), ..Frame::default() })
                .into(),
            fingerprint: vec!["sentrynet-host".to_owned(), "panic".to_owned()],
            contexts: BTreeMap::from([("network", json!({ "silent": 3 }))]),
        };
        let source = Source {
            name: "test".to_owned(),
            text: String::new(),
            path: None,
            directory: ".".into(),
            probe: None,
            files: Vec::new(),
        };
        let event_defaults = EventDefaults::new(&config::parse(&source, &|_| None).config.sentry);
        let write = |detail| -> Value {
            let payload = json_writer::object(10_000, |payload| {
                write_host_event(payload, "id", &host_event, &event_defaults, detail);
            });
            serde_json::from_slice(&payload.unwrap()).unwrap()
        };
        let event = write(DETAIL_LEVELS[0]);
        assert_eq!((&event["level"], &event["timestamp"]), (&json!("fatal"), &json!(1_795_473_901.0)));
        assert_eq!(event["contexts"]["trace"]["trace_id"], "07070707070707070707070707070707");
        assert_eq!((event.get("transaction"), event.get("tags")), (None, None));
        assert_eq!(event["fingerprint"], json!(["sentrynet-host", "panic"]));
        let exception = &event["exception"]["values"][0];
        assert_eq!((&exception["type"], &exception["value"]), (&json!("Panic"), &json!("index out of bounds")));
        assert_eq!(exception["stacktrace"]["frames"][1]["function"], "inner");
        assert_eq!(event["contexts"]["network"]["silent"], 3);
        assert_eq!(write(DETAIL_LEVELS[3])["contexts"].get("network"), None);
    }
}
