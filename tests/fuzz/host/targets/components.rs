//! The file of a component, before it is compiled.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sentrynet::sandbox::fuzzing::component(bytes));
