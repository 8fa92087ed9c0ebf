//! Runs that are recorded, and replayed with nobody there: what they say is the same to the byte.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::guests::{Guest, PASSES};
use crate::support::nginx::Nginx;
use crate::support::sshd::Sshd;
use crate::support::target::{Asked, Target};
use crate::support::{Ended, finish, folder, http, sentrynet};

mod damaged;
mod settings;
mod wasi;

const LOG: &str = r#"(import "sentrynet:probe/log@0.1.0" "write" (func $write (param i32 i32 i32)))
    (import "sentrynet:probe/span@0.1.0" "[constructor]span" (func $span (param i32 i32 i32 i32) (result i32)))
    (import "sentrynet:probe/span@0.1.0" "[resource-drop]span" (func $drop (param i32)))"#;
/// Opens a span, and writes a line in it.
const SAYS: Guest = Guest {
    imports: LOG,
    define: "(func $says
        (drop (call $span (i32.const 512) (i32.const 6) (i32.const 518) (i32.const 14)))
        (call $write (i32.const 1) (i32.const 532) (i32.const 6)))",
    ..PASSES
};

/// `test` with a component and settings.
fn test(probe: &str, settings: &str, more: &[&str]) -> Ended {
    finish(sentrynet().env("KEY", SECRET).args(["test", probe, "--settings", "-"]).args(more), settings)
}

fn replay(probe: &str, recording: &Path, more: &[&str]) -> Ended {
    finish(sentrynet().args(["test", probe, "--replay"]).arg(recording).args(more), "")
}

const SECRET: &str = "hunter2-hunter2";

/// A run that was recorded.
struct Recorded {
    probe: String,
    file: PathBuf,
    text: Ended,
    json: Ended,
    json_file: PathBuf,
}

impl Recorded {
    /// Runs a component twice, once for each way of writing.
    fn new(name: &str, probe: &str, settings: &str) -> Self {
        let folder = folder(&format!("recording-{name}"));
        let (file, json_file) = (folder.join("text.jsonl"), folder.join("json.jsonl"));
        let text = test(probe, settings, &["--record", &file.display().to_string()]);
        let json = test(probe, settings, &["--format", "json", "--record", &json_file.display().to_string()]);
        Self { probe: probe.to_owned(), file, text, json, json_file }
    }

    fn read(&self) -> String {
        std::fs::read_to_string(&self.json_file).expect("it is there")
    }

    /// Replays both, and has them say the same: the run.
    #[track_caller]
    fn same(&self, code: i32) -> Value {
        self.say_the_same();
        assert_eq!((self.text.code, self.json.code), (code, code), "{}", self.json.stdout);
        let runs: Vec<Value> = serde_json::from_str(&self.json.stdout).expect("it is JSON");
        runs.into_iter().next().expect("there is a run")
    }

    #[track_caller]
    fn say_the_same(&self) {
        for (file, recorded, format) in [(&self.file, &self.text, "text"), (&self.json_file, &self.json, "json")] {
            assert!(!recorded.stdout.is_empty(), "{}", recorded.stderr);
            let replayed = replay(&self.probe, file, &["--format", format]);
            assert_eq!(replayed.stdout, recorded.stdout, "{}", replayed.stderr);
            assert_eq!((replayed.code, replayed.stderr.as_str()), (recorded.code, ""));
        }
    }
}

