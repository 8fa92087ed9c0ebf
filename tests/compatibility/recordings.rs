//! Recordings of an earlier version. Their replays must print the same as in that version.
//!
//! Each is `written/NAME.jsonl`, which `--record` wrote. The components need not be those that were recorded: the
//! program warns about a component that differs, and replays the recording all the same.

use std::path::{Path, PathBuf};

use regex::Regex;
use sentrynet::recording::Recording;

use super::expected::{compare, folder};
use crate::guests::{Guest, PASSES, write_random_and_clock};
use crate::support::{run_command, sentrynet};
use crate::wasi::script::{self, script_with_text};
use crate::wasi::sockets::connect_script;

/// A guest with a function that opens a span, and writes a log line in it.
const LOGGING_GUEST: Guest = Guest {
    imports: r#"(import "sentrynet:probe/log@0.1.0" "write" (func $write (param i32 i32 i32)))
        (import "sentrynet:probe/span@0.1.0" "[constructor]span" (func $span (param i32 i32 i32 i32) (result i32)))
        (import "sentrynet:probe/span@0.1.0" "[resource-drop]span" (func $drop (param i32)))"#,
    define: "(func $write-log
        (drop (call $span (i32.const 512) (i32.const 6) (i32.const 518) (i32.const 14)))
        (call $write (i32.const 1) (i32.const 532) (i32.const 6)))",
    ..PASSES
};

/// The ports of the servers when the runs were recorded.
const ECHO_PORT: u16 = 7007;
const TARGET_PORT: u16 = 7080;

/// Replays a recording with a component, and compares the output. Returns the exit code.
#[track_caller]
fn replay(name: &str, probe: &str) -> i32 {
    let recording = folder().join(format!("written/{name}.jsonl"));
    let mut program = sentrynet();
    program.env("SENTRYNET_LOG", "error").args(["test", probe, "--format", "json", "--replay"]);
    let replayed = run_command(program.arg(&recording), "");
    for line in replayed.stderr.lines() {
        assert!(line.contains("is not the component that was recorded"), "{}", replayed.stderr);
    }
    compare(&format!("replay-{name}.json"), &replayed.stdout);
    replayed.code
}

/// Asserts that a recording has the same text after it was parsed and written.
#[track_caller]
fn assert_text_unchanged(text: &str) {
    let recording = Recording::parse("recording", text).expect("the recording can be read");
    for (was, is) in text.lines().zip(recording.to_text().lines()) {
        assert_eq!(was, is);
    }
    assert_eq!(text, recording.to_text());
}

#[test]
fn reading_and_writing_a_recording_keeps_its_text() {
    let files = std::fs::read_dir(folder().join("written")).expect("the folder can be read").flatten();
    let files = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|suffix| suffix == "jsonl"));
    let texts: Vec<_> = files.map(|path| std::fs::read_to_string(path).expect("a recording is text")).collect();
    assert!(!texts.is_empty());
    for text in &texts {
        assert_text_unchanged(text);
    }
}

/// The field `before` of a local call, which none of the files has: effects of the host while the component computes.
#[test]
fn effects_before_a_local_call() {
    let text = std::fs::read_to_string(folder().join("written/guest-log.jsonl")).expect("the file can be read");
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let call = lines.iter_mut().find(|line| line.contains(r#""entry":"call""#)).expect("there is a call");
    *call = format!("{},\"before\":{{\"dropped\":1}}}}", call.strip_suffix('}').expect("a line is a JSON object"));
    assert_text_unchanged(&(lines.join("\n") + "\n"));
}

/// The names under which calls and their arguments are recorded.
#[test]
fn names_of_calls_and_arguments() {
    let interface =
        Regex::new(r#"(?s)\w+! \{ [\w:]+ as "([\w:/.-]+)"[^{"]*\{\n(.*?)\n\} \}"#).expect("the pattern is valid");
    let call = Regex::new(r"(?s)\w+ (?:\[\w+\] )?(\w+)\((.*?)\) ->").expect("the pattern is valid");
    let given = Regex::new(r"(\w+): (\w+)").expect("the pattern is valid");
    let mut calls = Vec::new();
    for text in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        for interface in interface.captures_iter(&text) {
            for call in call.captures_iter(&interface[2]) {
                // A handle is recorded without the name of its argument.
                let named = given.captures_iter(&call[2]).filter(|given| given[2] != *"Resource");
                let given: Vec<_> = named.map(|given| given[1].replace('_', "-")).collect();
                calls.push(format!("{}.{} {}\n", &interface[1], call[1].replace('_', "-"), given.join(" ")));
            }
        }
    }
    calls.sort();
    compare("recorded-calls.txt", &calls.concat());
}

/// Returns the texts of all Rust files below a folder.
fn sources(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            texts.extend(sources(&path));
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            texts.push(std::fs::read_to_string(path).expect("a source is text"));
        }
    }
    texts
}

#[test]
fn http_over_tls_with_a_redirect_a_cookie_and_a_password() {
    assert_eq!(replay("http-passed", "http"), 0);
}

