//! The settings that determine how a request reaches its target: names, addresses, proxies, versions of HTTP, client
//! certificates and credentials.

mod addresses;
mod auth;
mod client_certificate;
mod names;
mod peers;
mod proxies;
mod versions;

use crate::support::{http_config, run_command, sentrynet};

/// Asserts that these keys of an http probe are refused, with this message at this key. Returns the output.
#[track_caller]
fn assert_refused(keys: &str, key: &str, message: &str) -> String {
    let ended = run_command(sentrynet().args(["check", "-"]), &http_config(keys));
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains(message), "{message} in {}", ended.stderr);
    assert!(ended.stderr.contains(&format!("at groups[0].probes[0].{key}\n")), "{key} in {}", ended.stderr);
    ended.stderr
}
