//! The payload of a check-in: how a monitor is, and what Sentry is to expect of it.

use serde::Serialize;

use crate::config::Monitor;
use crate::propagation::Origin;
use crate::sink::sentry::check_in;
use crate::trace::TraceId;

/// A check-in, which creates its monitor, or brings it up to date.
#[derive(Serialize)]
pub struct CheckIn<'a> {
    #[serde(rename = "check_in_id")]
    id: String,
    monitor_slug: &'a str,
    status: &'static str,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
    environment: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    contexts: Option<Contexts>,
    monitor_config: Config<'a>,
}

#[derive(Serialize)]
struct Contexts {
    trace: Trace,
}

#[derive(Serialize)]
struct Trace {
    trace_id: TraceId,
}

/// Without `max_runtime`, which is about runs that are in progress: we tell of those that have ended.
#[derive(Serialize)]
struct Config<'a> {
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

impl<'a> CheckIn<'a> {
    pub fn new(id: String, told: check_in::CheckIn<'a>, origin: &'a Origin) -> Self {
        let monitor: &Monitor = told.monitor;
        Self {
            id,
            monitor_slug: &monitor.slug,
            status: if told.well { "ok" } else { "error" },
            duration: told.duration.map(|duration| duration.as_secs_f64()),
            environment: origin.environment(),
            contexts: told.trace.map(|id| Contexts { trace: Trace { trace_id: id } }),
            monitor_config: Config {
                schedule: Schedule { r#type: "interval", value: monitor.every, unit: "minute" },
                checkin_margin: monitor.margin,
                failure_issue_threshold: monitor.failure_issue_threshold,
                recovery_threshold: monitor.recovery_threshold,
                owner: monitor.owner.as_deref(),
            },
        }
    }
}
