//! Recorded runs, and replays without the target: the output of a replay equals the recorded one byte for byte.

mod damaged;
mod secrets;
mod settings;
mod several;
mod wasi;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::guests::{Guest, PASSES, write_random_and_clock};
use crate::support::nginx::Nginx;
use crate::support::sshd::Sshd;
use crate::support::target::{Request, Target};
use crate::support::{CommandOutput, empty_folder, http_config, run_command, sentrynet};

const LOG: &str = r#"(import "sentrynet:probe/log@0.1.0" "write" (func $write (param i32 i32 i32)))
    (import "sentrynet:probe/span@0.1.0" "[constructor]span" (func $span (param i32 i32 i32 i32) (result i32)))
    (import "sentrynet:probe/span@0.1.0" "[resource-drop]span" (func $drop (param i32)))"#;
/// A guest with a function `$write-log` that opens a span and writes a log line in it.
const LOGGING_GUEST: Guest = Guest {
    imports: LOG,
    define: "(func $write-log
        (drop (call $span (i32.const 512) (i32.const 6) (i32.const 518) (i32.const 14)))
        (call $write (i32.const 1) (i32.const 532) (i32.const 6)))",
    ..PASSES
};

/// Runs `sentrynet test` with a component and settings.
fn run_test(probe: &str, settings: &str, more: &[&str]) -> CommandOutput {
    run_command(sentrynet().env("KEY", SECRET).args(["test", probe, "--settings", "-"]).args(more), settings)
}

fn replay(probe: &str, recording: &Path, more: &[&str]) -> CommandOutput {
    run_command(sentrynet().args(["test", probe, "--replay"]).arg(recording).args(more), "")
}

const SECRET: &str = "hunter2-hunter2";

/// Two recorded runs of a component, one for each output format, with their output.
struct Recorded {
    probe: String,
    file: PathBuf,
    text: CommandOutput,
    json: CommandOutput,
    json_file: PathBuf,
}

impl Recorded {
    /// Runs and records a component twice, once for each output format.
    fn record(name: &str, probe: &str, settings: &str) -> Self {
        let folder = empty_folder(&format!("recording-{name}"));
        let (file, json_file) = (folder.join("text.jsonl"), folder.join("json.jsonl"));
        let text = run_test(probe, settings, &["--record", &file.display().to_string()]);
        let json = run_test(probe, settings, &["--format", "json", "--record", &json_file.display().to_string()]);
        Self { probe: probe.to_owned(), file, text, json, json_file }
    }

    fn read(&self) -> String {
        std::fs::read_to_string(&self.json_file).expect("the file can be read")
    }

    /// Asserts that both replays print the same as the recorded runs, with this exit code. Returns the run.
    #[track_caller]
    fn assert_replay_is_same(&self, code: i32) -> Value {
        self.assert_same_output();
        assert_eq!((self.text.code, self.json.code), (code, code), "{}", self.json.stdout);
        let runs: Vec<Value> = serde_json::from_str(&self.json.stdout).expect("the output is JSON");
        runs.into_iter().next().expect("there is a run")
    }

    #[track_caller]
    fn assert_same_output(&self) {
        for (file, recorded, format) in [(&self.file, &self.text, "text"), (&self.json_file, &self.json, "json")] {
            assert!(!recorded.stdout.is_empty(), "{}", recorded.stderr);
            let replayed = replay(&self.probe, file, &["--format", format]);
            assert_eq!(replayed.stdout, recorded.stdout, "{}", replayed.stderr);
            assert_eq!((replayed.code, replayed.stderr.as_str()), (recorded.code, ""));
        }
    }
}

