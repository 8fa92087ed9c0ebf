//! The payload of an event about the host itself: that it has no network, or that it panicked. It is about no run.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::Value;

use super::event::exception;
use super::{Data, MAX_TAG, Measure, SpanFacts, about, cut};
use crate::propagation::Origin;
use crate::run::Frame;
use crate::sink::sentry::json_writer::Object;
use crate::trace::{SpanId, Status, TraceId};

/// What has befallen the host.
#[derive(Debug)]
pub struct HostEvent {
    pub at: SystemTime,
    /// A trace of its own.
    pub trace: TraceId,
    /// `fatal`, `error`, `warning`.
    pub level: &'static str,
    /// What it is called: `Offline`.
    pub r#type: String,
    /// One sentence for a person, lower case, no full stop.
    pub message: String,
    /// Whether we went on as if nothing had been.
    pub handled: bool,
    /// Our own stack, innermost first; may be empty.
    pub backtrace: Vec<Frame>,
    /// Nothing in it differs from one time to the next.
    pub fingerprint: Vec<String>,
    /// By their names; what Sentry trims at 8192 bytes.
    pub contexts: BTreeMap<&'static str, Value>,
}

/// An incident as an event.
pub fn host_event(payload: &mut Object, event_id: &str, incident: &HostEvent, origin: &Origin, measure: Measure) {
    let HostEvent { at, trace, level, r#type, message, handled, backtrace, fingerprint, contexts } = incident;
    let mut span = [0; 8];
    span.copy_from_slice(&trace.0[..8]);
    let facts = SpanFacts {
        trace_id: *trace,
        span_id: SpanId(span),
        parent_span_id: None,
        op: "sentrynet.host",
        status: Status::InternalError,
        data: Data::default(),
    };
    about(payload, event_id, *at, origin);
    payload.text("level", level);
    payload.value("fingerprint", &fingerprint.iter().map(|part| cut(part, MAX_TAG)).collect::<Vec<_>>());
    payload.value("exception", &exception(cut(r#type, MAX_TAG).into(), message, *handled, backtrace, measure));
    payload.object("contexts", |object| {
        object.object("trace", |it| facts.write(it));
        for (name, context) in contexts.iter().filter(|_| measure.value > 0) {
            object.value(name, context);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::MEASURES;
    use super::*;
    use crate::config::{self, Source};
    use crate::sink::sentry::json_writer;

    #[test]
    fn an_incident_is_about_no_run() {
        let incident = HostEvent {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_473_901),
            trace: TraceId([7; 16]),
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
        let source =
            Source { name: "test".to_owned(), text: String::new(), path: None, directory: ".".into(), probe: None };
        let origin = Origin::new(&config::parse(&source, &|_| None).config.sentry);
        let said = |measure| -> Value {
            let payload = json_writer::object(10_000, |payload| host_event(payload, "id", &incident, &origin, measure));
            serde_json::from_slice(&payload.unwrap()).unwrap()
        };
        let event = said(MEASURES[0]);
        assert_eq!((&event["level"], &event["timestamp"]), (&json!("fatal"), &json!(1_795_473_901.0)));
        assert_eq!(event["contexts"]["trace"]["trace_id"], "07070707070707070707070707070707");
        assert_eq!((event.get("transaction"), event.get("tags")), (None, None));
        assert_eq!(event["fingerprint"], json!(["sentrynet-host", "panic"]));
        let exception = &event["exception"]["values"][0];
        assert_eq!((&exception["type"], &exception["value"]), (&json!("Panic"), &json!("index out of bounds")));
        assert_eq!(exception["stacktrace"]["frames"][1]["function"], "inner");
        assert_eq!(event["contexts"]["network"]["silent"], 3);
        assert_eq!(said(MEASURES[3])["contexts"].get("network"), None);
    }
}
