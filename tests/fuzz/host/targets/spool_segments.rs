//! A file of the spool.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sentrynet::sink::sentry::fuzzing::spool_segment(bytes));
