//! The text of a recording. A recording that can be parsed is written, and then parsed to the same recording.

#![no_main]

use sentrynet::recording::Recording;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match Recording::parse("fuzz", text) {
        Ok(recording) => {
            let written = recording.to_text();
            let again = Recording::parse("written", &written).expect("what is written can be read");
            assert_eq!(again.to_text(), written);
        }
        Err(error) => _ = error.to_string(),
    }
});
