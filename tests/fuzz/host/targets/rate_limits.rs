//! The headers of Sentry's response.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| sentrynet::sink::sentry::fuzzing::rate_limits(text));
