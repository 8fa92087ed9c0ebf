//! A template, and after a line break the values of the keys, as JSON.

#![no_main]

use sentrynet_chain::Template;
use serde_json::{Map, Value};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (template, keys) = text.split_once('\n').unwrap_or((text, "{}"));
    let keys = serde_json::from_str::<Map<String, Value>>(keys).unwrap_or_default();
    if let Ok(template) = Template::parse(template) {
        _ = template.keys().count();
        _ = template.render(&keys);
    }
});
