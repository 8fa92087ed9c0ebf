//! WASI as third parties' toolchains import it: sockets and requests under the grants and in the trace, the environment,
//! the end.

use std::process::Command;

use serde_json::{Value, json};

use crate::guests::{Guest, PASSES};
use crate::support::target::Target;
use crate::support::{finish, once_with, sentrynet};

mod evidence;
mod http;
pub mod script;
pub mod sockets;

/// The run of a guest that does this, with these keys.
#[track_caller]
fn run(name: &str, script: &str, keys: &str) -> Value {
    run_with(&mut sentrynet(), name, script, keys)
}

#[track_caller]
fn run_with(program: &mut Command, name: &str, script: &str, keys: &str) -> Value {
    let run = format!("{script} i32.const 0");
    let guest = Guest { imports: script::IMPORTS, define: script::DEFINE, run: run.leak(), ..PASSES };
    let path = guest.write_with_wasi(name, "0.2.3");
    let probe = format!("groups: [{{probes: [{{probe: '{}', title: t, {keys}}}]}}]", path.display());
    let (_, mut runs) = once_with(program, &probe);
    assert_eq!(runs.len(), 1);
    runs.remove(0)
}

/// What a guest wrote to the log by itself.
#[track_caller]
fn said(run: &Value) -> Vec<&str> {
    assert_eq!(run["outcome"], "passed", "{run:#}");
    lines(run, "info")
}

/// What the operator is told.
fn told(run: &Value) -> Vec<&str> {
    lines(run, "warn")
}

fn lines<'a>(run: &'a Value, level: &str) -> Vec<&'a str> {
    let lines = run["log"].as_array().expect("a run has a log").iter().filter(|line| line["level"] == level);
    lines.map(|line| line["message"].as_str().expect("a line is text")).collect()
}

#[test]
fn of_the_environment_there_is_what_is_allowed() {
    let environment = "(call $environment (i32.const 1200))
        (call $number (i32.load (i32.const 1204)))
        (if (i32.load (i32.const 1204)) (then
          (call $say (i32.load (i32.load (i32.const 1200))) (i32.load offset=4 (i32.load (i32.const 1200))))
          (call $say (i32.load offset=8 (i32.load (i32.const 1200))) (i32.load offset=12 (i32.load (i32.const 1200))))))";
    let program = || {
        let mut program = sentrynet();
        program.env("GREETING", "good morning").env("TOKEN", "not for everybody");
        program
    };
    let run = run_with(&mut program(), "environment-none", environment, "allow: {log: true}");
    assert_eq!(said(&run), ["00"]);
    let run = run_with(&mut program(), "environment-one", environment, "allow: {log: true, env: [GREETING]}");
    // Its value is kept as secrets are.
    assert_eq!(said(&run), ["01", "GREETING", "[Filtered]"]);
}

#[test]
fn nothing_is_sent_while_settings_are_checked() {
    let target = Target::new();
    let port = target.port;
    let asks = [
        format!("(drop (call $connect (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const {port})))"),
        script::with("localhost", &format!("(call $call-by-name LENGTH (i32.const {port}))")),
        script::with(&format!("127.0.0.1:{port}"), "(call $receive (call $send (call $request LENGTH)))"),
    ];
    let check = format!("{} i32.const 0", asks.join("\n"));
    let guest = Guest { imports: script::IMPORTS, define: script::DEFINE, check: check.leak(), ..PASSES };
    // Of the oldest WASI of this kind.
    let path = guest.write_with_wasi("asks-in-check", "0.2.0");
    let allow = "allow: {hosts: [localhost, 127.0.0.1]}";
    let probe = format!("groups: [{{probes: [{{probe: '{}', title: t, {allow}}}]}}]", path.display());
    let ended = finish(sentrynet().args(["check", "-"]), &probe);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(target.asked().len(), 0);
}

#[test]
fn a_guest_that_ends_itself_is_told_how_a_run_ends() {
    let run = run("exits", "(call $exit (i32.const 1))", "");
    assert_eq!((&run["outcome"], &run["failure"]["reason"]), (&"broken".into(), &"trap".into()), "{run:#}");
    let expected = "the probe ended itself with exit status 1, where it was to return";
    assert_eq!(run["failure"]["message"], expected);
    assert_eq!(run["failure"]["backtrace"], json!(["run"]));
}
