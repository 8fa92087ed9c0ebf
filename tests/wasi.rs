//! WASI as toolchains import it: sockets and requests with permissions and spans, environment variables, and exit.

use std::process::Command;

use serde_json::{Value, json};

use crate::guests::{Guest, PASSES};
use crate::support::target::Target;
use crate::support::{run_command, run_once_with, sentrynet};

mod evidence;
mod http;
pub mod script;
pub mod sockets;

/// Runs a guest with this script and these keys once. Returns the run.
#[track_caller]
fn run_script(name: &str, script: &str, keys: &str) -> Value {
    run_script_with(&mut sentrynet(), name, script, keys)
}

#[track_caller]
fn run_script_with(program: &mut Command, name: &str, script: &str, keys: &str) -> Value {
    let run = format!("{script} i32.const 0");
    let guest = Guest { imports: script::IMPORTS, define: script::DEFINE, run: run.leak(), ..PASSES };
    let path = guest.write_with_wasi(name, "0.2.3");
    let probe = format!("groups: [{{probes: [{{probe: '{}', title: t, {keys}}}]}}]", path.display());
    let (_, mut runs) = run_once_with(program, &probe);
    assert_eq!(runs.len(), 1);
    runs.remove(0)
}

/// Asserts that a run has passed. Returns the lines that the guest wrote to the log.
#[track_caller]
fn guest_log(run: &Value) -> Vec<&str> {
    assert_eq!(run["outcome"], "passed", "{run:#}");
    lines(run, "info")
}

/// Returns the host's warnings in the log of a run.
fn host_warnings(run: &Value) -> Vec<&str> {
    lines(run, "warn")
}

fn lines<'a>(run: &'a Value, level: &str) -> Vec<&'a str> {
    let lines = run["log"].as_array().expect("a run has a log").iter().filter(|line| line["level"] == level);
    lines.map(|line| line["message"].as_str().expect("a line is text")).collect()
}

#[test]
fn only_allowed_environment_variables_are_visible() {
    let environment = "(call $environment (i32.const 1200))
        (call $log-number (i32.load (i32.const 1204)))
        (if (i32.load (i32.const 1204)) (then
          (call $log-text (i32.load (i32.load (i32.const 1200))) (i32.load offset=4 (i32.load (i32.const 1200))))
          (call $log-text (i32.load offset=8 (i32.load (i32.const 1200))) (i32.load offset=12 (i32.load (i32.const 1200))))))";
    let program = || {
        let mut program = sentrynet();
        program.env("GREETING", "good morning").env("TOKEN", "not for everybody");
        program
    };
    let run = run_script_with(&mut program(), "environment-none", environment, "allow: {log: true}");
    assert_eq!(guest_log(&run), ["00"]);
    let run = run_script_with(&mut program(), "environment-one", environment, "allow: {log: true, env: [GREETING]}");
    // The value of a variable is redacted as a secret.
    assert_eq!(guest_log(&run), ["01", "GREETING", "[Filtered]"]);
}

#[test]
fn nothing_is_sent_during_check() {
    let target = Target::new();
    let port = target.port;
    let attempts = [
        format!("(drop (call $connect (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const {port})))"),
        script::script_with_text("localhost", &format!("(call $call-by-name LENGTH (i32.const {port}))")),
        script::script_with_text(&format!("127.0.0.1:{port}"), "(call $receive (call $send (call $request LENGTH)))"),
    ];
    let check = format!("{} i32.const 0", attempts.join("\n"));
    let guest = Guest { imports: script::IMPORTS, define: script::DEFINE, check: check.leak(), ..PASSES };
    // 0.2.0 is the oldest version of WASI preview 2.
    let path = guest.write_with_wasi("connects-in-check", "0.2.0");
    let allow = "allow: {hosts: [localhost, 127.0.0.1]}";
    let probe = format!("groups: [{{probes: [{{probe: '{}', title: t, {allow}}}]}}]", path.display());
    let ended = run_command(sentrynet().args(["check", "-"]), &probe);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(target.requests().len(), 0);
}

#[test]
fn a_guest_that_exits_is_broken() {
    let run = run_script("exits", "(call $exit (i32.const 1))", "");
    assert_eq!((&run["outcome"], &run["failure"]["reason"]), (&"broken".into(), &"trap".into()), "{run:#}");
    let expected = "the probe exited with status 1 instead of returning";
    assert_eq!(run["failure"]["message"], expected);
    assert_eq!(run["failure"]["backtrace"], json!(["run"]));
}
