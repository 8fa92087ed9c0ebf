//! A JSONPath, and after a line break the JSON that it is applied to.

#![no_main]

use sentrynet_checks::JsonPath;
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (path, json) = text.split_once('\n').unwrap_or((text, "{}"));
    if let (Ok(path), Ok(json)) = (JsonPath::parse(path), serde_json::from_str::<Value>(json)) {
        _ = path.find(&json);
    }
});
