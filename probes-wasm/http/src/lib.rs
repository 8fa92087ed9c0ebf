//! The built-in probe `http`: sends one HTTP request, and checks the response.

use sentrynet_guest::{Probe, Problems, Trouble};
use sentrynet_step::{Step, origin_and_path};
use serde_json::Map;

struct Http;

impl Probe for Http {
    const NAME: &str = "http";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &str = "Sends one HTTP request, and checks the response";
    type Settings = Step;

    fn check(step: &Step, problems: &mut Problems) -> Option<String> {
        step.build_request("", problems);
        step.check_request("", problems);
        step.check_expectations("", &|_| false, problems);
        Some(format!("{} {}", step.method(), origin_and_path(&step.url)))
    }

    fn run(step: Step) -> Result<(), Trouble> {
        step.run(&Map::new(), true, "").map(drop)
    }
}

sentrynet_guest::export!(Http);
