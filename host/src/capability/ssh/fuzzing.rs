//! Entry points for fuzzers.

use std::path::Path;

use crate::capability::ssh::known_hosts;
use crate::capability::ssh::trust::KnownHost;

/// Looks up hosts in a file of known hosts with this text, and matches every key of the file with the entries.
pub fn known_hosts(text: &str) {
    let file = Path::new("known_hosts");
    for (host, port) in [("shop.example", 22), ("192.0.2.1", 2222), ("2001:db8::1", 22)] {
        let mut known_host = KnownHost::empty(host, port);
        known_host.add_text(file, text);
        _ = known_host.key_algorithms();
        for line in known_hosts::lines_for(text, host, port) {
            _ = known_host.match_key(&line.key);
            _ = known_host.line(&line.key);
            _ = known_host.unknown_key_message(&line.key, Some(file));
        }
    }
}
