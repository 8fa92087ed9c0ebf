//! The payload of a check-in: the status of a monitor and its configuration.

use serde::Serialize;

use crate::config::Monitor;
use crate::propagation::EventDefaults;
use crate::sink::sentry::check_in::CheckIn;
use crate::trace::TraceId;

/// A check-in, with which Sentry creates or updates the monitor.
#[derive(Serialize)]
pub struct CheckInPayload<'a> {
    #[serde(rename = "check_in_id")]
    id: String,
    monitor_slug: &'a str,
    status: &'static str,
    /// The duration in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
    environment: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    contexts: Option<Contexts>,
    monitor_config: MonitorConfig<'a>,
}

#[derive(Serialize)]
struct Contexts {
    trace: Trace,
}

#[derive(Serialize)]
struct Trace {
    trace_id: TraceId,
}

/// The configuration of a monitor. It has no `max_runtime`, which is about jobs in progress: a run checks in when it
/// has ended.
#[derive(Serialize)]
struct MonitorConfig<'a> {
    schedule: Schedule,
    checkin_margin: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_issue_threshold: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_threshold: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
}

#[derive(Serialize)]
struct Schedule {
    r#type: &'static str,
    value: u32,
    unit: &'static str,
}

impl<'a> CheckInPayload<'a> {
    /// Creates the payload of a check-in with this id.
    pub fn new(id: String, check_in: CheckIn<'a>, event_defaults: &'a EventDefaults) -> Self {
        let monitor: &Monitor = check_in.monitor;
        Self {
            id,
            monitor_slug: &monitor.slug,
            status: if check_in.is_ok { "ok" } else { "error" },
            duration: check_in.duration.map(|duration| duration.as_secs_f64()),
            environment: event_defaults.environment(),
            contexts: check_in.trace.map(|id| Contexts { trace: Trace { trace_id: id } }),
            monitor_config: MonitorConfig {
                schedule: Schedule { r#type: "interval", value: monitor.every, unit: "minute" },
                checkin_margin: monitor.margin,
                failure_issue_threshold: monitor.failure_issue_threshold,
                recovery_threshold: monitor.recovery_threshold,
                owner: monitor.owner.as_deref(),
            },
        }
    }
}
