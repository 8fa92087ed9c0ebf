//! The event that reports to Sentry that this host has no network.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::json;

use super::payload::HostEvent;
use crate::assessment::{OfflineFinding, SilentHost};
use crate::time_format::rfc3339;
use crate::trace::TraceId;

/// Returns the event that is sent in place of the errors of all targets. Its fingerprint makes it the same issue each
/// time.
pub fn offline_event(finding: &OfflineFinding, server_name: &str) -> HostEvent {
    let at = SystemTime::now();
    let since = rfc3339(at - finding.since.elapsed());
    let examples =
        finding.examples.iter().map(|SilentHost { host, reason, message }| (host, reason, truncate_message(message)));
    let listed: Vec<_> =
        examples.clone().map(|(host, reason, message)| format!("{host} ({reason}: {message})")).collect();
    let examples =
        examples.map(|(host, reason, message)| json!({ "host": host, "reason": reason, "message": message }));
    let network = json!({
        "since": since,
        "silent": finding.silent,
        "tried": finding.known,
        "examples": examples.collect::<Vec<_>>(),
    });
    HostEvent {
        timestamp: at,
        trace_id: TraceId(rand::random()),
        level: "error",
        r#type: "Offline".to_owned(),
        message: format!("{finding}: {}", listed.join("; ")),
        handled: true,
        backtrace: Vec::new(),
        fingerprint: ["sentrynet-host", "network", server_name].map(str::to_owned).to_vec(),
        contexts: BTreeMap::from([("network", network)]),
    }
}

/// Returns the beginning of a message, long enough to show what it is about.
fn truncate_message(message: &str) -> String {
    const MAX_CHARACTERS: usize = 200;
    message.chars().take(MAX_CHARACTERS).collect()
}
