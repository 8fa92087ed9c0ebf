//! Settings of the built-in probes that are valid each by itself, and have no effect, or can never hold, together with
//! others.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::config::{self, Module, parse_duration};
use crate::sandbox::problem::Problem;

/// The checks that need a connection over TLS.
const TLS_CHECKS: [&str; 3] = ["certificate days", "certificate chain days", "tls version"];

/// Returns a warning for each check that needs TLS although the URL has none, and for each timeout that is longer than
/// `limits.deadline` or `every`.
pub fn ineffective_settings(probe: &config::Probe) -> Vec<Problem> {
    if !matches!(probe.module, Module::BuiltIn(_)) {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    add_warnings("", &probe.settings, probe, &mut warnings);
    for (index, step) in probe.settings.get("steps").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if let Value::Object(step) = step {
            add_warnings(&format!("/steps/{index}"), step, probe, &mut warnings);
        }
    }
    warnings
}

fn add_warnings(at: &str, settings: &Map<String, Value>, probe: &config::Probe, warnings: &mut Vec<Problem>) {
    let url = settings.get("url").and_then(Value::as_str).unwrap_or_default().trim_start().to_ascii_lowercase();
    let checks = settings.get("checks").and_then(Value::as_object);
    for (subject, condition) in checks.into_iter().flatten().filter(|_| url.starts_with("http://")) {
        if TLS_CHECKS.contains(&subject.trim()) && !holds_without_value(condition) {
            let message = if settings.get("redirects").and_then(Value::as_u64) == Some(0) {
                format!("`{subject}` never holds: the URL is one of http, without TLS, and no redirect is followed")
            } else {
                format!(
                    "`{subject}` needs TLS: the URL is one of http, so that it fails unless redirects lead to https"
                )
            };
            warnings.push(Problem { pointer: format!("{at}/checks/{subject}"), message });
        }
    }
    let timeout = settings.get("timeout").and_then(seconds);
    let Some(timeout) = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) else { return };
    let (deadline, every) = (probe.limits.deadline, probe.every);
    let message = if timeout > deadline {
        format!(
            "a timeout of {timeout:?} has no effect: a run ends after {deadline:?} (`limits.deadline`); shorten the one or \
             raise the other"
        )
    } else if timeout > every {
        format!(
            "a timeout of {timeout:?} is longer than `every`, {every:?}: while a run waits that long, the next ones are \
             skipped"
        )
    } else {
        return;
    };
    warnings.push(Problem { pointer: format!("{at}/timeout"), message });
}

/// Returns the seconds of a number, or of a text such as `5m` or `5`.
fn seconds(timeout: &Value) -> Option<f64> {
    let of_text = |text: &str| parse_duration(text.trim()).or_else(|| text.trim().parse().ok());
    timeout.as_f64().or_else(|| timeout.as_str().and_then(of_text))
}

/// Returns true if a condition is `{exists: false}` or a negation, which can hold where there is no TLS.
fn holds_without_value(condition: &Value) -> bool {
    condition.get("exists") == Some(&Value::Bool(false))
        || ["not", "any", "all"].iter().any(|key| condition.get(*key).is_some())
}
