//! How requests of the http probe get to their target: names, addresses, proxies, versions, certificates of our own and
//! credentials.

mod auth;
mod client_certificate;
mod names;
mod peers;
mod proxies;
mod versions;

use crate::support::{finish, http, sentrynet};

fn yes() -> String {
    "200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
}

fn refuse(status: &str) -> String {
    format!("{status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

fn redirect(to: &str) -> String {
    format!("302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

/// That these keys of an http probe are refused, with this message at this key; what was written.
#[track_caller]
fn refused(keys: &str, key: &str, message: &str) -> String {
    let ended = finish(sentrynet().args(["check", "-"]), &http(keys));
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains(message), "{message} in {}", ended.stderr);
    assert!(ended.stderr.contains(&format!("at groups[0].probes[0].{key}\n")), "{key} in {}", ended.stderr);
    ended.stderr
}
