//! A spool of an earlier version: all its envelopes are delivered unchanged.
//!
//! A segment is `sntspl\0\x01`, and then for each envelope a header of 24 bytes and the envelope. The header is, with
//! numbers in little-endian order: the state, `+` or, for a removed envelope, `-`, 1 byte; the kind, 1; spans, 2; the
//! envelope's length, 4; milliseconds since 1970, 8; CRC-32 of the envelope, 4; CRC-32 of the header from its second
//! byte on, 4.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::expected::folder;
use crate::guests::{Guest, PASSES};
use crate::support::receiver::Receiver;
use crate::support::target::Target;
use crate::support::{CommandOutput, free_port, run_command, sentrynet, write_code_key};

const MAGIC: &[u8] = b"sntspl\0\x01";
const HEADER_BYTES: usize = 24;

/// An envelope in a segment.
struct Entry {
    header: [u8; HEADER_BYTES],
    envelope: Vec<u8>,
}

impl Entry {
    /// Returns the header with the current time, since envelopes that have waited for days are not sent.
    fn header_with_current_time(&self) -> [u8; HEADER_BYTES] {
        let mut header = self.header;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is later than 1970");
        header[8..16]
            .copy_from_slice(&u64::try_from(now.as_millis()).expect("the milliseconds fit in 64 bits").to_le_bytes());
        let checksum = crc32fast::hash(&header[1..20]);
        header[20..].copy_from_slice(&checksum.to_le_bytes());
        header
    }

    /// Returns the type of the envelope's only item and, for a transaction, the outcome of its run.
    fn kind(&self) -> String {
        let mut lines = self.envelope.split(|byte| *byte == b'\n').skip(1);
        let mut json = || {
            serde_json::from_slice::<Value>(lines.next().expect("an envelope has lines for its item"))
                .expect("a line is JSON")
        };
        let (item, payload) = (json(), json());
        let kind = item["type"].as_str().expect("an item has a type");
        let outcome = payload["tags"]["outcome"].as_str().filter(|_| kind == "transaction");
        outcome.map_or(kind.to_owned(), |outcome| format!("{kind} of a run that {outcome}"))
    }
}

/// Parses the envelopes of a segment.
#[track_caller]
fn entries(segment: &[u8]) -> Vec<Entry> {
    let mut rest = segment.strip_prefix(MAGIC).expect("a segment begins with the magic bytes");
    let mut entries = Vec::new();
    while let Some((header, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("there are four bytes"));
        assert_eq!(number(20), crc32fast::hash(&header[1..20]), "a header has a wrong checksum");
        let (envelope, after) = after.split_at(usize::try_from(number(4)).expect("32 bits fit in usize"));
        assert_eq!(number(16), crc32fast::hash(envelope), "an envelope has a wrong checksum");
        entries.push(Entry { header: *header, envelope: envelope.to_owned() });
        rest = after;
    }
    assert!(rest.is_empty(), "{} bytes follow the last envelope", rest.len());
    entries
}

/// Returns the name of the folder of a spool for [`dsn`], below `sentrynet` in the state folder.
pub fn spool_folder_name(port: u16) -> String {
    // The checksum includes the secret key after the colon, which is empty here.
    let checksum = crc32fast::hash(format!("http://key:@127.0.0.1:{port}/1").as_bytes());
    format!("127-0-0-1-1-{checksum:08x}")
}

/// Returns the folder of the first process that uses this spool.
fn process_folder(state: &Path, port: u16) -> PathBuf {
    state.join("sentrynet").join(spool_folder_name(port)).join("1")
}

/// Returns the names of the segments in a folder, in their order. They may have a further extension after `.spool`.
fn segments(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("the folder can be read").flatten();
    let mut names: Vec<_> = files.filter_map(|file| file.file_name().into_string().ok()).collect();
    names.retain(|name| name.contains(".spool"));
    names.sort();
    names
}

fn dsn(port: u16) -> String {
    format!("http://key@127.0.0.1:{port}/1")
}

/// Runs these probes once with a spool in a folder and a sample rate. There need not be a receiver at `port`.
fn once(state: &Path, port: u16, sample: u8, probes: &str) -> CommandOutput {
    let text = format!("sentry: {{dsn: '{}', server_name: here, sample: {sample}}}\n{probes}", dsn(port));
    write_code_key(state);
    run_command(sentrynet().env("XDG_STATE_HOME", state).args(["once", "-"]), &text)
}

