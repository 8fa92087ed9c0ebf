//! Between the component's exports, which speak strings, and a [`Probe`], which speaks types.

use std::sync::Once;

use crate::bindings::exports::sentrynet::probe::prober::{Description, Problem, Trouble};
use crate::settings::{self, Check};
use crate::{Probe, log};

pub fn describe<P: Probe>() -> Description {
    tell_of_panics();
    let schema = schemars::schema_for!(P::Settings);
    Description {
        name: P::NAME.to_owned(),
        version: P::VERSION.to_owned(),
        summary: P::SUMMARY.to_owned(),
        settings_schema: schema.as_value().to_string(),
    }
}

/// # Errors
/// All that is wrong with the settings.
pub fn check<P: Probe>(settings: &str) -> Result<Option<String>, Vec<Problem>> {
    tell_of_panics();
    let mut check = Check::default();
    let title =
        settings::read::<P::Settings>(settings, &mut check).and_then(|settings| P::check(&settings, &mut check));
    if check.problems.is_empty() { Ok(title) } else { Err(check.problems) }
}

/// # Errors
/// What the probe says, or that the settings do not pass [`check`].
pub fn run<P: Probe>(settings: &str) -> Result<(), Trouble> {
    tell_of_panics();
    match serde_json::from_str(settings) {
        Ok(settings) => P::run(settings).map_err(Into::into),
        Err(error) => Err(Trouble::Broken(format!("the settings do not pass the probe's own check: {error}"))),
    }
}

/// A panic becomes a trap without a word unless it is logged: there is no standard error here.
fn tell_of_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| std::panic::set_hook(Box::new(|panic| log::error(&panic.to_string()))));
}
