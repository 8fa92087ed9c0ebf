//! Checks the health of a service: expects JSON in which `status` is `ok` and `queue` is at most `max_queue`.
//!
//! `cargo doc --open -p sentrynet-guest` shows all that a probe can do. The WIT files in `wit/` define it.

use schemars::JsonSchema;
use sentrynet_guest::http::Request;
use sentrynet_guest::{Problems, Failure, Mismatch, Probe, Trouble, log, span};
use serde::Deserialize;
use serde_json::Value;

/// The settings. The host validates them with the JSON Schema that is generated from this struct, and shows its
/// descriptions to operators.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The URL at which the service reports its health.
    url: String,
    /// The longest queue that is still healthy; 100 unless given.
    #[serde(default = "default_max_queue")]
    max_queue: u32,
}

fn default_max_queue() -> u32 {
    100
}

struct Health;

impl Probe for Health {
    const NAME: &str = env!("CARGO_PKG_NAME");
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &str = "Checks that a service reports good health";
    type Settings = Settings;

    /// Finds mistakes that the schema does not exclude. Returns the title of the run, if the configuration gives none.
    fn check(settings: &Settings, problems: &mut Problems) -> Option<String> {
        problems.ok_or_add("/url", Request::new("GET", &settings.url));
        Some(format!("Health of {}", settings.url))
    }

    fn run(settings: Settings) -> Result<(), Trouble> {
        let request = Request::new("GET", &settings.url)?;
        request.header("accept", "application/json")?;
        let response = request.send()?;
        let status = response.status();
        if status != 200 {
            let failure = Failure::new("status", format!("expected status 200, got {status}"));
            return Err(failure.with_mismatches(vec![Mismatch::new("status", 200, status)]).into());
        }
        let health: Value = span::scope("json.parse", "Parse the response", |_| {
            let parsed = serde_json::from_slice(&response.body());
            Ok(parsed.map_err(|error| Failure::new("json", format!("the response is not JSON: {error}")))?)
        })?;
        log::info(&format!("status {}, queue {}", health["status"], health["queue"]));
        span::scope("health.check", "Check status and queue", |_| check_health(&health, settings.max_queue))
    }
}

fn check_health(health: &Value, max_queue: u32) -> Result<(), Trouble> {
    let mut mismatches = Vec::new();
    let (status, queue) = (&health["status"], &health["queue"]);
    if status != "ok" {
        mismatches.push(Mismatch::new("$.status", "\"ok\"", status));
    }
    match queue.as_f64() {
        Some(length) => {
            span::set_data("queue", &span::Value::Number(length));
            if length > f64::from(max_queue) {
                mismatches.push(Mismatch::new("$.queue", format!("at most {max_queue}"), queue));
            }
        }
        None => mismatches.push(Mismatch::new("$.queue", format!("at most {max_queue}"), queue)),
    }
    if mismatches.is_empty() {
        return Ok(());
    }
    Err(Failure::new("health", "the service is not well").with_mismatches(mismatches).into())
}

sentrynet_guest::export!(Health);

#[cfg(test)]
mod tests {
    use sentrynet_guest::mock::{MockHost, MockResponse};
    use serde_json::json;

    use super::*;

    const URL: &str = "http://shop.example/health.json";

    /// Runs the probe against a service that reports this health.
    fn run(health: &str) -> Result<(), Trouble> {
        let host = MockHost::new();
        host.respond("GET", URL, MockResponse::new(200).body(health));
        host.run::<Health>(&json!({"url": URL, "max_queue": 20}))
    }

    #[test]
    fn a_healthy_service_passes_and_another_fails() {
        run(r#"{"status": "ok", "queue": 20}"#).unwrap();
        let unhealthy = run(r#"{"status": "ok", "queue": 21}"#).unwrap_err();
        assert_eq!((unhealthy.reason(), unhealthy.message()), (Some("health"), "the service is not well"));
        assert_eq!(run("ok").unwrap_err().reason(), Some("json"));
    }
}
