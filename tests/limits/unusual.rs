//! Guests that do what no toolchain's code does: with the greatest numbers, the same handle very often, other spellings
//! of addresses, requests that they give up, and texts in recordings.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;

use serde_json::Value;

use super::hostile::run_until_hostile_end;
use crate::guests::{Guest, PASSES};
use crate::support::running::RunningProgram;
use crate::support::target::Target;
use crate::support::{empty_folder, eventually, run_command, run_once, sentrynet};
use crate::wasi::script::{self, script_with_text};
use crate::wasi::sockets::{connect_script, start_echo_server};

/// Functions beyond those of [`script::IMPORTS`].
const IMPORTS: &str = r#"
  (import "wasi:io/streams@0.2.0" "[method]input-stream.skip" (func $skip (param i32 i64 i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.write-zeroes" (func $write-zeroes (param i32 i64 i32)))
  (import "wasi:sockets/tcp@0.2.0" "[method]tcp-socket.set-keep-alive-idle-time" (func $set-idle (param i32 i64 i32)))
  (import "wasi:sockets/tcp@0.2.0" "[method]tcp-socket.set-receive-buffer-size" (func $set-buffer (param i32 i64 i32)))
"#;

/// Writes a guest that runs this script and passes. Returns its path.
fn write_guest(name: &str, run: &str) -> String {
    let imports = format!("{}{IMPORTS}", script::IMPORTS);
    let run = format!("{run} i32.const 0");
    let guest = Guest { imports: imports.leak(), define: script::DEFINE, run: run.leak(), ..PASSES };
    guest.write_with_wasi(name, "0.2.3").display().to_string()
}

#[track_caller]
fn run_guest(name: &str, run: &str, keys: &str) -> Value {
    let probe = format!("groups: [{{probes: [{{probe: '{}', title: t, {keys}}}]}}]", write_guest(name, run));
    run_once(&probe).1.swap_remove(0)
}

#[test]
fn the_greatest_numbers_stop_no_one_but_the_guest() {
    let port = start_echo_server();
    let allow = format!("allow: {{log: true, hosts: ['127.0.0.1:{port}']}}");
    let harmless = connect_script(
        port,
        "(call $drop-pollable (call $timer (i64.const -1)))
         (call $log-number (call $ready (call $timer (i64.const -1))))
         (call $set-idle (global.get $socket) (i64.const -1) (i32.const 1200))
         (call $set-buffer (global.get $socket) (i64.const -1) (i32.const 1200))
         (call $set-hop-limit (global.get $socket) (i32.const 255) (i32.const 1200))
         (call $read-some (global.get $input) (i64.const -1) (i32.const 1200))
         (call $skip (global.get $input) (i64.const -1) (i32.const 1200))
         (drop (call $set-first-byte (call $options) (i32.const 1) (i64.const -1)))
         (call $write-and-read)",
    );
    let run = run_guest("greatest-numbers", &harmless, &allow);
    assert_eq!(run["outcome"], "passed", "{run:#}");
    let zeroes = "(call $write-zeroes (global.get $output) (i64.const -1) (i32.const 1200))";
    let run = run_guest("greatest-zeroes", &connect_script(port, zeroes), &allow);
    assert_eq!((&run["outcome"], &run["failure"]["reason"]), (&"broken".into(), &"trap".into()), "{run:#}");
}

#[test]
fn polling_one_handle_very_often_reaches_limits_of_the_guest() {
    /// Far more than the guest and the host need within the limits, and less than without them.
    const MAX_PEAK_MIB: u64 = 700;
    let polls = |count: u32| {
        format!(
            "(local $handle i32) (local $n i32)
             (drop (memory.grow (i32.const 200)))
             (local.set $handle (call $timer (i64.const 0)))
             (loop
               (i32.store (i32.add (i32.const 131072) (i32.mul (local.get $n) (i32.const 4))) (local.get $handle))
               (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {count}))))
             (loop
               (global.set $free (i32.const 8000000))
               (call $poll (i32.const 131072) (i32.const {count}) (i32.const 1200))
               br 0)"
        )
    };
    let mut text = "limits: {cpu: 1, deadline: 300}\ngroups:\n  - probes:\n".to_owned();
    let guests = [write_guest("polls-often", &polls(1_900)), write_guest("polls-very-often", &polls(1_500_000))];
    for index in 0..8 {
        let _ = writeln!(text, "      - {{probe: '{}', title: polls {index}, every: 3600}}", guests[index % 2]);
    }
    let good = PASSES.write("beside-polls");
    let _ = writeln!(text, "      - {{probe: '{}', title: good, every: 0.05}}", good.display());
    let (runs, peak) = run_until_hostile_end("polls", &text, 8);
    assert!(peak < MAX_PEAK_MIB << 10, "the peak is {} MiB", peak >> 10);
    for run in &runs {
        let reason = run["failure"]["reason"].as_str().unwrap_or_default();
        match run["title"].as_str() {
            Some("good") => assert_eq!(run["outcome"], "passed", "{run:#}"),
            _ => assert!(run["outcome"] == "broken" && ["cpu", "handles"].contains(&reason), "{run:#}"),
        }
    }
}

#[test]
fn no_spelling_of_an_address_of_this_machine_is_public() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let port = listener.local_addr().map(|address: SocketAddr| address.port()).expect("a listener has an address");
    listener.set_nonblocking(true).expect("the listener is open");
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "127\u{3002}0\u{3002}0\u{3002}1",
        "\u{ff11}27.0.0.1",
        "0.0.0.0",
        "0",
        "localhost",
        "LocalHost.",
        "\u{ff4c}ocalhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
    ];
    let component = format!("{}/../probes-wasm/built/http.wasm", env!("CARGO_MANIFEST_DIR"));
    let guest = |host: &str| {
        let script = script_with_text(&format!("{host}:{port}"), "(call $receive (call $send (call $request LENGTH)))");
        let by_name = script_with_text(host, &format!("(call $call-by-name LENGTH (i32.const {port}))"));
        format!("{script} {by_name}")
    };
    let mut text = "groups:\n  - probes:\n".to_owned();
    for (index, host) in hosts.iter().enumerate() {
        let keys = "timeout: 5, allow: {hosts: ['*'], log: true}";
        let _ =
            writeln!(text, "      - {{probe: '{component}', title: h{index}, url: 'http://{host}:{port}/', {keys}}}");
        let guest = write_guest(&format!("spelling-{index}"), &guest(host));
        let keys = "allow: {hosts: ['*'], log: true}, limits: {deadline: 60}";
        let _ = writeln!(text, "      - {{probe: '{guest}', title: w{index}, {keys}}}");
    }
    let (_, runs) = run_once(&text);
    assert_eq!(runs.len(), 2 * hosts.len());
    assert!(listener.accept().is_err(), "a probe has connected");
    for run in runs.iter().filter(|run| run["title"].as_str().is_some_and(|title| title.starts_with('h'))) {
        assert_ne!(run["outcome"], "passed", "{run:#}");
    }
}

