//! The headers of a target's response.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| sentrynet::capability::http::fuzzing::response_headers(text));
