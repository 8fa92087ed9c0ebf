//! The fields that events and transactions have in common, and times in Sentry's form.

use std::time::{Duration, SystemTime};

use super::limits::{MAX_TAG_CHARS, truncate};
use super::tags::Tags;
use crate::propagation::EventDefaults;
use crate::run::Run;
use crate::sink::sentry::json_writer::ObjectWriter;
use crate::trace::Trace;

/// Writes the fields that every event and transaction has.
pub fn write_common(payload: &mut ObjectWriter, event_id: &str, timestamp: SystemTime, event_defaults: &EventDefaults) {
    payload.text("event_id", event_id);
    payload.value("timestamp", &unix_seconds(timestamp));
    payload.text("platform", "other");
    payload.text("environment", event_defaults.environment());
    payload.text("release", event_defaults.release());
    payload.text("server_name", truncate(event_defaults.server_name(), MAX_TAG_CHARS));
    payload.object("sdk", |sdk| {
        sdk.text("name", "sentrynet");
        sdk.text("version", env!("CARGO_PKG_VERSION"));
    });
}

/// Writes the fields that every event and transaction about a run has.
pub fn write_common_of_run(
    payload: &mut ObjectWriter,
    event_id: &str,
    run: &Run,
    tags: &Tags,
    event_defaults: &EventDefaults,
) {
    write_common(payload, event_id, run.trace.started + run.trace.duration(), event_defaults);
    payload.text("transaction", truncate(&run.probe.title, MAX_TAG_CHARS));
    payload.object("tags", |object| {
        for (key, value) in tags.iter() {
            object.text_entry(key, value);
        }
    });
}

/// Returns the UNIX time in seconds at `offset` after the start of the trace.
pub fn timestamp(trace: &Trace, offset: Duration) -> f64 {
    unix_seconds(trace.started + offset)
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Converts a duration to seconds, rounded to tenths: the length of an outage is not known more exactly.
pub fn rounded_seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}
