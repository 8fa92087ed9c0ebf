//! Responses of targets and answers of proxies that cannot be read.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| sentrynet::capability::http::fuzzing::malformed_response(text));