/// The responses of a shop, which issues a token and a cookie and expects them back.
fn shop_response(requests: &[Request]) -> String {
    let last = requests.last().expect("there is a request");
    let echo = last.header("x-key").unwrap_or_default();
    let token = last.header("authorization").unwrap_or_default();
    match last.line.split(' ').nth(1).expect("a request line has a path") {
        "/moved" => "302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "/login" => {
            let body = r#"{"token": "tok-98765-zyxwv", "user": {"id": 7}}"#;
            let cookie = "set-cookie: sid=cookie-4711-abc; Path=/";
            format!("200 OK\r\n{cookie}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        }
        _ => {
            let body = format!(r#"{{"status": "ok", "echo": "{echo}", "token": "{token}"}}"#);
            format!("200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        }
    }
}

#[test]
fn http_runs_replay_without_the_target() {
    let target = Target::responding(shop_response);
    let url = format!("url: http://127.0.0.1:{}/moved\n", target.port);
    let passes = Recorded::record("passes", "http", &format!("{url}checks: {{$.status: ok}}"));
    let fails = Recorded::record("fails", "http", &format!("{url}title: Shop\nchecks: {{$.status: closed}}"));
    let request_count = target.requests().len();
    assert_eq!(request_count, 8);
    assert_eq!(passes.assert_replay_is_same(0)["outcome"], "passed");
    let run = fails.assert_replay_is_same(1);
    assert_eq!((&run["title"], &run["failure"]["reason"]), (&"Shop".into(), &"assertion".into()));
    assert_eq!(run["failure"]["evidence"]["http"]["response"]["status"], 200);
    assert!(fails.text.stdout.contains("http.client.wait"), "{}", fails.text.stdout);
    assert_eq!(target.requests().len(), request_count, "a replay sends no request");
}

#[test]
fn an_unreachable_target_replays() {
    let port = crate::support::free_port();
    let run =
        Recorded::record("unreachable", "http", &format!("url: http://localhost:{port}/")).assert_replay_is_same(1);
    assert_eq!(run["failure"]["reason"], "connect");
    assert_eq!(run["failure"]["evidence"]["http"]["connection"]["phase"], "connect");
}

#[test]
fn tls_runs_replay_without_the_files_of_certificates() {
    let folder = empty_folder("recording-certificates");
    let certificates = crate::support::certificates::Certificates::new(&folder);
    certificates.certify("good", &["localhost"], 2100);
    let port = crate::support::free_port();
    let file = |kind| folder.join(format!("good.{kind}")).display().to_string();
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};
         location / {{ return 200 ok; }} }}",
        file("pem"),
        file("key")
    );
    let nginx = Nginx::start("recording", &[port], &server);
    let keys = format!("url: https://localhost:{port}/\nca: {}\n", certificates.ca());
    let trusted = Recorded::record("tls", "http", &format!("{keys}checks: {{certificate days: {{at_least: 14}}}}"));
    let untrusted = Recorded::record("no-tls", "http", &format!("url: https://localhost:{port}/"));
    drop(nginx);
    std::fs::remove_dir_all(&folder).expect("the test owns the folder");
    trusted.assert_replay_is_same(0);
    assert_eq!(untrusted.assert_replay_is_same(1)["failure"]["reason"], "tls");
}

#[test]
fn ssh_runs_replay_without_the_server() {
    let sshd = Sshd::openssh("recording", "");
    let known_hosts = sshd.known_hosts(&[&sshd.host_key("ed25519")]);
    let Sshd { port, user, .. } = &sshd;
    let login = format!(
        "host: 127.0.0.1\nport: {port}\nusername: {user}\nidentity: {}\nknown_hosts: {known_hosts}\n",
        sshd.file("id_ed25519")
    );
    let passes = Recorded::record("ssh", "ssh", &format!("{login}command: 'printf \"\\377done\"'"));
    let fails = Recorded::record("ssh-fails", "ssh", &format!("{login}command: echo no; exit 3"));
    let up = Recorded::record("ssh-up", "ssh", &format!("host: 127.0.0.1\nport: {port}\nknown_hosts: {known_hosts}\n"));
    drop(sshd);
    let run = passes.assert_replay_is_same(0);
    assert!(run["spans"].as_array().is_some_and(|spans| spans.iter().any(|span| span["op"] == "ssh.exec")), "{run:#}");
    let run = fails.assert_replay_is_same(1);
    assert_eq!(run["failure"]["evidence"]["ssh"]["command"]["exit_status"], 3, "{run:#}");
    up.assert_replay_is_same(0);
}