/// The kinds of entries: the number in the header, and the content as [`Entry::kind`] describes it.
const KINDS: [(u8, &str); 5] = [
    (0, "event"),
    (1, "check_in"),
    (2, "transaction of a run that failed"),
    (3, "client_report"),
    (4, "transaction of a run that passed"),
];

#[test]
fn envelopes_of_an_earlier_version_are_delivered() {
    let receiver = Receiver::start();
    let part = process_folder(&crate::support::empty_folder("compatibility-spool"), receiver.port);
    std::fs::create_dir_all(&part).expect("the folder is writable");
    std::fs::write(part.join("lock"), "").expect("the folder is writable");
    let mut waiting = Vec::new();
    let written = folder().join("written");
    for name in segments(&written) {
        let text = std::fs::read_to_string(written.join(&name)).expect("the file can be read").replace('\n', "");
        let entries = entries(&STANDARD.decode(text).expect("the file is Base64"));
        let updated =
            entries.iter().flat_map(|entry| [&entry.header_with_current_time()[..], &entry.envelope].concat());
        let segment: Vec<u8> = MAGIC.iter().copied().chain(updated).collect();
        std::fs::write(part.join(name.trim_end_matches(".base64")), segment).expect("the folder is writable");
        waiting.extend(entries);
    }
    let kinds: BTreeSet<_> = waiting.iter().map(|entry| (entry.header[1], entry.kind())).collect();
    assert_eq!(kinds, KINDS.map(|(number, kind)| (number, kind.to_owned())).into());

    let guest = PASSES.write("compatibility-spool-read");
    let state = part.ancestors().nth(3).expect("the folder lies three levels below the state folder");
    let ended = once(state, receiver.port, 1, &format!("groups: [{{probes: [{{probe: '{}'}}]}}]", guest.display()));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let delivered: Vec<_> = receiver.received().iter().map(|received| without_sent_at(&received.envelope)).collect();
    for Entry { envelope, .. } in &waiting {
        assert!(delivered.contains(envelope), "{}", String::from_utf8_lossy(envelope));
    }
    // One further envelope is of this run itself.
    assert_eq!(delivered.len(), waiting.len() + 1, "{}", ended.stderr);
    assert!(segments(&part).is_empty(), "segments are left: {}", ended.stderr);
}

/// Returns an envelope as it was stored, without `sent_at`, which is added when it is sent.
fn without_sent_at(envelope: &[u8]) -> Vec<u8> {
    const PREFIX: &str = r#"{"sent_at":""#;
    let text = std::str::from_utf8(envelope).expect("an envelope is text");
    let (_, rest) =
        text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('"')).expect("the header begins with `sent_at`");
    format!("{{{}", rest.strip_prefix(',').unwrap_or(rest)).into_bytes()
}

#[test]
fn segments_have_the_format_of_an_earlier_version() {
    let state = crate::support::empty_folder("compatibility-spool-written");
    let port = free_port();
    let probes = probes_for_every_kind(&Target::new());
    // With a rate of 0, the run that passed is in a client report.
    for sample in [1, 0] {
        let ended = once(&state, port, sample, &probes);
        assert_eq!(ended.code, 3, "nothing listens on the port: {}", ended.stderr);
    }
    let directory = process_folder(&state, port);
    let names = segments(&directory);
    assert_eq!(names[0], "0000000001.spool");
    let segments = names.iter().map(|name| std::fs::read(directory.join(name)).expect("the file can be read"));
    let entries: Vec<_> = segments.flat_map(|segment| entries(&segment)).collect();
    let found: BTreeSet<_> = entries.iter().map(|entry| (entry.header[1], entry.kind())).collect();
    assert_eq!(found, KINDS.map(|(number, kind)| (number, kind.to_owned())).into());
    assert!(entries.iter().all(|entry| entry.header[0] == b'+'));
    assert!(directory.join("lock").exists());
}

/// Returns probes whose runs leave envelopes of every kind.
fn probes_for_every_kind(target: &Target) -> String {
    let fails = Guest { run: "i32.const 128", ..PASSES }.write("compatibility-spool-fails");
    format!(
        "groups:
  - probes:
      - {{probe: http, title: Shop, url: 'http://127.0.0.1:{}/', check_in: true}}
      - {{probe: '{}', title: Teapot}}
",
        target.port,
        fails.display()
    )
}