/// A shop that gives a token and a cookie, and wants them back.
fn shop(asked: &[Asked]) -> String {
    let last = asked.last().expect("there is one");
    let echo = last.header("x-key").unwrap_or_default();
    let token = last.header("authorization").unwrap_or_default();
    match last.line.split(' ').nth(1).expect("a path") {
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
fn http_that_passes_and_that_fails() {
    let target = Target::answering(shop);
    let url = format!("url: http://127.0.0.1:{}/moved\n", target.port);
    let passes = Recorded::new("passes", "http", &format!("{url}checks: {{$.status: ok}}"));
    let fails = Recorded::new("fails", "http", &format!("{url}title: Shop\nchecks: {{$.status: closed}}"));
    let asked = target.asked().len();
    assert_eq!(asked, 8);
    assert_eq!(passes.same(0)["outcome"], "passed");
    let run = fails.same(1);
    assert_eq!((&run["title"], &run["failure"]["reason"]), (&"Shop".into(), &"assertion".into()));
    assert_eq!(run["failure"]["evidence"]["http"]["response"]["status"], 200);
    assert!(fails.text.stdout.contains("http.client.wait"), "{}", fails.text.stdout);
    assert_eq!(target.asked().len(), asked, "nobody was asked");
}

#[test]
fn what_cannot_be_reached() {
    let port = crate::support::free_port();
    let run = Recorded::new("unreachable", "http", &format!("url: http://localhost:{port}/")).same(1);
    assert_eq!(run["failure"]["reason"], "connect");
    assert_eq!(run["failure"]["evidence"]["http"]["connection"]["phase"], "connect");
}

#[test]
fn tls_and_its_certificates() {
    let folder = folder("recording-certificates");
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
    let trusted = Recorded::new("tls", "http", &format!("{keys}checks: {{certificate days: {{at_least: 14}}}}"));
    let untrusted = Recorded::new("no-tls", "http", &format!("url: https://localhost:{port}/"));
    drop(nginx);
    std::fs::remove_dir_all(&folder).expect("it is ours");
    trusted.same(0);
    assert_eq!(untrusted.same(1)["failure"]["reason"], "tls");
}

#[test]
fn a_chain_whose_tokens_are_nobodys() {
    let target = Target::answering(shop);
    let port = target.port;
    let steps = format!(
        "title: Chain
init_keys: {{base: 'http://127.0.0.1:{port}', key: '${{env:KEY}}'}}
steps:
  - {{url: '{{base}}/login', set_keys: {{token: $.token}}, assertions: {{token: {{exists: true}}}}}}
  - url: '{{base}}/?q={{key}}&t={{token}}'
    headers: {{authorization: 'Bearer {{token}}', x-key: '{{key}}'}}
    body: {{password: '{{key}}', token: token}}
    method: POST
    expected: 200
    checks: {{$.echo: nobody}}
"
    );
    let recorded = Recorded::new("chain", "chain", &steps);
    let last = target.asked().pop().expect("it was asked");
    assert_eq!((last.header("authorization"), last.header("x-key")), (Some("Bearer tok-98765-zyxwv"), Some(SECRET)));
    let run = recorded.same(1);
    assert_eq!(run["failure"]["reason"], "assertion");
    let text = recorded.read();
    for secret in [SECRET, "tok-98765-zyxwv", "cookie-4711-abc"] {
        assert!(!text.contains(secret), "{secret} in {text}");
        assert!(!recorded.json.stdout.contains(secret));
    }
    assert!(text.contains("[Filtered]"));
}

#[test]
fn what_an_ssh_server_said() {
    let sshd = Sshd::openssh("recording", "");
    let known_hosts = sshd.known_hosts(&[&sshd.host_key("ed25519")]);
    let Sshd { port, user, .. } = &sshd;
    let login = format!(
        "host: 127.0.0.1\nport: {port}\nusername: {user}\nidentity: {}\nknown_hosts: {known_hosts}\n",
        sshd.file("id_ed25519")
    );
    let passes = Recorded::new("ssh", "ssh", &format!("{login}command: 'printf \"\\377done\"'"));
    let fails = Recorded::new("ssh-fails", "ssh", &format!("{login}command: echo no; exit 3"));
    let up = Recorded::new("ssh-up", "ssh", &format!("host: 127.0.0.1\nport: {port}\nknown_hosts: {known_hosts}\n"));
    drop(sshd);
    let run = passes.same(0);
    assert!(run["spans"].as_array().is_some_and(|spans| spans.iter().any(|span| span["op"] == "ssh.exec")), "{run:#}");
    let run = fails.same(1);
    assert_eq!(run["failure"]["evidence"]["ssh"]["command"]["exit_status"], 3, "{run:#}");
    up.same(0);
}

#[test]
fn each_attempt_is_on_the_tape() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let target = Target::answering(move |_| {
        let status = if counted.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { "500 No" } else { "200 OK" };
        format!("{status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    });
    let keys = format!("url: http://127.0.0.1:{}/\nretries: 2\nretry_delay: 0.05", target.port);
    let run = Recorded::new("retries", "http", &keys).same(0);
    assert_eq!((&run["outcome"], &run["attempts"]), (&"passed-after-retry".into(), &2.into()), "{run:#}");
    assert_eq!(count.load(Ordering::SeqCst), 4);
}

#[test]
fn traps_deadlines_and_what_gives_up() {
    let traps = Guest { run: "call $says unreachable", ..SAYS }.write("recording-traps");
    let run = Recorded::new("traps", &traps.display().to_string(), "allow: {log: true}").same(3);
    assert_eq!((&run["failure"]["reason"], &run["failure"]["backtrace"][0]), (&"trap".into(), &"run".into()));
    assert_eq!((&run["log"][0]["message"], &run["spans"][1]["op"]), (&"colour".into(), &"teapot".into()));

    let spins = Guest { run: "call $says (loop br 0) i32.const 0", ..SAYS }.write("recording-spins");
    let run =
        Recorded::new("spins", &spins.display().to_string(), "limits: {deadline: 0.3}\nallow: {log: true}").same(3);
    assert_eq!(run["failure"]["reason"], "deadline");

    let hog = "(func $hog (loop i32.const 1 memory.grow drop br 0))";
    let hogs = Guest { define: hog, run: "call $hog i32.const 0", ..PASSES }.write("recording-hogs");
    let run = Recorded::new("hogs", &hogs.display().to_string(), "limits: {memory: 2 MiB}").same(3);
    assert_eq!(run["failure"]["reason"], "memory");

    let gives = Guest { run: "i32.const 192", ..PASSES }.write("recording-gives");
    Recorded::new("gives", &gives.display().to_string(), "").same(3);
}

#[test]
fn clocks_and_random_numbers_are_what_they_were() {
    let packages = [
        (
            "random",
            "wasi:random/random@0.2.6",
            "package wasi:random@0.2.6; interface random { get-random-u64: func() -> u64;
             get-random-bytes: func(len: u64) -> list<u8>; }",
        ),
        (
            "clocks",
            "wasi:clocks/monotonic-clock@0.2.6",
            "package wasi:clocks@0.2.6; interface monotonic-clock { now: func() -> u64; }",
        ),
    ];
    let imports = r#"
        (import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))
        (import "wasi:random/random@0.2.6" "get-random-bytes" (func $bytes (param i64 i32)))
        (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $now (result i64)))
        (import "sentrynet:probe/span@0.1.0" "set-data" (func $data (param i32 i32 i32 i64 i32)))"#;
    let run = "(call $data (i32.const 532) (i32.const 6) (i32.const 1) (call $random) (i32.const 0))
        (call $data (i32.const 538) (i32.const 5) (i32.const 1) (call $now) (i32.const 0))
        (call $bytes (i64.const 8) (i32.const 1800))
        (call $data (i32.const 543) (i32.const 5) (i32.const 1) (i64.load (i32.load (i32.const 1800))) (i32.const 0))
        i32.const 0";
    let guest = Guest { imports, run, ..PASSES }.write_importing("recording-clocks", &packages);
    let recorded = Recorded::new("clocks", &guest.display().to_string(), "");
    let data = &recorded.same(0)["spans"][0]["data"];
    for key in ["colour", "green", "brown"] {
        assert!(data[key].is_i64(), "{data:#}");
    }
    let other: Value = serde_json::from_str(&recorded.json.stdout).expect("it is JSON");
    assert_eq!(&other[0]["spans"][0]["data"], data);
    assert!(!recorded.text.stdout.contains(&data["colour"].to_string()), "each run has numbers of its own");
}

#[test]
fn what_a_refusal_said() {
    let guest = Guest { run: "call $says i32.const 0", ..SAYS }.write("recording-refused");
    let probe = guest.display().to_string();
    let recorded = Recorded::new("refused", &probe, "");
    let replayed = replay(&probe, &recorded.json_file, &["--format", "json"]);
    assert_eq!((replayed.code, &replayed.stdout), (0, &recorded.json.stdout));
    assert!(replayed.stdout.contains("writing to the log is not allowed"), "{}", replayed.stdout);
}

#[test]
fn a_run_that_was_cut_off_while_it_waited() {
    let port = crate::support::slow::listen(|connection| {
        std::thread::sleep(std::time::Duration::from_secs(5));
        drop(connection);
    });
    let keys = format!("url: http://127.0.0.1:{port}/\nlimits: {{deadline: 0.4}}");
    let started = std::time::Instant::now();
    let recorded = Recorded::new("waits", "http", &keys);
    // The guest may find the time to say that it was the deadline's, or be stopped by it.
    recorded.say_the_same();
    assert!([1, 3].contains(&recorded.json.code), "{}", recorded.json.stdout);
    assert!(started.elapsed() >= std::time::Duration::from_millis(800));
}

#[test]
fn no_secret_is_left_in_bytes_that_are_no_text() {
    let target = Target::answering(|asked| {
        let echo = asked.last().and_then(|asked| asked.header("x-key")).unwrap_or_default().to_owned();
        let hidden = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &echo);
        format!("200 OK\r\nx-hidden: {hidden}\r\nconnection: close\r\n\r\n{echo}\u{0}{hidden}")
    });
    let keys = format!(
        "url: 'http://127.0.0.1:{}/?key=${{env:KEY}}'\nheaders: {{x-key: '${{env:KEY}}'}}\nbody: '${{env:KEY}}'\nexpected: 200",
        target.port
    );
    let recorded = Recorded::new("bytes", "http", &keys);
    recorded.same(0);
    let hidden = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, SECRET);
    for secret in [SECRET, &hidden] {
        assert!(!recorded.read().contains(secret), "{secret} in {}", recorded.read());
    }
}

