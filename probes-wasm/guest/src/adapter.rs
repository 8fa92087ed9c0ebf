//! The component's exports. They convert between the JSON of the contract and the types of a [`Probe`].

use std::sync::Once;

use crate::bindings::exports::sentrynet::probe::prober::{Description, Problem, Trouble};
use crate::settings::{self, Problems};
use crate::{Probe, log};

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

/// Installs a hook that writes the message of a panic to the run's log. This target has no standard error: without the
/// hook, a panic would be a trap without a message.
fn log_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| std::panic::set_hook(Box::new(|panic| log::error(&panic.to_string()))));
}
