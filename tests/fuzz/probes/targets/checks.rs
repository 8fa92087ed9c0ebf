//! The setting `checks`, as JSON.

#![no_main]

use sentrynet_checks::{Checks, Protocol};
use serde_json::{Map, Value};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(form) = serde_json::from_str::<Map<String, Value>>(text) else { return };
    for protocol in [Protocol::Http, Protocol::Ssh] {
        _ = Checks::parse(&form, protocol, "/checks", &mut Vec::new());
    }
});