#[test]
fn requests_that_a_guest_gives_up_leave_no_files_and_no_threads() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let port = listener.local_addr().expect("a listener has an address").port();
    // The kernel accepts connections, and nothing is ever answered.
    let begin = script_with_text(
        &format!("127.0.0.1:{port}"),
        "(loop
           (drop (call $send (call $request LENGTH)))
           (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 8))))
         (call $pause (i64.const 20000000))",
    );
    let guest = write_guest("gives-up", &format!("(local $n i32) {begin}"));
    let keys = format!("every: 0.05, allow: {{hosts: ['127.0.0.1:{port}']}}");
    let text = format!("groups:\n  - probes:\n      - {{probe: '{guest}', title: gives up, {keys}}}\n");
    let folder = empty_folder("gives-up");
    let (file, out) = (folder.join("probes.yaml"), folder.join("runs"));
    std::fs::write(&file, text).expect("the folder is writable");
    let stdout = std::fs::File::create(&out).expect("the folder is writable");
    let mut program = sentrynet();
    program.arg("run").arg(&file).args(["--format", "json"]).stdout(stdout).stderr(Stdio::null());
    let running = RunningProgram::spawn(&mut program);
    let open = |what: &str| std::fs::read_dir(format!("/proc/{}/{what}", running.id())).map_or(0, Iterator::count);
    let after = |runs: usize| {
        eventually("runs", || {
            let text = std::fs::read_to_string(&out).expect("the file was created above");
            (text.lines().count() >= runs).then_some(())
        });
        // At most one run is in progress, with eight connections.
        eventually("the end of given up requests", || (open("fd") < 60).then_some(()));
        open("task")
    };
    let threads = after(10);
    assert!(after(50) <= threads + 5, "threads are left");
}

#[test]
fn texts_of_a_recording_are_escaped_where_they_are_shown() {
    const HOSTILE: &str = "\u{1b}[31mred\u{202e}\u{7}\r\nnext";
    let target = Target::new();
    let folder = empty_folder("hostile-recording");
    let file = folder.join("run.jsonl");
    let settings = format!("url: http://127.0.0.1:{}/\ntitle: TITLE\nheaders: {{x-marker: MARKER}}", target.port);
    let record = file.display().to_string();
    let recorded = run_command(sentrynet().args(["test", "http", "--settings", "-", "--record", &record]), &settings);
    assert_eq!(recorded.code, 0, "{}", recorded.stderr);
    let text = std::fs::read_to_string(&file).expect("the recording was written");
    let escaped = serde_json::to_string(HOSTILE).expect("a text is JSON");
    let escaped = escaped.trim_matches('"');
    let words = ["TITLE", "MARKER", "http.client", "Connect to", "probes.http", "server.address", "200", "http"];
    for word in words {
        assert!(text.contains(word), "{word} is not in {text}");
        let edited = text.replace(word, escaped);
        let mut hostile = std::fs::File::create(folder.join("hostile.jsonl")).expect("the folder is writable");
        hostile.write_all(edited.as_bytes()).expect("the folder is writable");
        for format in ["text", "json"] {
            let replay = folder.join("hostile.jsonl");
            let mut program = sentrynet();
            program.args(["test", "http", "--format", format, "--replay"]).arg(replay);
            let ended = run_command(&mut program, "");
            assert!([0, 1, 2, 3].contains(&ended.code), "{word}: {}", ended.code);
            let shown = format!("{}{}", ended.stdout, ended.stderr);
            let is_hostile = |char: char| (char.is_control() && char != '\n') || char == '\u{202e}';
            assert!(!shown.contains(is_hostile), "{word}, {format}: {shown:?}");
            assert!(!shown.contains("panicked"), "{word}: {shown}");
        }
    }
}
