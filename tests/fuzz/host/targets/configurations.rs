//! A configuration.

#![no_main]

use sentrynet::config::{self, Source};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let source = Source {
        name: "fuzz.yaml".to_owned(),
        text: text.to_owned(),
        path: None,
        // A folder that this repository does not have: relative paths lead to nothing.
        directory: concat!(env!("CARGO_MANIFEST_DIR"), "/absent").into(),
        probe: None,
        files: Vec::new(),
    };
    _ = config::parse(&source, &|name| name.starts_with('A').then(|| "value".to_owned()));
});
