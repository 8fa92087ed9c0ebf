//! Looking up one host in files of known hosts, and matching the key that it has shown.

use std::io::ErrorKind;
use std::path::Path;

use russh::keys::{Algorithm, PublicKey};

use crate::capability::blocking_pool::MayBlock;
use crate::capability::regular_file;
use crate::capability::ssh::known_hosts::{self, Line, Marker, describe_key};
use crate::capability::ssh::text::io_message;

/// The entries for one host.
#[derive(Debug, Clone)]
pub struct KnownHost {
    host: String,
    port: u16,
    entries: Vec<Entry>,
    /// Messages about files that could not be read, for [`KnownHost::unknown_key_message`].
    read_errors: Vec<String>,
}

#[derive(Debug, Clone)]
struct Entry {
    /// The file and line, for messages.
    location: String,
    line: Line,
}

/// The result of matching a key with the entries.
pub enum KeyMatch {
    /// The key is known.
    Known,
    /// No entry has a key of the host.
    Unknown,
    /// The host is known by another key, or the key is revoked, with a sentence for the operator.
    Rejected(String),
}

impl KnownHost {
    /// Returns a host without entries.
    pub fn empty(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, entries: Vec::new(), read_errors: Vec::new() }
    }

    /// Returns the same host without entries.
    #[must_use]
    pub fn empty_for_same_host(&self) -> Self {
        Self::empty(&self.host, self.port)
    }

    /// Adds the entries of a file. A file that does not exist counts as empty; other errors are added to the
    /// message about an unknown key.
    pub fn read_file(&mut self, file: &Path, may_block: &MayBlock) {
        match regular_file::read_known_hosts(file, may_block) {
            Ok(text) => self.add_text(file, &text),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => self.read_errors.push(format!("{} cannot be read: {}", file.display(), io_message(&error))),
        }
    }

    /// Adds the entries of a file whose text has been read.
    pub fn add_text(&mut self, file: &Path, text: &str) {
        let entry = |line: Line| Entry { location: format!("{}:{}", file.display(), line.number), line };
        self.entries.extend(known_hosts::lines_for(text, &self.host, self.port).into_iter().map(entry));
    }

    /// Adds keys that were accepted, but could not be written to `file`.
    pub fn add_accepted_keys<'a>(&mut self, file: &Path, keys: impl IntoIterator<Item = &'a PublicKey>) {
        self.entries.extend(keys.into_iter().map(|key| Entry {
            location: format!("memory (not written to {})", file.display()),
            line: Line { number: 0, marker: Marker::None, key: key.clone(), is_portless: false },
        }));
    }

    /// Returns the host's name as files of known hosts have it.
    pub fn name(&self) -> String {
        known_hosts::host_name(&self.host, self.port)
    }

    /// Returns the line that makes a key known.
    pub fn line(&self, key: &PublicKey) -> String {
        known_hosts::format_line(&self.host, self.port, key)
    }

    /// Returns the algorithms of the keys by which the host is known on its port.
    pub fn key_algorithms(&self) -> Vec<Algorithm> {
        self.own_entries().map(|entry| entry.line.key.algorithm()).collect()
    }

    /// Returns the host's name or address, without a port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns true if an entry names an authority for the host's certificates.
    pub fn has_authorities(&self) -> bool {
        self.entries.iter().any(|entry| entry.line.marker == Marker::Authority)
    }

    /// Returns true if a key is that of an authority for the host's certificates.
    pub fn has_authority(&self, key: &PublicKey) -> bool {
        self.find(Marker::Authority, key).is_some()
    }

    /// Returns the message about a key that is revoked.
    pub fn revoked_message(&self, key: &PublicKey) -> Option<String> {
        let Entry { location, .. } = self.find(Marker::Revoked, key)?;
        Some(format!("the host key of `{}`, {}, is revoked ({location})", self.name(), describe_key(key)))
    }

    /// Matches a key that the host has shown.
    pub fn match_key(&self, key: &PublicKey) -> KeyMatch {
        if let Some(message) = self.revoked_message(key) {
            return KeyMatch::Rejected(message);
        }
        // As in OpenSSH, an entry without a port makes its key known on any port, but does not forbid another key
        // there.
        if self.find(Marker::None, key).is_some() {
            return KeyMatch::Known;
        }
        if let Some(known) = self.own_entries().find(|entry| entry.line.key.algorithm() == key.algorithm()) {
            return KeyMatch::Rejected(self.changed_key_message(known, key));
        }
        if let Some(other) = self.own_entries().next() {
            return KeyMatch::Rejected(format!(
                "`{}` is known by another key: {} is at {}, the server showed {}; if it has this key too, add this \
                 line: {}",
                self.name(),
                describe_key(&other.line.key),
                other.location,
                describe_key(key),
                self.line(key)
            ));
        }
        KeyMatch::Unknown
    }

    /// Returns the message about an unknown host. `file` is the file to which its key should be added.
    pub fn unknown_key_message(&self, key: &PublicKey, file: Option<&Path>) -> String {
        let line = self.line(key);
        let destination = file.map(|file| format!(" to {}", file.display())).unwrap_or_default();
        let remarks: String = self.read_errors.iter().map(|remark| format!(" ({remark})")).collect();
        format!(
            "the host key of `{}` is not known: the server showed {}{remarks}; if this is its key, add this \
             line{destination}: {line}",
            self.name(),
            describe_key(key)
        )
    }

    fn changed_key_message(&self, known: &Entry, key: &PublicKey) -> String {
        format!(
            "the host key of `{name}` has changed: {} has {}, the server showed {}; if the host was reinstalled, \
             replace that line with `{}`; otherwise, somebody may be intercepting the connection",
            known.location,
            describe_key(&known.line.key),
            describe_key(key),
            self.line(key),
            name = self.name(),
        )
    }

    fn find(&self, marker: Marker, key: &PublicKey) -> Option<&Entry> {
        let has_key = |entry: &&Entry| entry.line.marker == marker && entry.line.key.key_data() == key.key_data();
        self.entries.iter().find(has_key)
    }

    /// Returns the entries with keys of the host on its port, without those of authorities and revoked keys.
    fn own_entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.line.marker == Marker::None && !entry.line.is_portless)
    }
}
