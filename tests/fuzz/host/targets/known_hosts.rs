//! A file of known hosts.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| sentrynet::capability::ssh::fuzzing::known_hosts(text));