#[test]
fn a_configured_probe_is_recorded_too() {
    let target = Target::answering(shop);
    let file = folder("recording-once").join("run.jsonl");
    let one = http(&format!("url: http://127.0.0.1:{}/\ntitle: One\ntags: {{team: shop}}", target.port));
    let two = format!("{one}      - {{probe: http, title: Two, url: 'http://127.0.0.1:{}/'}}\n", target.port);
    let recording = |configuration: &str, more: &[&str]| {
        finish(sentrynet().args(["once", "-", "--format", "json", "--record"]).arg(&file).args(more), configuration)
    };
    let several = recording(&two, &[]);
    assert_eq!(several.code, 2);
    assert!(several.stderr.contains("2 probes would run") && several.stderr.contains("--only"), "{}", several.stderr);
    assert_eq!((target.asked().len(), file.exists()), (0, false));
    let recorded = recording(&two, &["--only", "One"]);
    let replayed = replay("http", &file, &["--format", "json"]);
    assert_eq!((replayed.stdout, replayed.code), (recorded.stdout, 0), "{}", replayed.stderr);
    let nowhere = finish(sentrynet().args(["once", "-", "--record", "/dev/null/run.jsonl"]), &one);
    assert_eq!(nowhere.code, 2);
    assert!(nowhere.stderr.contains("cannot write /dev/null/run.jsonl"), "{}", nowhere.stderr);
}

