//! Runs that go by WASI's sockets and requests: all that came of them is on the tape, and when.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Recorded, SECRET, replay, test};
use crate::guests::{Guest, PASSES};
use crate::support::slow::{self, listen};
use crate::support::target::Target;
use crate::support::{folder, free_port, spans};
use crate::wasi::script::{self, with};
use crate::wasi::sockets::{connect, echo};

const ALLOW: &str = "title: t\nallow: {log: true, hosts: [127.0.0.1, localhost, nowhere.invalid]}\n";
const REQUEST: &str = "(call $receive (call $send (call $request LENGTH)))";

/// A component that does this, and passes.
fn guest(name: &str, script: &str) -> String {
    guest_with(name, script, "i32.const 0")
}

fn guest_with(name: &str, script: &str, end: &str) -> String {
    let run = format!("{script} {end}");
    let guest = Guest { imports: script::IMPORTS, define: script::DEFINE, run: run.leak(), ..PASSES };
    guest.write_with_wasi(&format!("recording-{name}"), "0.2.3").display().to_string()
}

fn recorded(name: &str, script: &str) -> Recorded {
    Recorded::new(name, &guest(name, script), ALLOW)
}

/// What the guest says in a run that it passes, and that a replay comes to again.
#[track_caller]
fn says(recorded: &Recorded) -> Vec<String> {
    said(&recorded.same(0))
}

fn said(run: &Value) -> Vec<String> {
    let lines = run["log"].as_array().expect("a run has a log").iter();
    lines.map(|line| line["message"].as_str().expect("a line is text").to_owned()).collect()
}

#[test]
fn requests_and_what_was_answered() {
    let answer = "200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nearl\n";
    let target = Target::answering(|_| answer.to_owned());
    let to = |port| with(&format!("127.0.0.1:{port}"), REQUEST);
    let answered = recorded("answered", &to(target.port));
    let torn = Target::answering(|_| "200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nshort".to_owned());
    let torn = recorded("torn", &to(torn.port));
    let refused = recorded("refused-request", &to(free_port()));
    let denied = recorded("denied-request", &with("127.0.0.2:80", REQUEST));
    assert_eq!(target.asked().len(), 2);
    assert_eq!(says(&answered), ["00", "earl\n", "01"]);
    assert_eq!(says(&torn), ["00", "short", "00"]);
    assert_eq!(says(&refused), ["06"]);
    let denied = says(&denied);
    assert!(denied[0].starts_with("`127.0.0.2:80`, a loopback address, is not allowed") && denied[1] == "15");
    let run = answered.same(0);
    for op in ["http.client", "http.client.connect", "http.client.receive"] {
        assert_eq!(spans(&run, op).len(), 1, "{run:#}");
    }
    assert_eq!(target.asked().len(), 2, "nobody was asked");
    let text = answered.read();
    for told in [r#""path":"/tea""#, r#""status":200"#, r#"["content-length",{"text":"5"}]"#, r#"{"text":"earl\n"}"#] {
        assert!(text.contains(told), "{told} in {text}");
    }
}

