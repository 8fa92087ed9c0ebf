//! The component's exports. They convert between the JSON of the contract and the types of a [`Probe`].

use crate::Probe;
use crate::bindings::exports::sentrynet::probe::prober::{Description, Problem, Trouble};
use crate::settings::{self, Problems};

/// Returns the probe's metadata, with the JSON Schema of its settings.
pub fn describe<P: Probe>() -> Description {
    log_panics();
    let schema = schemars::schema_for!(P::Settings);
    Description {
        name: P::NAME.to_owned(),
        version: P::VERSION.to_owned(),
        summary: P::SUMMARY.to_owned(),
        settings_schema: schema.as_value().to_string(),
    }
}

/// Checks the settings, and returns the title of the run, if the probe proposes one.
///
/// # Errors
/// Returns all mistakes in the settings.
pub fn check<P: Probe>(settings: &str) -> Result<Option<String>, Vec<Problem>> {
    log_panics();
    let mut problems = Problems::default();
    let title =
        settings::parse::<P::Settings>(settings, &mut problems).and_then(|parsed| P::check(&parsed, &mut problems));
    let problems = problems.into_vec();
    if problems.is_empty() { Ok(title) } else { Err(problems) }
}

/// Runs the probe once.
///
/// # Errors
/// Returns the probe's own error, or [`Trouble::Broken`] if the settings cannot be deserialized.
pub fn run<P: Probe>(settings: &str) -> Result<(), Trouble> {
    log_panics();
    match serde_json::from_str(settings) {
        Ok(settings) => P::run(settings).map_err(Into::into),
        Err(error) => Err(Trouble::Broken(format!("the settings do not pass the probe's own check: {error}"))),
    }
}

/// Installs a hook that writes the message of a panic to the run's log. `wasm32-unknown-unknown` has no standard error:
/// without the hook, a panic would be a trap without a message.
#[cfg(target_family = "wasm")]
fn log_panics() {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| crate::log::error(&with_advice(panic.to_string()))));
    });
}

/// Does nothing: on other targets there are only tests, which have the hook of the standard library.
#[cfg(not(target_family = "wasm"))]
fn log_panics() {}

/// Adds what to do to the message of a panic by the standard library, if the target lacks a clock.
#[cfg_attr(not(target_family = "wasm"), cfg_attr(not(test), expect(dead_code, reason = "tests have their own hook")))]
fn with_advice(message: String) -> String {
    if message.contains("time not implemented on this platform") {
        return message
            + ": build the probe for wasm32-wasip2, which has a clock, or use the times that the host measures";
    }
    message
}

#[cfg(test)]
mod tests {
    use super::with_advice;

    #[test]
    fn a_missing_clock_has_advice() {
        let message = "panicked at time.rs:1:1:\ntime not implemented on this platform".to_owned();
        assert!(with_advice(message).contains("wasm32-wasip2"));
        assert_eq!(with_advice("other".to_owned()), "other");
    }
}
