//! Helpers of all tests: they run the program, and the servers that it probes or reports to.

pub mod certificates;
pub mod dns;
pub mod kent;
pub mod nginx;
pub mod openssl;
pub mod project;
pub mod proxy;
pub mod receiver;
pub mod relay;
pub mod running;
pub mod silent_address;
pub mod silent_names;
pub mod spotlight;
pub mod ssh_server;
pub mod sshd;
pub mod target;
pub mod tcp_server;
pub mod tls_terminator;

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Returns a command that runs the program with a clean environment.
pub fn sentrynet() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentrynet"));
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    command
        .env_clear()
        .env("HOME", absent_path("home"))
        .env("XDG_CACHE_HOME", cache)
        .env("XDG_STATE_HOME", create_state_folder());
    command
}

/// Returns a new state folder, so that a test does not send what another test has left in its spool.
fn create_state_folder() -> PathBuf {
    static STATES: LazyLock<PathBuf> = LazyLock::new(|| empty_folder("state"));
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let state = STATES.join(COUNT.fetch_add(1, Ordering::Relaxed).to_string());
    write_code_key(&state);
    state
}

/// Writes the key of compiled code to a state folder, unless it is there. All tests have the same, so that a component
/// is compiled once for all of them.
pub fn write_code_key(state: &Path) {
    let keys = state.join("sentrynet/keys");
    DirBuilder::new().recursive(true).mode(0o700).create(&keys).expect("the folder is writable");
    let key = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(keys.join("compiled-code"));
    key.and_then(|mut file| file.write_all(&[7; 32])).expect("the folder is writable");
}

/// A child process that is killed when the value is dropped.
pub struct KilledOnDrop(pub Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The exit code and the output of a command.
#[derive(Default)]
pub struct CommandOutput {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end, with `stdin` as its input. The exit code is -1 if a signal ended it.
pub fn run_command(command: &mut Command, stdin: &str) -> CommandOutput {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let mut pipe = child.stdin.take().expect("stdin is piped");
    let stdin = stdin.to_owned();
    // A command that does not read its input to the end is no error.
    let writer = std::thread::spawn(move || drop(pipe.write_all(stdin.as_bytes())));
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the program can be waited for");
    writer.join().expect("writing does not panic");
    CommandOutput {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8(stdout).expect("output is UTF-8"),
        stderr: String::from_utf8(stderr).expect("messages are UTF-8"),
    }
}

/// Runs `sentrynet once` with a configuration. Returns the exit code and the runs from its JSON output.
#[track_caller]
pub fn run_once(configuration: &str) -> (i32, Vec<Value>) {
    run_once_with(&mut sentrynet(), configuration)
}

#[track_caller]
pub fn run_once_with(program: &mut Command, configuration: &str) -> (i32, Vec<Value>) {
    let ended = run_command(program.args(["once", "-", "--format", "json"]), configuration);
    match serde_json::from_str(&ended.stdout) {
        Ok(runs) => (ended.code, runs),
        Err(error) => panic!("no JSON ({error}), exit code {}:\n{}\n{}", ended.code, ended.stdout, ended.stderr),
    }
}

/// Returns a configuration of one http probe with these keys.
pub fn http_config(keys: &str) -> String {
    let keys: String = keys.lines().map(|line| format!("        {line}\n")).collect();
    format!("groups:\n  - probes:\n      - probe: http\n{keys}")
}

/// Runs one http probe with these keys once. Returns its run.
#[track_caller]
pub fn run_http_probe(keys: &str) -> Value {
    let (_, mut runs) = run_once(&http_config(keys));
    assert_eq!(runs.len(), 1);
    runs.remove(0)
}

#[track_caller]
pub fn assert_passed(run: &Value) {
    assert_eq!(run["outcome"], "passed", "{run:#}");
}

/// Asserts that a run has failed for this reason. Returns its message.
#[track_caller]
pub fn expect_failure(run: &Value, reason: &str) -> String {
    assert_eq!(run["outcome"], "failed", "{run:#}");
    assert_eq!(run["failure"]["reason"], reason, "{run:#}");
    run["failure"]["message"].as_str().expect("a failure has a message").to_owned()
}

/// Runs `sentrynet check` with a configuration. Returns the errors in their order, each as `LINE:COLUMN MESSAGE`.
#[track_caller]
pub fn find_problems(configuration: &str) -> Vec<String> {
    let ended = run_command(sentrynet().env("SENTRYNET_LOG", "error").args(["check", "-"]), configuration);
    let mut found = Vec::new();
    let mut message = "";
    for line in ended.stderr.lines() {
        if let Some(error) = line.strip_prefix("error: ") {
            message = error;
        } else if let Some(position) = line.trim_start().strip_prefix("--> <stdin>:") {
            found.push(format!("{position} {message}"));
        }
    }
    assert_eq!(ended.code, if found.is_empty() { 0 } else { 2 }, "{}", ended.stderr);
    found
}

/// Returns the spans of a run with this op, in order.
pub fn spans<'a>(run: &'a Value, op: &str) -> Vec<&'a Value> {
    run["spans"].as_array().expect("a run has spans").iter().filter(|span| span["op"] == op).collect()
}

/// Returns the duration of the only span with this op, in milliseconds.
#[track_caller]
pub fn span_duration_ms(run: &Value, op: &str) -> f64 {
    let found = spans(run, op);
    assert_eq!(found.len(), 1, "expected one span `{op}` in {run:#}");
    found[0]["duration_ms"].as_f64().expect("a duration is a number")
}

/// Asserts that a delay shows in the span of the phase `slow`, and in none of the others.
#[track_caller]
pub fn assert_delay_in_phase(run: &Value, op: &str, phases: &[&str], slow: &str, delay: Duration) {
    // The server may start its delay slightly before the phase begins, so that 80 % of the delay suffice.
    let least = delay.as_secs_f64() * 800.0;
    for phase in phases {
        let lasted = span_duration_ms(run, &format!("{op}.{phase}"));
        assert_eq!(lasted >= least, *phase == slow, "{phase} lasted {lasted} ms");
    }
}

/// Returns a port that nothing listens on, outside the range that the system assigns by itself.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    // The first port is random, because other processes of these tests may run at the same time.
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(rand::random_range(0..COUNT)));
    let mut ports = (0..COUNT).map(|_| FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("loopback has a free port")
}

/// The time limit of [`eventually`]: far longer than anything takes on a machine that is loaded fourfold.
const MAX_WAIT: Duration = Duration::from_secs(120);

/// Polls until `probe` returns `Some`. Panics after [`MAX_WAIT`]; the message says that `what` was awaited.
#[track_caller]
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < MAX_WAIT, "timed out after {MAX_WAIT:?} while waiting for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Returns the path of a file that `tests/run` has fetched, or `None` if it has not.
pub fn find_tool(path_in_tools: &str) -> Option<PathBuf> {
    let fetched = PathBuf::from(std::env::var_os("SENTRYNET_TEST_TOOLS")?).join(path_in_tools);
    fetched.exists().then_some(fetched)
}

/// Creates an empty folder for one test. Removes a folder of this name from an earlier run.
pub fn empty_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    folder
}

/// Returns a path at which there is nothing.
pub fn absent_path(name: &str) -> PathBuf {
    static ABSENT: LazyLock<PathBuf> = LazyLock::new(|| empty_folder("absent"));
    ABSENT.join(name)
}

/// Makes a file readable by its owner alone, as the program requires of files with secrets.
pub fn restrict_to_owner(file: &Path) {
    std::fs::set_permissions(file, Permissions::from_mode(0o600)).expect("the test owns the file");
}