#[test]
fn requests_with_a_body_and_several_at_once() {
    let target = Target::answering(|asked| {
        let last = asked.last().expect("there is one");
        thread::sleep(Duration::from_millis(50));
        format!("200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}", last.body.len(), last.body)
    });
    let post = "(local $first i32) (local $request i32)
        (local.set $first (call $send (call $request LENGTH)))
        (drop (call $span (i32.const 256) (i32.const 5) (i32.const 512) (i32.const 6)))
        (local.set $request (call $send-body (call $request LENGTH)))
        (call $write-body (i32.const 512) (i32.const 6))
        (call $write-body (i32.const 512) (i32.const 3))
        (call $end-body)
        (call $receive (local.get $request)) (call $receive (local.get $first))";
    let (locals, post) = post.split_once('\n').expect("it has lines");
    let script = format!("{locals} {}", with(&format!("127.0.0.1:{}", target.port), post));
    let recorded = recorded("posts", &script);
    assert_eq!(says(&recorded), ["00", "teapottea", "01", "00", "01", "01"]);
    assert_eq!(spans(&recorded.same(0), "http.client").len(), 2);
    // What it would send now is not what it was answered to.
    let other = guest("posts-other", &script.replace("(i32.const 512) (i32.const 3)", "(i32.const 512) (i32.const 4)"));
    let replayed = replay(&other, &recorded.json_file, &["--format", "json"]);
    let departs = "recorded `wasi:io/streams.output-stream.blocking-write-and-flush {\\\"text\\\":\\\"tea\\\"}`, \
                   now `wasi:io/streams.output-stream.blocking-write-and-flush {\\\"text\\\":\\\"teap\\\"}`";
    assert!(replayed.code == 3 && replayed.stdout.contains(departs), "{}", replayed.stdout);
}

#[test]
fn an_answer_that_is_read_to_its_end() {
    // In two pieces, and then what comes after them.
    let reads = "(local $at i32)
        (local.set $at (call $send (call $request LENGTH)))
        (call $wait (call $answering (local.get $at)))
        (call $answer (local.get $at) (i32.const 1200))
        (call $consume (i32.load offset=24 (i32.const 1200)) (i32.const 1200))
        (local.set $at (i32.load offset=4 (i32.const 1200)))
        (call $incoming-stream (local.get $at) (i32.const 1200))
        (global.set $input (i32.load offset=4 (i32.const 1200)))
        (call $hear) (call $hear) (call $hear)
        (call $drop-input (global.get $input))
        (local.set $at (call $finish-incoming (local.get $at)))
        (call $wait (call $trailing (local.get $at)))
        (call $trailers (local.get $at) (i32.const 1200))
        (call $number (i32.load8_u (i32.const 1200)))
        (call $number (i32.load8_u offset=16 (i32.const 1200)))";
    let (local, reads) = reads.split_once('\n').expect("it has lines");
    let port = slow::answer(Duration::ZERO, Duration::from_millis(200));
    let recorded = recorded("to-its-end", &format!("{local} {}", with(&format!("127.0.0.1:{port}"), reads)));
    // The two letters, that there are no more, and that what there is after them is known, and well.
    assert_eq!(says(&recorded), ["o", "k", "01", "01", "00"]);
}

#[test]
fn a_failure_has_its_evidence_again_and_each_attempt_its_own() {
    let target = Target::answering(|_| "503 No\r\ncontent-length: 4\r\nconnection: close\r\n\r\nwait".to_owned());
    let asks = with(&format!("127.0.0.1:{}", target.port), REQUEST);
    let probe = guest_with("fails-twice", &asks, "i32.const 128");
    let recorded = Recorded::new("fails-twice", &probe, &format!("{ALLOW}retries: 1\nretry_delay: 0.01"));
    assert_eq!(target.asked().len(), 4);
    let run = recorded.same(1);
    assert_eq!((&run["attempts"], said(&run).len()), (&2.into(), 6), "{run:#}");
    assert_eq!(run["failure"]["evidence"]["http"]["response"]["status"], 503);
}

#[test]
fn what_stopped_a_run_stops_it_again() {
    let port = echo();
    let mut runs = Vec::new();
    for (name, script, limits, reason) in [
        ("floods", "(loop (call $talk) (br 0))", "received: 1 KiB", "received"),
        ("sleeps", "(call $pause (i64.const 60000000000))", "deadline: 0.3", "deadline"),
        ("traps", "(call $talk) (call $drop-socket (global.get $socket))", "deadline: 5", "trap"),
    ] {
        let probe = guest(name, &connect(port, script));
        let recorded = Recorded::new(name, &probe, &format!("{ALLOW}limits: {{{limits}}}"));
        let run = recorded.same(3);
        assert_eq!(run["failure"]["reason"], reason, "{run:#}");
        runs.push(run);
    }
    assert_eq!(runs.len(), 3);
}