#[test]
fn a_mended_component_meets_the_same_again() {
    let recorded = Guest { run: "call $says i32.const 128", ..SAYS }.write("recording-mended");
    let recorded = Recorded::new("mended", &recorded.display().to_string(), "allow: {log: true}");
    recorded.same(1);
    // One line more, and a better end.
    let run = "(call $write (i32.const 1) (i32.const 538) (i32.const 5)) call $says i32.const 0";
    let mended = Guest { run, ..SAYS }.write("recording-mended-now");
    let replayed = replay(&mended.display().to_string(), &recorded.json_file, &["--format", "json"]);
    assert_eq!(replayed.code, 0, "{}", replayed.stderr);
    assert!(replayed.stderr.contains("is not the component that was recorded"), "{}", replayed.stderr);
    assert!(replayed.stderr.contains("says otherwise than recorded, first at call 1"), "{}", replayed.stderr);
    let was: Value = serde_json::from_str(&recorded.json.stdout).expect("it is JSON");
    let now: Value = serde_json::from_str(&replayed.stdout).expect("it is JSON");
    assert_eq!(now[0]["log"][0]["message"], "green");
    assert_eq!((&now[0]["log"][1], &now[0]["spans"][1]), (&was[0]["log"][0], &was[0]["spans"][1]));
}
