//! The event that reports to Sentry that a running host has refused a new configuration.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::json;

use super::payload::HostEvent;
use crate::trace::TraceId;

/// Returns the event. `text` has the errors in the configuration of this name, and no secrets. The fingerprint makes it
/// the same Issue each time.
pub fn configuration_event(name: &str, text: &str, server_name: &str) -> HostEvent {
    const MAX_CHARACTERS: usize = 4000;
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let shown: String = text.chars().take(MAX_CHARACTERS).collect();
    HostEvent {
        timestamp: SystemTime::now(),
        trace_id: TraceId(rand::random()),
        level: "error",
        r#type: "RefusedConfiguration".to_owned(),
        message: format!("a new configuration was refused, and the previous one goes on: {first}"),
        handled: true,
        backtrace: Vec::new(),
        fingerprint: ["sentrynet-host", "configuration", server_name].map(str::to_owned).to_vec(),
        contexts: BTreeMap::from([("configuration", json!({ "name": name, "errors": shown }))]),
    }
}
