//! What files of known hosts say of one host, and what follows for the key that it showed.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use russh::keys::{Algorithm, PublicKey};

use crate::capability::ssh::error;
use crate::capability::ssh::known_hosts::{self, Line, Marker, show};

/// What files know of one host.
#[derive(Debug, Clone)]
pub struct KnownHost {
    host: String,
    port: u16,
    entries: Vec<Entry>,
    /// Files that could not be read, and why.
    notes: Vec<String>,
}

#[derive(Debug, Clone)]
struct Entry {
    place: String,
    line: Line,
}

pub enum KeyMatch {
    Known,
    Unknown,
    /// Known to be another.
    Wrong(String),
}

impl KnownHost {
    pub fn empty(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, entries: Vec::new(), notes: Vec::new() }
    }

    /// The same host, with nothing known of it.
    #[must_use]
    pub fn empty_for_same_host(&self) -> Self {
        Self::empty(&self.host, self.port)
    }

    /// Reads a file. One that is not there knows nobody.
    pub fn read(&mut self, file: &Path) {
        match File::open(file).and_then(|mut open| lossy(&mut open)) {
            Ok(text) => self.add(file, &text),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => self.notes.push(format!("{} cannot be read: {}", file.display(), error::io(&error))),
        }
    }

    /// The line that would make it known.
    pub fn line(&self, key: &PublicKey) -> String {
        known_hosts::line(&self.host, self.port, key)
    }

    /// The types of the keys that the host itself is known by.
    pub fn types(&self) -> Vec<Algorithm> {
        self.own().map(|entry| entry.line.key.algorithm()).collect()
    }

    pub fn add(&mut self, file: &Path, text: &str) {
        let entry = |line: Line| Entry { place: format!("{}:{}", file.display(), line.number), line };
        self.entries.extend(known_hosts::about(text, &self.host, self.port).into_iter().map(entry));
    }

    pub fn remember<'a>(&mut self, file: &Path, keys: impl IntoIterator<Item = &'a PublicKey>) {
        self.entries.extend(keys.into_iter().map(|key| Entry {
            place: format!("memory, for want of {}", file.display()),
            line: Line { number: 0, marker: Marker::None, key: key.clone(), portless: false },
        }));
    }

    pub fn name(&self) -> String {
        known_hosts::name(&self.host, self.port)
    }

    /// What is known of the host itself, on its port.
    fn own(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.line.marker == Marker::None && !entry.line.portless)
    }

    pub fn look_up(&self, key: &PublicKey) -> KeyMatch {
        let same = |entry: &&Entry| entry.line.key.key_data() == key.key_data();
        if let Some(revoked) = self.entries.iter().filter(same).find(|entry| entry.line.marker == Marker::Revoked) {
            let shown = show(key);
            return KeyMatch::Wrong(format!(
                "the host key of `{}`, {shown}, is revoked ({})",
                self.name(),
                revoked.place
            ));
        }
        // A line without a port may vouch for a host on any, but does not speak against one.
        if self.entries.iter().filter(same).any(|entry| entry.line.marker == Marker::None) {
            return KeyMatch::Known;
        }
        if let Some(changed) = self.own().find(|entry| entry.line.key.algorithm() == key.algorithm()) {
            return KeyMatch::Wrong(self.changed(changed, key));
        }
        if let Some(other) = self.own().next() {
            return KeyMatch::Wrong(format!(
                "`{}` is known by another key: {} is at {}, the server showed {}; if that is right too, add this line: \
                 {}",
                self.name(),
                show(&other.line.key),
                other.place,
                show(key),
                self.line(key)
            ));
        }
        KeyMatch::Unknown
    }

    fn changed(&self, known: &Entry, key: &PublicKey) -> String {
        format!(
            "the host key of `{name}` has changed: {} has {}, the server showed {}; if it was set up anew, replace \
             that line with `{}`, else somebody may be listening in between",
            known.place,
            show(&known.line.key),
            show(key),
            self.line(key),
            name = self.name(),
        )
    }

    pub fn unknown(&self, key: &PublicKey, file: Option<&Path>) -> String {
        let line = self.line(key);
        let to = file.map(|file| format!(" to {}", file.display())).unwrap_or_default();
        let authority = self.entries.iter().find(|entry| entry.line.marker == Marker::Authority).map(|entry| {
            format!("the authority at {} was passed over, since certificates of hosts are not read", entry.place)
        });
        let notes: String = self.notes.iter().chain(&authority).map(|note| format!(" ({note})")).collect();
        format!(
            "the host key of `{}` is not known: the server showed {}{notes}; if that is right, add this \
             line{to}: {line}",
            self.name(),
            show(key)
        )
    }
}

/// A comment in another encoding is no reason to know nobody.
pub fn lossy(file: &mut File) -> io::Result<String> {
    /// No honest file is as long.
    const LONGEST: u64 = 64 << 20;
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
