//! That the host itself has no network, in Sentry's words.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use serde_json::json;

use super::payload::HostEvent;
use crate::offline_detector::{Example, OfflineFinding};
use crate::time_format::rfc3339;
use crate::trace::TraceId;

/// One incident for all targets, and one issue for all times.
pub fn incident(finding: &OfflineFinding, server_name: &str, now: Instant) -> HostEvent {
    let at = SystemTime::now();
    let since = rfc3339(at - now.saturating_duration_since(finding.since));
    let examples = finding.examples.iter().map(|Example { host, reason, message }| (host, reason, cut(message)));
    let shown: Vec<_> =
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
        at,
        trace: TraceId(rand::random()),
        level: "error",
        r#type: "Offline".to_owned(),
        message: format!("{}: {}", said(finding), shown.join("; ")),
        handled: true,
        backtrace: Vec::new(),
        fingerprint: ["sentrynet-host", "network", server_name].map(str::to_owned).to_vec(),
        contexts: BTreeMap::from([("network", network)]),
    }
}

/// What was found, for a person.
pub fn said(finding: &OfflineFinding) -> String {
    let OfflineFinding { silent, known, .. } = finding;
    format!(
        "this host seems to have no network: {silent} of the {known} hosts that it has tried have fallen silent, and \
         nobody has been heard since"
    )
}

/// As much of a message as shows what it is about.
fn cut(message: &str) -> String {
    const MOST: usize = 200;
    message.chars().take(MOST).collect()
}