#[test]
fn http_that_failed() {
    assert_eq!(replay("http-failed", "http"), 1);
}

#[test]
fn http_that_passed_after_a_retry() {
    assert_eq!(replay("http-retried", "http"), 0);
}

#[test]
fn http_without_a_connection() {
    assert_eq!(replay("http-unreachable", "http"), 1);
}

#[test]
fn http_with_too_many_spans() {
    assert_eq!(replay("http-spans", "http"), 0);
}

#[test]
fn a_chain_of_two_steps() {
    assert_eq!(replay("chain", "chain"), 1);
}

#[test]
fn a_command_over_ssh() {
    assert_eq!(replay("ssh-passed", "ssh"), 0);
    assert_eq!(replay("ssh-failed", "ssh"), 1);
}

#[test]
fn components_of_third_parties() {
    assert_eq!(replay("guest-log", &guest("guest-log")), 0);
    assert_eq!(replay("guest-log-refused", &guest("guest-log-refused")), 0);
    assert_eq!(replay("guest-trap", &guest("guest-trap")), 3);
    assert_eq!(replay("guest-deadline", &guest("guest-deadline")), 3);
    assert_eq!(replay("guest-memory", &guest("guest-memory")), 3);
    assert_eq!(replay("guest-gave-up", &guest("guest-gave-up")), 3);
    assert_eq!(replay("guest-random-and-clock", &guest("guest-random-and-clock")), 0);
}

#[test]
fn sockets_of_wasi() {
    assert_eq!(replay("wasi-tcp", &guest("wasi-tcp")), 0);
    assert_eq!(replay("wasi-tcp-by-name", &guest("wasi-tcp-by-name")), 0);
    assert_eq!(replay("wasi-tcp-trap", &guest("wasi-tcp-trap")), 3);
}

#[test]
fn requests_of_wasi() {
    assert_eq!(replay("wasi-http", &guest("wasi-http")), 0);
    assert_eq!(replay("wasi-http-body", &guest("wasi-http-body")), 0);
    assert_eq!(replay("wasi-http-refused", &guest("wasi-http-refused")), 0);
    assert_eq!(replay("wasi-http-failed-twice", &guest("wasi-http-failed-twice")), 1);
}

/// Writes the component that was recorded under this name. Returns its path.
fn guest(name: &str) -> String {
    let request = |script| script_with_text(&format!("127.0.0.1:{TARGET_PORT}"), script);
    let wasi = |script: &str, end: &str| {
        let run = format!("{script} {end}").leak();
        let guest = Guest { imports: script::IMPORTS, define: script::DEFINE, run, ..PASSES };
        guest.write_with_wasi(&format!("compatibility-{name}"), "0.2.3")
    };
    let passes = |script: &str| wasi(script, "i32.const 0");
    let plain = |guest: Guest| guest.write(&format!("compatibility-{name}"));
    let path: PathBuf = match name {
        "guest-log" | "guest-log-refused" => plain(Guest { run: "call $write-log i32.const 0", ..LOGGING_GUEST }),
        "guest-trap" => plain(Guest { run: "call $write-log unreachable", ..LOGGING_GUEST }),
        "guest-deadline" => plain(Guest { run: "call $write-log (loop br 0) i32.const 0", ..LOGGING_GUEST }),
        "guest-memory" => {
            let define = "(func $hog (loop i32.const 1 memory.grow drop br 0))";
            plain(Guest { define, run: "call $hog i32.const 0", ..PASSES })
        }
        "guest-gave-up" => plain(Guest { run: "i32.const 192", ..PASSES }),
        "guest-random-and-clock" => write_random_and_clock(&format!("compatibility-{name}")),
        "wasi-tcp" => passes(&connect_script(ECHO_PORT, "(call $write-and-read) (call $write-and-read)")),
        "wasi-tcp-by-name" => {
            passes(&script_with_text("localhost", &format!("(call $call-by-name LENGTH (i32.const {ECHO_PORT}))")))
        }
        "wasi-tcp-trap" => {
            passes(&connect_script(ECHO_PORT, "(call $write-and-read) (call $drop-socket (global.get $socket))"))
        }
        "wasi-http" => passes(&request("(call $receive (call $send (call $request LENGTH)))")),
        "wasi-http-refused" => {
            passes(&script_with_text("127.0.0.2:80", "(call $receive (call $send (call $request LENGTH)))"))
        }
        "wasi-http-failed-twice" => {
            wasi(&request("(call $receive (call $send (call $request LENGTH)))"), "i32.const 128")
        }
        "wasi-http-body" => {
            let post = "(local.set $request (call $send-body (call $request LENGTH)))
                (call $write-body (i32.const 512) (i32.const 6))
                (call $end-body)
                (call $receive (local.get $request))";
            passes(&format!("(local $request i32) {}", request(post)))
        }
        _ => panic!("there is no component of the name {name}"),
    };
    path.display().to_string()
}
