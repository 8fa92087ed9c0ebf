//! The built-in probe `http`: one request, and what its answer must be.

use sentrynet_guest::{Check, Probe, Trouble};
use sentrynet_step::{Step, origin};
use serde_json::Map;

struct Http;

impl Probe for Http {
    const NAME: &str = "http";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &str = "One HTTP request, and what its answer must be";
    type Settings = Step;

    fn check(step: &Step, check: &mut Check) -> Option<String> {
        step.build("", check);
        step.check("", &|_| false, check);
        Some(format!("{} {}", step.method(), origin(&step.url)))
    }

    fn run(step: Step) -> Result<(), Trouble> {
        step.run(&Map::new(), false).map(drop)
    }
}

sentrynet_guest::export!(Http);
