//! Relay's normaliser as a judge of envelopes: it is what Sentry itself runs on what it receives.

use std::path::PathBuf;
use std::process::Command;

use crate::support::receiver::Received;
use crate::support::{finish, folder, tool};

/// That Relay takes the envelopes as they are, and has nothing to say of them. `name` is that of a folder for them.
#[track_caller]
pub fn has_no_complaint<'a>(name: &str, envelopes: impl IntoIterator<Item = &'a Received>) {
    let home = folder(name);
    let write = |(index, received): (usize, &Received)| -> PathBuf {
        let file = home.join(format!("{index}.envelope"));
        std::fs::write(&file, &received.envelope).expect("the folder is writable");
        file
    };
    let files: Vec<_> = envelopes.into_iter().enumerate().map(write).collect();
    assert!(!files.is_empty(), "there is something to judge");
    let python = tool("python/bin/python").expect("sentry-relay is there: run the tests with tests/run");
    let judge = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/relay.py");
    let judged = finish(Command::new(python).arg(judge).args(files), "");
    assert_eq!(judged.code, 0, "{}\n{}", judged.stdout, judged.stderr);
}
