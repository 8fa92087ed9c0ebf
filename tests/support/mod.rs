//! What the tests share: the program, and the servers that it is pointed at.

pub mod certificates;
pub mod dns;
pub mod lenient;
pub mod nginx;
pub mod project;
pub mod proxy;
pub mod receiver;
pub mod relay;
pub mod running;
pub mod slow;
pub mod spotlight;
pub mod sshd;
pub mod target;

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program with an environment of its own: nothing of this machine's reaches it.
pub fn sentrynet() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentrynet"));
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    command.env_clear().env("HOME", "/nonexistent").env("XDG_CACHE_HOME", cache).env("XDG_STATE_HOME", state());
    command
}

/// A place for spools that nobody else has: what one test leaves is not to be sent by another.
fn state() -> PathBuf {
    static STATES: LazyLock<PathBuf> = LazyLock::new(|| folder("state"));
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    STATES.join(COUNT.fetch_add(1, Ordering::Relaxed).to_string())
}

/// What the program wrote, and how it ended.
#[derive(Default)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end, with `stdin` to read.
pub fn finish(command: &mut Command, stdin: &str) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let mut pipe = child.stdin.take().expect("stdin is piped");
    let stdin = stdin.to_owned();
    // Who does not read its input to the end is no error here.
    let writer = std::thread::spawn(move || drop(pipe.write_all(stdin.as_bytes())));
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the program can be waited for");
    writer.join().expect("writing does not panic");
    Ended {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8(stdout).expect("output is UTF-8"),
        stderr: String::from_utf8(stderr).expect("messages are UTF-8"),
    }
}

/// `once` with a configuration: its exit code, and the runs from its JSON.
#[track_caller]
pub fn once(configuration: &str) -> (i32, Vec<Value>) {
    once_with(&mut sentrynet(), configuration)
}

#[track_caller]
pub fn once_with(program: &mut Command, configuration: &str) -> (i32, Vec<Value>) {
    let ended = finish(program.args(["once", "-", "--format", "json"]), configuration);
    match serde_json::from_str(&ended.stdout) {
        Ok(runs) => (ended.code, runs),
        Err(error) => panic!("no JSON ({error}), exit code {}:\n{}\n{}", ended.code, ended.stdout, ended.stderr),
    }
}

/// A configuration of one http probe with these keys.
pub fn http(keys: &str) -> String {
    let keys: String = keys.lines().map(|line| format!("        {line}\n")).collect();
    format!("groups:\n  - probes:\n      - probe: http\n{keys}")
}

/// The one run of the one http probe with these keys.
#[track_caller]
pub fn probe(keys: &str) -> Value {
    let (_, mut runs) = once(&http(keys));
    assert_eq!(runs.len(), 1);
    runs.remove(0)
}

#[track_caller]
pub fn passed(run: &Value) {
    assert_eq!(run["outcome"], "passed", "{run:#}");
}

/// A run that failed with this reason; its message.
#[track_caller]
pub fn failed(run: &Value, reason: &str) -> String {
    assert_eq!(run["outcome"], "failed", "{run:#}");
    assert_eq!(run["failure"]["reason"], reason, "{run:#}");
    run["failure"]["message"].as_str().expect("a failure has a message").to_owned()
}

/// What `check` finds in a configuration: `LINE:COLUMN MESSAGE`, in its order.
#[track_caller]
pub fn problems(configuration: &str) -> Vec<String> {
    let ended = finish(sentrynet().env("SENTRYNET_LOG", "error").args(["check", "-"]), configuration);
    let mut found = Vec::new();
    let mut message = "";
    for line in ended.stderr.lines() {
        if let Some(error) = line.strip_prefix("error: ") {
            message = error;
        } else if let Some(place) = line.trim_start().strip_prefix("--> <stdin>:") {
            found.push(format!("{place} {message}"));
        }
    }
    assert_eq!(ended.code, if found.is_empty() { 0 } else { 2 }, "{}", ended.stderr);
    found
}

/// The spans of a run with this op, in order.
pub fn spans<'a>(run: &'a Value, op: &str) -> Vec<&'a Value> {
    run["spans"].as_array().expect("a run has spans").iter().filter(|span| span["op"] == op).collect()
}

/// How long the one span with this op took, in milliseconds.
#[track_caller]
pub fn lasted(run: &Value, op: &str) -> f64 {
    let found = spans(run, op);
    assert_eq!(found.len(), 1, "one span `{op}` in {run:#}");
    found[0]["duration_ms"].as_f64().expect("a duration is a number")
}

/// Whether the delay is in the phase that it was to be in, and in no other.
#[track_caller]
pub fn delayed(run: &Value, op: &str, phases: &[&str], slow: &str, delay: Duration) {
    // The other end may begin to wait a moment before we do.
    let least = delay.as_secs_f64() * 800.0;
    for phase in phases {
        let lasted = lasted(run, &format!("{op}.{phase}"));
        assert_eq!(lasted >= least, *phase == slow, "{phase} lasted {lasted} ms");
    }
}

/// A port that nothing listens on, and that nobody is given who leaves the choice to the system.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    // Other processes may do the same.
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(rand::random_range(0..COUNT)));
    let mut ports = (0..COUNT).map(|_| FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("loopback has a free port")
}

/// Waits until something is so.
#[track_caller]
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{what} did not happen within 30 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A program that `tests/run` has fetched, or that the machine has.
pub fn tool(path_in_tools: &str) -> Option<PathBuf> {
    let fetched = PathBuf::from(std::env::var_os("SENTRYNET_TEST_TOOLS")?).join(path_in_tools);
    fetched.exists().then_some(fetched)
}

/// A folder for one test, empty at first.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    folder
}