#[test]
fn connections_and_names() {
    let port = echo();
    let by_name = |name, port| with(name, &format!("(call $call-by-name LENGTH (i32.const {port}))"));
    let talks = recorded("talks", &connect(port, "(call $talk) (call $talk)"));
    let found = recorded("found", &by_name("localhost", port));
    let lost = recorded("lost", &by_name("nowhere.invalid", port));
    let refused = recorded("refused", &connect(free_port(), ""));
    assert_eq!(says(&talks), ["teapot", "teapot"]);
    assert_eq!(says(&found), ["ok", "teapot"]);
    assert_eq!(says(&lost), ["ok", "18"]);
    assert_eq!(says(&refused), ["14"]);
    let run = talks.same(0);
    let tcp = &spans(&run, "tcp")[0]["data"];
    assert_eq!((&tcp["tcp.sent.size"], &tcp["tcp.received.size"]), (&12.into(), &12.into()), "{run:#}");
    assert_eq!(spans(&found.same(0), "dns")[0]["data"]["dns.answers"], "127.0.0.1");
    assert_eq!(spans(&lost.same(0), "dns")[0]["data"]["error.type"], "dns");
}

#[test]
fn what_was_waited_for_is_not_waited_for_again() {
    // A piece now and then, for one who looks at a timer too.
    let port = listen(|mut connection| {
        for piece in ["one", "two", "three", "four", "five"] {
            let _ = connection.write_all(piece.as_bytes());
            thread::sleep(Duration::from_millis(if piece == "one" { 1700 } else { 60 }));
        }
    });
    let hears = "(i32.store (i32.const 1500) (call $hearing (global.get $input)))
        (loop $again
          (i32.store (i32.const 1504) (call $timer (i64.const 45000000)))
          (call $number (call $ready (i32.load (i32.const 1504))))
          (call $poll (i32.const 1500) (i32.const 2) (i32.const 1200))
          (call $number (i32.load (i32.load (i32.const 1200))))
          (call $drop-pollable (i32.load (i32.const 1504)))
          (call $read-some (global.get $input) (i64.const 100) (i32.const 1200))
          (if (i32.eqz (i32.load8_u (i32.const 1200))) (then
            (call $say (i32.load offset=4 (i32.const 1200)) (i32.load offset=8 (i32.const 1200)))
            (br $again))))
        (call $drop-pollable (i32.load (i32.const 1500)))";
    let recorded = recorded("waits-long", &connect(port, &format!("(call $pause (i64.const 1500000000)) {hears}")));
    let started = Instant::now();
    let said = says(&recorded);
    assert!(started.elapsed() < Duration::from_secs(3), "two replays took {:?}", started.elapsed());
    let all: String = said.iter().filter(|line| !["00", "01"].contains(&line.as_str())).cloned().collect();
    assert_eq!(all, "onetwothreefourfive");
    assert!(said.iter().filter(|line| *line == "01").count() >= 3, "the timer was first now and then: {said:?}");
    let lasted = recorded.same(0)["duration_ms"].as_f64().expect("a duration is a number");
    assert!(lasted > 1700.0, "the time is the recorded run's: {lasted} ms");
}

/// Hands its settings on, seven bytes at a time, and hears them again, five at a time; how many it says.
const PASSES_ON: &str = "
    (loop $write
      (call $write (global.get $output) (i32.add (local.get 0) (local.get $at))
        (select (i32.const 7) (i32.sub (local.get 1) (local.get $at))
          (i32.gt_u (i32.sub (local.get 1) (local.get $at)) (i32.const 7))) (i32.const 1200))
      (local.set $at (i32.add (local.get $at) (i32.const 7)))
      (br_if $write (i32.lt_u (local.get $at) (local.get 1))))
    (loop $read
      (call $read (global.get $input) (i64.const 5) (i32.const 1200))
      (local.set $heard (i32.add (local.get $heard) (i32.load offset=8 (i32.const 1200))))
      (br_if $read (i32.lt_u (local.get $heard) (local.get 1))))
    (call $number (local.get $heard))";

