//! The log and other messages on standard error: their format, and that they have no secrets.

use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use serde_json::Value;

use crate::support::running::RunningProgram;
use crate::support::target::Target;
use crate::support::{absent_path, empty_folder, eventually, http_config, run_command, sentrynet};

/// Parses a text with one JSON object on each line.
#[track_caller]
fn parse_objects(text: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line} in {text}"));
    text.lines().map(parse).collect()
}

#[test]
fn each_line_of_the_json_log_is_an_object() {
    let keys = http_config("url: http://127.0.0.1:1/");
    let by_argument = run_command(sentrynet().args(["once", "-", "--log-format", "json"]), &keys);
    let by_variable = run_command(sentrynet().env("SENTRYNET_LOG_FORMAT", "json").args(["once", "-"]), &keys);
    for ended in [by_argument, by_variable] {
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        let [line] = &parse_objects(&ended.stderr)[..] else { panic!("{}", ended.stderr) };
        assert_eq!(line["level"], "INFO");
        assert!(line["message"].as_str().is_some_and(|message| message.starts_with("nothing is sent to Sentry")));
        assert!(line["timestamp"].as_str().is_some_and(|time| time.starts_with("20") && time.ends_with('Z')), "{line}");
    }
    // The argument takes precedence.
    let mut program = sentrynet();
    program.env("SENTRYNET_LOG_FORMAT", "json").args(["--log-format", "text", "once", "-"]);
    assert!(run_command(&mut program, &keys).stderr.contains(" INFO nothing is sent to Sentry"));
}

#[test]
fn lines_of_the_json_log_have_fields() {
    let file = empty_folder("logging-fields").join("probes.yaml");
    std::fs::write(&file, http_config("url: http://127.0.0.1:1/")).expect("the folder is writable");
    let log = file.with_file_name("log");
    let stderr = std::fs::File::create(&log).expect("the folder is writable");
    let mut program = sentrynet();
    program.args(["run", "--log-format", "json"]).arg(&file).stdout(Stdio::null()).stderr(stderr);
    let running = RunningProgram::spawn(&mut program);
    let read = || std::fs::read_to_string(&log).expect("the log is UTF-8");
    eventually("the program to be on schedule", || read().contains("on schedule").then_some(()));
    running.send_signal("TERM");
    assert_eq!(running.wait_for_exit_code(), Some(0));
    let lines = parse_objects(&read());
    let line = |part: &str| {
        let found = lines.iter().find(|line| line["message"].as_str().is_some_and(|message| message.contains(part)));
        found.unwrap_or_else(|| panic!("{part} in {lines:#?}"))
    };
    assert_eq!(line("on schedule")["probes"], 1);
    assert_eq!(line("stopping")["grace_seconds"], 5);
}

#[test]
fn a_log_that_is_not_read_stops_neither_probes_nor_signals() {
    let target = Target::new();
    let keys = format!("url: http://127.0.0.1:{}/\nevery: 0.05", target.port);
    let file = empty_folder("logging-unread").join("probes.yaml");
    std::fs::write(&file, http_config(&keys)).expect("the folder is writable");
    // The socket is filled and never read, so that every write to it blocks.
    let (mut stderr, _unread) = UnixStream::pair().expect("a pair of sockets can be made");
    stderr.set_nonblocking(true).expect("a socket can be written to without waiting");
    let full = loop {
        if let Err(error) = stderr.write(&vec![b'x'; 1 << 16]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    stderr.set_nonblocking(false).expect("a socket can be written to with waiting");
    let mut program = sentrynet();
    program.arg("run").arg(&file).env("SENTRYNET_LOG", "debug").stdout(Stdio::null()).stderr(OwnedFd::from(stderr));
    let running = RunningProgram::spawn(&mut program);
    eventually("three runs", || (target.requests().len() >= 3).then_some(()));
    running.send_signal("TERM");
    assert_eq!(running.wait_for_exit_code(), Some(0));
}

#[test]
fn errors_in_the_json_log_are_objects() {
    let json = |arguments: &[&str], text: &str| {
        let ended = run_command(sentrynet().env("SENTRYNET_LOG_FORMAT", "json").args(arguments), text);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        parse_objects(&ended.stderr)
    };
    let absent = absent_path("probes.yaml").display().to_string();
    let lines = json(&["check", &absent], "");
    assert_eq!((lines.len(), &lines[0]["level"]), (1, &"ERROR".into()));
    assert!(lines[0]["message"].as_str().is_some_and(|message| message.contains(&absent)));
    let lines = json(&["check", "-"], &http_config("url: ftp://x/\nevry: 60"));
    let messages: Vec<_> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    assert_eq!(messages.len(), 3, "there are two errors, and a line with their number: {messages:#?}");
    assert!(messages.iter().any(|message| message.contains("unknown key `evry`")), "{messages:#?}");
    assert!(messages.iter().all(|message| !message.contains('\u{1b}')), "{messages:#?}");
}

#[test]
fn an_invalid_format_is_a_usage_error() {
    let ended = run_command(sentrynet().args(["check", "-", "--log-format", "xml"]), "");
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("'xml'") && ended.stderr.contains("--log-format"), "{}", ended.stderr);
    let ended = run_command(sentrynet().env("SENTRYNET_LOG_FORMAT", "xml").args(["check", "-"]), "");
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("SENTRYNET_LOG_FORMAT is `xml`: give it `text` or `json`"), "{}", ended.stderr);
    // An empty variable counts as not set.
    let ended = run_command(
        sentrynet().env("SENTRYNET_LOG_FORMAT", "").args(["check", "-"]),
        &http_config("url: http://x.test/"),
    );
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

#[test]
fn secrets_that_json_escapes_are_redacted() {
    let secret = "qu\"ote\\and\nline\u{7f}ü";
    for format in ["text", "json"] {
        let mut program = sentrynet();
        program.env("SECRET", secret).env("SENTRYNET_LOG", "trace").env("SENTRYNET_LOG_FORMAT", format);
        // Without redaction, the value would be in the error, and in the log of the request.
        let keys = http_config("url: http://127.0.0.1:1/\nheaders: {x-key: '${env:SECRET}'}\nbody: '${env:SECRET}'");
        let ended = run_command(program.args(["once", "-"]), &keys);
        let escaped = Value::from(secret).to_string();
        for part in [secret, escaped.trim_matches('"'), "qu\\\"ote", "ote\\\\and"] {
            assert!(!ended.stderr.contains(part), "{part:?} in {}", ended.stderr);
        }
        if format == "json" {
            parse_objects(&ended.stderr);
        }
    }
}