#[test]
fn each_attempt_is_recorded() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let target = Target::responding(move |_| {
        let status = if counted.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { "500 No" } else { "200 OK" };
        format!("{status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    });
    let keys = format!("url: http://127.0.0.1:{}/\nretries: 2\nretry_delay: 0.05", target.port);
    let run = Recorded::record("retries", "http", &keys).assert_replay_is_same(0);
    assert_eq!((&run["outcome"], &run["attempts"]), (&"passed-after-retry".into(), &2.into()), "{run:#}");
    assert_eq!(count.load(Ordering::SeqCst), 4);
}

#[test]
fn broken_runs_replay() {
    let traps = Guest { run: "call $write-log unreachable", ..LOGGING_GUEST }.write("recording-traps");
    let run = Recorded::record("traps", &traps.display().to_string(), "allow: {log: true}").assert_replay_is_same(3);
    assert_eq!((&run["failure"]["reason"], &run["failure"]["backtrace"][0]), (&"trap".into(), &"run".into()));
    assert_eq!((&run["log"][0]["message"], &run["spans"][1]["op"]), (&"colour".into(), &"teapot".into()));

    let spins = Guest { run: "call $write-log (loop br 0) i32.const 0", ..LOGGING_GUEST }.write("recording-spins");
    let run = Recorded::record("spins", &spins.display().to_string(), "limits: {deadline: 0.3}\nallow: {log: true}")
        .assert_replay_is_same(3);
    assert_eq!(run["failure"]["reason"], "deadline");

    let hog = "(func $hog (loop i32.const 1 memory.grow drop br 0))";
    let hogs = Guest { define: hog, run: "call $hog i32.const 0", ..PASSES }.write("recording-hogs");
    let run = Recorded::record("hogs", &hogs.display().to_string(), "limits: {memory: 2 MiB}").assert_replay_is_same(3);
    assert_eq!(run["failure"]["reason"], "memory");

    let gives = Guest { run: "i32.const 192", ..PASSES }.write("recording-gives");
    Recorded::record("gives", &gives.display().to_string(), "").assert_replay_is_same(3);
}

#[test]
fn clocks_and_random_numbers_replay() {
    let guest = write_random_and_clock("recording-clocks");
    let recorded = Recorded::record("clocks", &guest.display().to_string(), "");
    let data = &recorded.assert_replay_is_same(0)["spans"][0]["data"];
    for key in ["colour", "green", "brown"] {
        assert!(data[key].is_i64(), "{data:#}");
    }
    let other: Value = serde_json::from_str(&recorded.json.stdout).expect("the output is JSON");
    assert_eq!(&other[0]["spans"][0]["data"], data);
    assert!(!recorded.text.stdout.contains(&data["colour"].to_string()), "each run has other random numbers");
}

#[test]
fn refusals_replay() {
    let guest = Guest { run: "call $write-log i32.const 0", ..LOGGING_GUEST }.write("recording-refused");
    let probe = guest.display().to_string();
    let recorded = Recorded::record("refused", &probe, "");
    let replayed = replay(&probe, &recorded.json_file, &["--format", "json"]);
    assert_eq!((replayed.code, &replayed.stdout), (0, &recorded.json.stdout));
    assert!(replayed.stdout.contains("writing to the log is not allowed"), "{}", replayed.stdout);
}

#[test]
fn a_run_that_ended_at_its_deadline_replays() {
    let port = crate::support::tcp_server::listen(|connection| {
        std::thread::sleep(std::time::Duration::from_secs(5));
        drop(connection);
    });
    let keys = format!("url: http://127.0.0.1:{port}/\nlimits: {{deadline: 0.4}}");
    let started = std::time::Instant::now();
    let recorded = Recorded::record("waits", "http", &keys);
    // The guest may still report the timeout, or be stopped by the deadline.
    recorded.assert_same_output();
    assert!([1, 3].contains(&recorded.json.code), "{}", recorded.json.stdout);
    assert!(started.elapsed() >= std::time::Duration::from_millis(800));
}

#[test]
fn a_configured_probe_is_recorded_too() {
    let target = Target::responding(shop_response);
    let file = empty_folder("recording-once").join("run.jsonl");
    let one = http_config(&format!("url: http://127.0.0.1:{}/\ntitle: One\ntags: {{team: shop}}", target.port));
    let two = format!("{one}      - {{probe: http, title: Two, url: 'http://127.0.0.1:{}/'}}\n", target.port);
    let recording = |configuration: &str, more: &[&str]| {
        run_command(
            sentrynet().args(["once", "-", "--format", "json", "--record"]).arg(&file).args(more),
            configuration,
        )
    };
    let several = recording(&two, &[]);
    assert_eq!(several.code, 2);
    assert!(several.stderr.contains("2 probes would run") && several.stderr.contains("--only"), "{}", several.stderr);
    assert_eq!((target.requests().len(), file.exists()), (0, false));
    let recorded = recording(&two, &["--only", "One"]);
    let replayed = replay("http", &file, &["--format", "json"]);
    assert_eq!((replayed.stdout, replayed.code), (recorded.stdout, 0), "{}", replayed.stderr);
    let nowhere = run_command(sentrynet().args(["once", "-", "--record", "/dev/null/run.jsonl"]), &one);
    assert_eq!(nowhere.code, 2);
    assert!(nowhere.stderr.contains("cannot write /dev/null/run.jsonl"), "{}", nowhere.stderr);
}

#[test]
fn a_fixed_component_replays_the_recording_of_the_old_one() {
    let recorded = Guest { run: "call $write-log i32.const 128", ..LOGGING_GUEST }.write("recording-mended");
    let recorded = Recorded::record("mended", &recorded.display().to_string(), "allow: {log: true}");
    recorded.assert_replay_is_same(1);
    // The fixed guest writes one more line, and passes.
    let run = "(call $write (i32.const 1) (i32.const 538) (i32.const 5)) call $write-log i32.const 0";
    let mended = Guest { run, ..LOGGING_GUEST }.write("recording-mended-now");
    let replayed = replay(&mended.display().to_string(), &recorded.json_file, &["--format", "json"]);
    assert_eq!(replayed.code, 0, "{}", replayed.stderr);
    assert!(replayed.stderr.contains("is not the component that was recorded"), "{}", replayed.stderr);
    assert!(replayed.stderr.contains("differ from the recording, first at call 1"), "{}", replayed.stderr);
    let was: Value = serde_json::from_str(&recorded.json.stdout).expect("the output is JSON");
    let now: Value = serde_json::from_str(&replayed.stdout).expect("the output is JSON");
    assert_eq!(now[0]["log"][0]["message"], "green");
    assert_eq!((&now[0]["log"][1], &now[0]["spans"][1]), (&was[0]["log"][0], &was[0]["spans"][1]));
}
