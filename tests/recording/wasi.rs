//! Recorded runs that use WASI's sockets and requests, with their results and their times.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Recorded, SECRET, replay, run_test};
use crate::guests::{Guest, PASSES};
use crate::support::target::Target;
use crate::support::tcp_server::{self, listen};
use crate::support::{empty_folder, free_port, spans};
use crate::wasi::script::{self, script_with_text};
use crate::wasi::sockets::{connect_script, start_echo_server};

const ALLOW: &str = "title: t\nallow: {log: true, hosts: [127.0.0.1, localhost, nowhere.invalid]}\n";
const REQUEST: &str = "(call $receive (call $send (call $request LENGTH)))";

/// Writes a component that runs this script and passes. Returns its path.
fn write_guest(name: &str, script: &str) -> String {
    write_guest_with_end(name, script, "i32.const 0")
}

fn write_guest_with_end(name: &str, script: &str, end: &str) -> String {
    let run = format!("{script} {end}");
    let guest = Guest { imports: script::IMPORTS, define: script::DEFINE, run: run.leak(), ..PASSES };
    guest.write_with_wasi(&format!("recording-{name}"), "0.2.3").display().to_string()
}

fn record_guest(name: &str, script: &str) -> Recorded {
    Recorded::record(name, &write_guest(name, script), ALLOW)
}

/// Asserts that the run passes, and that its replay prints the same. Returns the lines of the guest's log.
#[track_caller]
fn log_of_replayed_run(recorded: &Recorded) -> Vec<String> {
    log_lines(&recorded.assert_replay_is_same(0))
}

fn log_lines(run: &Value) -> Vec<String> {
    let lines = run["log"].as_array().expect("a run has a log").iter();
    lines.map(|line| line["message"].as_str().expect("a line is text").to_owned()).collect()
}

