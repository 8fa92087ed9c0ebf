//! The payload of an event about the host itself: that it has no network, or that it panicked. It is about no run.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;

use super::event::{Exception, Values, exception};
use super::{About, Data, MAX_TAG, Measure, ORIGIN, SpanFacts, cut};
use crate::propagation::Origin;
use crate::run::Frame;
use crate::trace::{SpanId, Status, TraceId};

/// What has befallen the host.
#[derive(Debug)]
pub struct Incident {
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
#[derive(Serialize)]
pub struct HostEvent<'a> {
    #[serde(flatten)]
    about: About<'a>,
    level: &'static str,
    fingerprint: Vec<Cow<'a, str>>,
    exception: Values<Exception<'a>>,
    contexts: Contexts<'a>,
}

#[derive(Serialize)]
struct Contexts<'a> {
    trace: SpanFacts<'a>,
    #[serde(flatten)]
    others: Option<&'a BTreeMap<&'static str, Value>>,
}

impl<'a> HostEvent<'a> {
    pub fn new(event_id: &'a str, incident: &'a Incident, origin: &'a Origin, measure: Measure) -> Self {
        let Incident { at, trace, level, r#type, message, handled, backtrace, fingerprint, contexts } = incident;
        let mut span = [0; 8];
        span.copy_from_slice(&trace.0[..8]);
        Self {
            about: About::us(event_id, *at, origin),
            level,
            fingerprint: fingerprint.iter().map(|part| cut(part, MAX_TAG)).collect(),
            exception: exception(cut(r#type, MAX_TAG), message, *handled, backtrace, measure),
            contexts: Contexts {
                trace: SpanFacts {
                    trace_id: trace.to_string(),
                    span_id: SpanId(span).to_string(),
                    parent_span_id: None,
                    op: "sentrynet.host".into(),
                    status: Status::InternalError,
                    origin: ORIGIN,
                    data: Data::new(),
                },
                others: (measure.value > 0).then_some(contexts),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::MEASURES;
    use super::*;
    use crate::config::{self, Source};

    #[test]
    fn an_incident_is_about_no_run() {
        let incident = Incident {
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
        let said = |measure| serde_json::to_value(HostEvent::new("id", &incident, &origin, measure)).unwrap();
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
