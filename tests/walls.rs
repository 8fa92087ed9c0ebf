//! The walls between the rooms: who may know what.

use std::fs;
use std::path::{Path, PathBuf};

/// A crate or a room, and the rooms that may name it.
const WALLS: &[(&str, &[&str])] = &[
    ("serde_yaml", &["config"]),
    ("granit_parser", &["config"]),
    ("wasmtime", &["sandbox", "capability"]),
    ("wit_component", &["sandbox/component"]),
    ("addr2line", &["sandbox/component"]),
    ("wasmtime_wasi", &["capability/wasi", "capability/log", "capability/record_replay"]),
    ("wasmtime_wasi_http", &["capability/wasi", "capability/record_replay"]),
    ("reqwest", &["capability/http", "sink/sentry"]),
    ("russh", &["capability/ssh"]),
    ("ring", &["capability/ssh", "capability/http/signature_cache", "sandbox/component"]),
    // The clocks of threads and the limit on open files, which the standard library does not show.
    ("nix", &["sandbox/epoch", "sandbox/cpu_timer", "sandbox/system_limits"]),
    // The DSN is parsed once, with the rest of the configuration.
    ("sentry", &["sink/sentry", "config", "propagation"]),
    ("crate::schedule", &[]),
    ("crate::sandbox", &["schedule", "sandbox"]),
    ("crate::sink", &["schedule", "sink"]),
    ("crate::capability", &["sandbox", "capability"]),
    ("crate::config", &["sandbox", "capability", "sink/sentry", "sink/sinks", "propagation", "config"]),
    ("crate::propagation", &["sandbox", "capability", "sink/sentry"]),
    ("crate::schema", &["sandbox", "config"]),
    // The recorder knows a secret's mark.
    ("crate::redaction", &["sandbox", "config", "redaction", "capability/record_replay"]),
    ("crate::recording", &["sandbox", "capability/record_replay", "redaction"]),
    ("crate::assessment", &["sink", "assessment"]),
    ("crate::run", &["schedule", "sandbox", "capability", "sink", "assessment", "redaction", "recording"]),
    ("crate::time_format", &["capability", "sink"]),
    ("crate::trace", &["sandbox", "capability", "sink", "assessment", "propagation", "redaction", "run", "recording"]),
];

#[test]
fn rooms_know_no_more_than_they_may() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in rust_files(&source) {
        let room = file.strip_prefix(&source).expect("the file lies there").with_extension("").display().to_string();
        // The map and the entrance know all rooms.
        if room == "lib" || room == "main" {
            continue;
        }
        let text = fs::read_to_string(&file).expect("source can be read");
        for (name, may) in WALLS {
            let inside = may.iter().any(|may| room == *may || room.starts_with(&format!("{may}/")));
            if !inside && names(&text, name) {
                wrong.push(format!("{room} names {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether code names a path, `use`d or in place.
fn names(text: &str, path: &str) -> bool {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//") && !line.contains("mod "));
    code.into_iter().any(|line| {
        line.match_indices(path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = &line[at + path.len()..];
            let begins = before.is_none_or(|before| !before.is_alphanumeric() && !"_:/\"`.".contains(before));
            begins && (after.starts_with("::") || after.starts_with(';'))
        })
    })
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("source can be read").flatten().map(|entry| entry.path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => rust_files(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn the_detector_detects() {
    assert!(names("use wasmtime::Store;", "wasmtime"));
    assert!(names("    let x = crate::sink::report();", "crate::sink"));
    assert!(!names("use wasmtime_wasi::WasiCtx;", "wasmtime"));
    assert!(!names("// use wasmtime::Store;", "wasmtime"));
    assert!(!names("use crate::sink::sentry::X;", "sentry"));
}
