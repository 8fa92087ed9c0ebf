//! A check of envelopes by Relay's normaliser, which Sentry itself runs on what it receives.

use std::path::PathBuf;
use std::process::Command;

use crate::support::receiver::ReceivedEnvelope;
use crate::support::{empty_folder, find_tool, run_command};

/// Asserts that Relay accepts the envelopes without changes and without errors. They are written to a folder of this
/// name.
#[track_caller]
pub fn assert_accepts<'a>(name: &str, envelopes: impl IntoIterator<Item = &'a ReceivedEnvelope>) {
    let home = empty_folder(name);
    let write = |(index, received): (usize, &ReceivedEnvelope)| -> PathBuf {
        let file = home.join(format!("{index}.envelope"));
        std::fs::write(&file, &received.envelope).expect("the folder is writable");
        file
    };
    let files: Vec<_> = envelopes.into_iter().enumerate().map(write).collect();
    assert!(!files.is_empty(), "there are no envelopes to check");
    let python = find_tool("python/bin/python").expect("sentry-relay is missing: run the tests with tests/run");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/relay.py");
    let checked = run_command(Command::new(python).arg(script).args(files), "");
    assert_eq!(checked.code, 0, "{}\n{}", checked.stdout, checked.stderr);
}