#[test]
fn no_secret_is_left_where_it_went_in_pieces() {
    let script = format!("(local $at i32) (local $heard i32) {}", connect(echo(), PASSES_ON));
    let probe = guest("in-pieces", &script);
    let settings = format!("{ALLOW}key: '${{env:KEY}}'\n");
    let recorded = Recorded::new("in-pieces", &probe, &settings);
    let length = format!(r#"{{"key":"{SECRET}"}}"#).len();
    assert_eq!(says(&recorded), [length.to_string()]);
    let text = recorded.read();
    for piece in [SECRET, "hunter", "nter2", "r2-hu", "-hunt"] {
        assert!(!text.contains(piece), "{piece} in {text}");
    }
    // Who counts the bytes of a secret comes to as many, and who has it may have it.
    assert!(text.contains(r#""settings":{"key":"[Filtered]_____"}"#), "{text}");
    let file = recorded.json_file.display().to_string();
    let again = test(&probe, &settings, &["--format", "json", "--replay", &file]);
    assert_eq!((again.stdout, again.code), (recorded.json.stdout.clone(), 0), "{}", again.stderr);
    let mistaken = test(&probe, "key: 5\nevry: 3\nlimits: 5", &["--replay", &file]);
    assert!(mistaken.code == 2 && mistaken.stderr.contains("<stdin>:3:"), "{}", mistaken.stderr);
}

#[test]
fn of_two_connections_each_is_itself() {
    let (first, second) = (connect(echo(), ""), connect(echo(), ""));
    let script = |which: &str| {
        let script = format!(
            "{first} (local.set $first (global.get $output)) {second}
             (call $write ({which}) (i32.const 512) (i32.const 6) (i32.const 1200))"
        );
        format!("(local $first i32) {}", script.replace("(call $hang-up)", ""))
    };
    let recorded = recorded("two", &script("global.get $output"));
    recorded.same(0);
    let other = guest("two-other", &script("local.get $first"));
    let replayed = replay(&other, &recorded.json_file, &["--format", "json"]);
    let departs = r#"blocking-write-and-flush {\"text\":\"teapot\"}` of another handle; record anew"#;
    assert!(replayed.code == 3 && replayed.stdout.contains(departs), "{}", replayed.stdout);
}

#[test]
fn what_is_damaged_says_so() {
    let recorded = recorded("damaged-wasi", &connect(echo(), "(call $talk)"));
    let text = recorded.read();
    let ends = |from: &str, to: &str, said: &str| {
        assert!(text.contains(from), "{from} in {text}");
        let file = folder("recording-damaged-wasi-edited").join("run.jsonl");
        std::fs::write(&file, text.replace(from, to)).expect("the folder is writable");
        let ended = replay(&recorded.probe, &file, &["--format", "json"]);
        let all = format!("{}{}", ended.stdout, ended.stderr);
        assert!(ended.code == 3 && all.contains(said), "{said} in {all}");
    };
    ends(
        r#"{"ok":{"text":"teapot"}}"#,
        r#"{"ok":{"test":"teapot"}}"#,
        "the recording is damaged: `wasi:io/streams.input-stream",
    );
    ends(r#"{"ok":{"text":"teapot"}}"#, r#"{"err":"shut"}"#, "the recording is damaged: `wasi:io/streams.input-stream");
    ends(
        r#""remote-address":"127"#,
        r#""remote-address":"128"#,
        "recorded `wasi:sockets/tcp.tcp-socket.start-connect 128.0.0.1:",
    );
    ends(
        r#""call":"wasi:io/poll.pollable.block""#,
        r#""call":"wasi:io/poll.pollable.ready""#,
        ", now `wasi:io/poll.pollable.block`",
    );
}
