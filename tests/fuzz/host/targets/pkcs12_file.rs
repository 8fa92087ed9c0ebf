//! Files in PKCS#12.

#![no_main]

libfuzzer_sys::fuzz_target!(|file: &[u8]| sentrynet::capability::http::fuzzing::pkcs12_file(file));
