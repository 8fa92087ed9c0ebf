//! Asks a service how it is: expects JSON in which `status` is `ok`, and `queue` no longer than the settings allow.
//!
//! `cargo doc --open -p sentrynet-guest` shows all that a probe can do; the contract itself is in `wit/`.

use schemars::JsonSchema;
use sentrynet_guest::http::Request;
use sentrynet_guest::{Check, Failure, Mismatch, Probe, Trouble, log, span};
use serde::Deserialize;
use serde_json::Value;

/// The host holds settings against the schema that is made of this, and shows it to who writes them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where the service says how it is.
    url: String,
    /// The longest queue that is still well; 100 unless given.
    #[serde(default = "hundred")]
    max_queue: u32,
}

fn hundred() -> u32 {
    100
}

struct Health;

impl Probe for Health {
    const NAME: &str = env!("CARGO_PKG_NAME");
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &str = "Whether a service says that it is well";
    type Settings = Settings;

    /// What a schema cannot say. Answers with the title of a probe that is given none.
    fn check(settings: &Settings, check: &mut Check) -> Option<String> {
        check.at("/url", Request::new("GET", &settings.url));
        Some(format!("Health of {}", settings.url))
    }

    fn run(settings: Settings) -> Result<(), Trouble> {
        let request = Request::new("GET", &settings.url)?;
        request.header("accept", "application/json")?;
        let response = request.send()?;
        let status = response.status();
        if status != 200 {
            let failure = Failure::new("status", format!("expected status 200, got {status}"));
            return Err(failure.mismatches(vec![Mismatch::new("status", 200, status)]).into());
        }
        let health: Value = span::scope("json.parse", "Parse the answer", |_| {
            let parsed = serde_json::from_slice(&response.body());
            Ok(parsed.map_err(|error| Failure::new("json", format!("the answer is not JSON: {error}")))?)
        })?;
        log::info(&format!("status {}, queue {}", health["status"], health["queue"]));
        span::scope("health.check", "Check status and queue", |_| hold(&health, settings.max_queue))
    }
}

fn hold(health: &Value, max_queue: u32) -> Result<(), Trouble> {
    let mut wrong = Vec::new();
    let (status, queue) = (&health["status"], &health["queue"]);
    if status != "ok" {
        wrong.push(Mismatch::new("$.status", "\"ok\"", status));
    }
    match queue.as_f64() {
        Some(length) => {
            span::set_data("queue", &span::Value::Number(length));
            if length > f64::from(max_queue) {
                wrong.push(Mismatch::new("$.queue", format!("at most {max_queue}"), queue));
            }
        }
        None => wrong.push(Mismatch::new("$.queue", format!("at most {max_queue}"), queue)),
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::new("health", "the service is not well").mismatches(wrong).into())
}

sentrynet_guest::export!(Health);