#[test]
fn requests_replay_without_the_target() {
    let response = "200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nearl\n";
    let target = Target::responding(|_| response.to_owned());
    let to = |port| script_with_text(&format!("127.0.0.1:{port}"), REQUEST);
    let passed = record_guest("answered", &to(target.port));
    let torn = Target::responding(|_| "200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nshort".to_owned());
    let torn = record_guest("torn", &to(torn.port));
    let refused = record_guest("refused-request", &to(free_port()));
    let denied = record_guest("denied-request", &script_with_text("127.0.0.2:80", REQUEST));
    assert_eq!(target.requests().len(), 2);
    assert_eq!(log_of_replayed_run(&passed), ["00", "earl\n", "01"]);
    assert_eq!(log_of_replayed_run(&torn), ["00", "short", "00"]);
    assert_eq!(log_of_replayed_run(&refused), ["06"]);
    let denied = log_of_replayed_run(&denied);
    assert!(denied[0].starts_with("`127.0.0.2:80`, a loopback address, is not allowed") && denied[1] == "15");
    let run = passed.assert_replay_is_same(0);
    for op in ["http.client", "http.client.connect", "http.client.receive"] {
        assert_eq!(spans(&run, op).len(), 1, "{run:#}");
    }
    assert_eq!(target.requests().len(), 2, "a replay sends no request");
    let text = passed.read();
    for part in [r#""path":"/tea""#, r#""status":200"#, r#"["content-length",{"text":"5"}]"#, r#"{"text":"earl\n"}"#] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn requests_with_bodies_and_concurrent_requests_replay() {
    let target = Target::responding(|requests| {
        let last = requests.last().expect("there is a request");
        thread::sleep(Duration::from_millis(50));
        format!("200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}", last.body.len(), last.body)
    });
    let post = "(local $first i32) (local $request i32)
        (drop (call $span (i32.const 256) (i32.const 5) (i32.const 512) (i32.const 6)))
        (local.set $first (call $send (call $request LENGTH)))
        (local.set $request (call $send-body (call $request LENGTH)))
        (call $write-body (i32.const 512) (i32.const 6))
        (call $write-body (i32.const 512) (i32.const 3))
        (call $end-body)
        (call $receive (local.get $request)) (call $receive (local.get $first))";
    let (locals, post) = post.split_once('\n').expect("the script has several lines");
    let script = format!("{locals} {}", script_with_text(&format!("127.0.0.1:{}", target.port), post));
    let recorded = record_guest("posts", &script);
    assert_eq!(log_of_replayed_run(&recorded), ["00", "teapottea", "01", "00", "01", "01"]);
    assert_eq!(spans(&recorded.assert_replay_is_same(0), "http.client").len(), 2);
    // In this replay, the guest sends other bytes.
    let other =
        write_guest("posts-other", &script.replace("(i32.const 512) (i32.const 3)", "(i32.const 512) (i32.const 4)"));
    let replayed = replay(&other, &recorded.json_file, &["--format", "json"]);
    let diverges = "recorded `wasi:io/streams.output-stream.blocking-write-and-flush {\\\"text\\\":\\\"tea\\\"}`, \
                   now `wasi:io/streams.output-stream.blocking-write-and-flush {\\\"text\\\":\\\"teap\\\"}`";
    assert!(replayed.code == 3 && replayed.stdout.contains(diverges), "{}", replayed.stdout);
}

#[test]
fn a_response_with_end_and_trailers_replays() {
    // Reads a body that arrives in two pieces, its end, and its trailers.
    let reads = "(local $at i32)
        (local.set $at (call $send (call $request LENGTH)))
        (call $wait (call $subscribe-response (local.get $at)))
        (call $get-response (local.get $at) (i32.const 1200))
        (call $consume (i32.load offset=24 (i32.const 1200)) (i32.const 1200))
        (local.set $at (i32.load offset=4 (i32.const 1200)))
        (call $incoming-stream (local.get $at) (i32.const 1200))
        (global.set $input (i32.load offset=4 (i32.const 1200)))
        (call $read-and-log) (call $read-and-log) (call $read-and-log)
        (call $drop-input (global.get $input))
        (local.set $at (call $finish-incoming (local.get $at)))
        (call $wait (call $subscribe-trailers (local.get $at)))
        (call $get-trailers (local.get $at) (i32.const 1200))
        (call $log-number (i32.load8_u (i32.const 1200)))
        (call $log-number (i32.load8_u offset=16 (i32.const 1200)))";
    let (local, reads) = reads.split_once('\n').expect("the script has several lines");
    let port = tcp_server::respond_slowly(Duration::ZERO, Duration::from_millis(200));
    let recorded =
        record_guest("to-its-end", &format!("{local} {}", script_with_text(&format!("127.0.0.1:{port}"), reads)));
    // The two letters, the end of the stream, and `ok` without trailers.
    assert_eq!(log_of_replayed_run(&recorded), ["o", "k", "01", "01", "00"]);
}

#[test]
fn evidence_and_attempts_replay() {
    let target = Target::responding(|_| "503 No\r\ncontent-length: 4\r\nconnection: close\r\n\r\nwait".to_owned());
    let asks = script_with_text(&format!("127.0.0.1:{}", target.port), REQUEST);
    let probe = write_guest_with_end("fails-twice", &asks, "i32.const 128");
    let recorded = Recorded::record("fails-twice", &probe, &format!("{ALLOW}retries: 1\nretry_delay: 0.01"));
    assert_eq!(target.requests().len(), 4);
    let run = recorded.assert_replay_is_same(1);
    assert_eq!((&run["attempts"], log_lines(&run).len()), (&2.into(), 6), "{run:#}");
    assert_eq!(run["failure"]["evidence"]["http"]["response"]["status"], 503);
}

#[test]
fn limits_deadlines_and_traps_replay() {
    let port = start_echo_server();
    let mut runs = Vec::new();
    for (name, script, limits, reason) in [
        ("floods", "(loop (call $write-and-read) (br 0))", "received: 1 KiB", "received"),
        ("sleeps", "(call $pause (i64.const 60000000000))", "deadline: 0.3", "deadline"),
        ("traps", "(call $write-and-read) (call $drop-socket (global.get $socket))", "deadline: 5", "trap"),
    ] {
        let probe = write_guest(name, &connect_script(port, script));
        let recorded = Recorded::record(name, &probe, &format!("{ALLOW}limits: {{{limits}}}"));
        let run = recorded.assert_replay_is_same(3);
        assert_eq!(run["failure"]["reason"], reason, "{run:#}");
        runs.push(run);
    }
    assert_eq!(runs.len(), 3);
}

#[test]
fn connections_and_lookups_replay() {
    let port = start_echo_server();
    let by_name = |name, port| script_with_text(name, &format!("(call $call-by-name LENGTH (i32.const {port}))"));
    let talks = record_guest("talks", &connect_script(port, "(call $write-and-read) (call $write-and-read)"));
    let found = record_guest("found", &by_name("localhost", port));
    let lost = record_guest("lost", &by_name("nowhere.invalid", port));
    let refused = record_guest("refused", &connect_script(free_port(), ""));
    assert_eq!(log_of_replayed_run(&talks), ["teapot", "teapot"]);
    assert_eq!(log_of_replayed_run(&found), ["ok", "teapot"]);
    assert_eq!(log_of_replayed_run(&lost), ["ok", "18"]);
    assert_eq!(log_of_replayed_run(&refused), ["14"]);
    let run = talks.assert_replay_is_same(0);
    let tcp = &spans(&run, "tcp")[0]["data"];
    assert_eq!((&tcp["tcp.sent.size"], &tcp["tcp.received.size"]), (&12.into(), &12.into()), "{run:#}");
    assert_eq!(spans(&found.assert_replay_is_same(0), "dns")[0]["data"]["dns.answers"], "127.0.0.1");
    assert_eq!(spans(&lost.assert_replay_is_same(0), "dns")[0]["data"]["error.type"], "dns");
}

#[test]
fn a_replay_does_not_wait_for_recorded_delays() {
    // The server pauses between the pieces that it sends, and the guest polls a timer as well.
    let port = listen(|mut connection| {
        for piece in ["one", "two", "three", "four", "five"] {
            let _ = connection.write_all(piece.as_bytes());
            thread::sleep(Duration::from_millis(if piece == "one" { 1700 } else { 60 }));
        }
    });
    let hears = "(i32.store (i32.const 1500) (call $subscribe-input (global.get $input)))
        (loop $again
          (i32.store (i32.const 1504) (call $timer (i64.const 45000000)))
          (call $log-number (call $ready (i32.load (i32.const 1504))))
          (call $poll (i32.const 1500) (i32.const 2) (i32.const 1200))
          (call $log-number (i32.load (i32.load (i32.const 1200))))
          (call $drop-pollable (i32.load (i32.const 1504)))
          (call $read-some (global.get $input) (i64.const 100) (i32.const 1200))
          (if (i32.eqz (i32.load8_u (i32.const 1200))) (then
            (call $log-text (i32.load offset=4 (i32.const 1200)) (i32.load offset=8 (i32.const 1200)))
            (br $again))))
        (call $drop-pollable (i32.load (i32.const 1500)))";
    let recorded =
        record_guest("waits-long", &connect_script(port, &format!("(call $pause (i64.const 1500000000)) {hears}")));
    let started = Instant::now();
    let log = log_of_replayed_run(&recorded);
    assert!(started.elapsed() < Duration::from_secs(3), "two replays took {:?}", started.elapsed());
    let all: String = log.iter().filter(|line| !["00", "01"].contains(&line.as_str())).cloned().collect();
    assert_eq!(all, "onetwothreefourfive");
    assert!(
        log.iter().filter(|line| *line == "01").count() >= 3,
        "the timer was ready before the input fewer than three times: {log:?}"
    );
    let lasted = recorded.assert_replay_is_same(0)["duration_ms"].as_f64().expect("a duration is a number");
    assert!(lasted > 1700.0, "the duration is not that of the recorded run: {lasted} ms");
}

/// The code of a guest that sends its settings in pieces of seven bytes, receives them in pieces of five, and logs the
/// number of bytes received.
const ECHO_SETTINGS: &str = "
    (loop $write
      (call $write (global.get $output) (i32.add (local.get 0) (local.get $at))
        (select (i32.const 7) (i32.sub (local.get 1) (local.get $at))
          (i32.gt_u (i32.sub (local.get 1) (local.get $at)) (i32.const 7))) (i32.const 1200))
      (local.set $at (i32.add (local.get $at) (i32.const 7)))
      (br_if $write (i32.lt_u (local.get $at) (local.get 1))))
    (loop $read
      (call $read (global.get $input) (i64.const 5) (i32.const 1200))
      (local.set $received (i32.add (local.get $received) (i32.load offset=8 (i32.const 1200))))
      (br_if $read (i32.lt_u (local.get $received) (local.get 1))))
    (call $log-number (local.get $received))";

#[test]
fn no_secret_is_recorded_that_is_sent_in_pieces() {
    let script =
        format!("(local $at i32) (local $received i32) {}", connect_script(start_echo_server(), ECHO_SETTINGS));
    let probe = write_guest("in-pieces", &script);
    let settings = format!("{ALLOW}key: '${{env:KEY}}'\n");
    let recorded = Recorded::record("in-pieces", &probe, &settings);
    let length = format!(r#"{{"key":"{SECRET}"}}"#).len();
    assert_eq!(log_of_replayed_run(&recorded), [length.to_string()]);
    let text = recorded.read();
    for piece in [SECRET, "hunter", "nter2", "r2-hu", "-hunt"] {
        assert!(!text.contains(piece), "{piece} in {text}");
    }
    // A redacted secret keeps its length, and a replay that is given the secret passes it to the guest.
    assert!(text.contains(r#""settings":{"key":"[Filtered]_____"}"#), "{text}");
    let file = recorded.json_file.display().to_string();
    let again = run_test(&probe, &settings, &["--format", "json", "--replay", &file]);
    assert_eq!((again.stdout, again.code), (recorded.json.stdout.clone(), 0), "{}", again.stderr);
    let mistaken = run_test(&probe, "key: 5\nevry: 3\nlimits: 5", &["--replay", &file]);
    assert!(mistaken.code == 2 && mistaken.stderr.contains("<stdin>:3:"), "{}", mistaken.stderr);
}

#[test]
fn a_replay_distinguishes_two_connections() {
    let (first, second) = (connect_script(start_echo_server(), ""), connect_script(start_echo_server(), ""));
    let script = |which: &str| {
        let script = format!(
            "{first} (local.set $first (global.get $output)) {second}
             (call $write ({which}) (i32.const 512) (i32.const 6) (i32.const 1200))"
        );
        format!("(local $first i32) {}", script.replace("(call $close-connection)", ""))
    };
    let recorded = record_guest("two", &script("global.get $output"));
    recorded.assert_replay_is_same(0);
    let other = write_guest("two-other", &script("local.get $first"));
    let replayed = replay(&other, &recorded.json_file, &["--format", "json"]);
    let diverges =
        r#"blocking-write-and-flush {\"text\":\"teapot\"}` of another handle; if that is intended, record it anew"#;
    assert!(replayed.code == 3 && replayed.stdout.contains(diverges), "{}", replayed.stdout);
}

#[test]
fn a_damaged_recording_is_reported() {
    let recorded = record_guest("damaged-wasi", &connect_script(start_echo_server(), "(call $write-and-read)"));
    let text = recorded.read();
    let assert_replay_ends = |from: &str, to: &str, message: &str| {
        assert!(text.contains(from), "{from} in {text}");
        let file = empty_folder("recording-damaged-wasi-edited").join("run.jsonl");
        std::fs::write(&file, text.replace(from, to)).expect("the folder is writable");
        let ended = replay(&recorded.probe, &file, &["--format", "json"]);
        let all = format!("{}{}", ended.stdout, ended.stderr);
        assert!(ended.code == 3 && all.contains(message), "{message} in {all}");
    };
    assert_replay_ends(
        r#"{"ok":{"text":"teapot"}}"#,
        r#"{"ok":{"test":"teapot"}}"#,
        "the recording is damaged: the result of `wasi:io/streams.input-stream",
    );
    assert_replay_ends(
        r#"{"ok":{"text":"teapot"}}"#,
        r#"{"err":"shut"}"#,
        "the recording is damaged: the result of `wasi:io/streams.input-stream",
    );
    assert_replay_ends(
        r#""remote-address":"127"#,
        r#""remote-address":"128"#,
        "recorded `wasi:sockets/tcp.tcp-socket.start-connect 128.0.0.1:",
    );
    assert_replay_ends(
        r#""call":"wasi:io/poll.pollable.block""#,
        r#""call":"wasi:io/poll.pollable.ready""#,
        ", now `wasi:io/poll.pollable.block`",
    );
}
