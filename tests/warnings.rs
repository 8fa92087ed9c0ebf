//! Checks with the level `warning`: the run passes, and the warning is told.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::guests::{Guest, PASSES};
use crate::support::receiver::Receiver;
use crate::support::running::RunningProgram;
use crate::support::target::Target;
use crate::support::{
    assert_passed, empty_folder, eventually, expect_failure, find_problems, http_config, run_command, run_http_probe,
    run_once, sentrynet,
};

const SHOP: &str = r#"{"state": "up", "stock": 3}"#;

/// Starts a target that responds with this body. Returns it with its URL.
fn start(body: &'static str) -> (Target, String) {
    let head = format!("200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    let target = Target::responding(move |_| format!("{head}{body}"));
    let url = format!("http://127.0.0.1:{}/", target.port);
    (target, url)
}

/// Returns the messages of a run's warnings, each with its reason.
fn warnings(run: &Value) -> Vec<String> {
    let list = run["warnings"].as_array().expect("a run has a list of warnings");
    let text = |value: &Value| value.as_str().expect("it is text").to_owned();
    list.iter().map(|warning| format!("{}: {}", text(&warning["reason"]), text(&warning["message"]))).collect()
}

#[test]
fn a_check_with_the_level_warning_does_not_fail_a_run() {
    let (_target, url) = start(SHOP);
    let keys = format!(
        "url: {url}\nchecks:\n  $.stock: {{at_least: 5, level: warning}}\n  \
         body: {{contains: Welcome, level: warning}}\n  \
         size: {{less: 5, level: warning}}\n  $.state: {{equals: up, level: error}}\n  \
         status: {{equals: 2xx, level: warning}}\n"
    );
    let (code, runs) = run_once(&http_config(&keys));
    assert_passed(&runs[0]);
    assert_eq!(code, 0);
    assert_eq!(
        warnings(&runs[0]),
        [
            "assertion: $.stock: expected at least 5, got 3",
            r#"assertion: body: expected to contain "Welcome", got "{\"state\": \"up\", \"stock\": 3}""#,
            "assertion: size: expected less than 5 bytes, got 27 bytes",
        ]
    );
    let mismatch = json!([{ "subject": "$.stock", "expected": "at least 5", "actual": "3" }]);
    assert_eq!((&runs[0]["warnings"][0]["mismatches"], &runs[0]["failure"]), (&mismatch, &Value::Null));
    // The status is checked by its check alone.
    let run = run_http_probe(&format!("url: {url}\nchecks: {{status: {{equals: 404, level: warning}}}}"));
    assert_passed(&run);
    assert_eq!(warnings(&run), ["assertion: status: expected 404, got 200"]);
    let run = run_http_probe(&format!("url: {url}\nchecks: {{$.stock: {{less: 9, level: warning}}}}"));
    assert_eq!(warnings(&run), [""; 0]);
}

#[test]
fn a_run_can_fail_with_warnings() {
    let (_target, url) = start(SHOP);
    let checks = "checks: {$.stock: {at_least: 5, level: warning}, $.state: down}";
    let run = run_http_probe(&format!("url: {url}\n{checks}"));
    assert_eq!(expect_failure(&run, "assertion"), r#"$.state: expected "down", got "up""#);
    assert_eq!(warnings(&run), ["assertion: $.stock: expected at least 5, got 3"]);
}

#[test]
fn assertions_and_steps_of_a_chain_have_levels() {
    let (_target, url) = start(SHOP);
    let step = "set_keys: {stock: $.stock}, assertions: {stock: {at_least: 5, level: warning}, none: {level: warning}}";
    let chain = format!(
        "groups: [{{probes: [{{probe: chain, title: Shop, init_keys: {{none: 1}}, steps: [{{url: '{url}', {step}}}, \
         {{name: Look, url: '{url}', checks: {{$.stock: {{equals: 4, level: warning}}}}}}]}}]}}]"
    );
    let (code, runs) = run_once(&chain);
    assert_eq!(code, 0, "{:#}", runs[0]);
    assert_eq!(
        warnings(&runs[0]),
        [
            "assertion: step 1: stock ($.stock): expected at least 5, got 3",
            "assertion: step 2 (Look): $.stock: expected 4, got 3",
        ]
    );
    let subject = &runs[0]["warnings"][1]["mismatches"][0]["subject"];
    assert_eq!(subject, "step 2 (Look): $.stock");
}

#[test]
fn what_cannot_be_read_is_as_severe_as_the_checks_that_need_it() {
    let (_target, url) = start("<html>Welcome to the shop</html>");
    let run = run_http_probe(&format!("url: {url}\nchecks: {{$.a: {{equals: 1, level: warning}}}}"));
    assert_passed(&run);
    assert!(warnings(&run)[0].starts_with("assertion: $.a: expected JSON, got the body is not JSON"), "{run:#}");
    let run = run_http_probe(&format!("url: {url}\nchecks: {{$.a: {{equals: 1, level: warning}}, $.b: 1}}"));
    expect_failure(&run, "json");
    let large = |level: &str| {
        run_http_probe(&format!("url: {url}\nmax_body: 10\nchecks: {{body: {{contains: x, level: {level}}}}}"))
    };
    expect_failure(&large("error"), "too-large");
    let run = large("warning");
    assert_passed(&run);
    assert!(matches!(&*warnings(&run), [one] if one.starts_with("too-large: the body has 32 bytes")), "{run:#}");
}

#[test]
fn mistakes_in_levels_are_found() {
    let problems = find_problems(&http_config("url: http://h/\nchecks: {size: {less: 5, level: warn}}"));
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].contains("warning"), "{problems:#?}");
}

#[test]
fn warnings_are_shown_in_a_terminal() {
    let (_target, url) = start(SHOP);
    let config = http_config(&format!("title: Shop\nurl: {url}\nchecks: {{$.stock: {{at_least: 5, level: warning}}}}"));
    let ended = run_command(sentrynet().args(["once", "-"]).env("COLUMNS", "80"), &config);
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert!(lines[0].starts_with("✓ passed ") && lines[0].ends_with("  Shop"), "{}", ended.stdout);
    assert_eq!(lines[1..], ["    warning, assertion: $.stock: expected at least 5, got 3"]);
    assert_eq!(ended.code, 0);
}

#[test]
fn a_warning_is_sent_once_while_it_lasts() {
    let receiver = Receiver::start();
    let (_target, url) = start(SHOP);
    let keys = format!(
        "url: {url}\ntitle: Shop\nevery: 0.05\nfailures_before_error: 3\n\
         checks: {{$.stock: {{at_least: 5, level: warning}}, size: {{less: 5, level: warning}}}}"
    );
    let config = format!("sentry: {{dsn: '{}'}}\n{}", receiver.dsn(), http_config(&keys));
    let _running = RunningProgram::start_with_config("warnings-once", &config, Stdio::null());
    let transactions = eventually("ten runs", || {
        let transactions = receiver.wait_for_payloads(1, "transaction");
        (transactions.len() >= 10).then_some(transactions)
    });
    // Envelopes are sent concurrently, so that they arrive in any order.
    let mut events = receiver.wait_for_payloads(1, "event");
    events.sort_by_key(|event| event["fingerprint"][4].to_string());
    assert_eq!(events.len(), 2, "{events:#?}");
    for (event, subject) in events.iter().zip(["$.stock", "size"]) {
        assert_eq!(event["level"], "warning");
        assert_eq!(event["fingerprint"], json!(["probe-warning", "probes.http", "Shop", "assertion", subject]));
        let trace = &event["contexts"]["trace"]["trace_id"];
        let same = |transaction: &&Value| transaction["contexts"]["trace"]["trace_id"] == *trace;
        let transaction = transactions.iter().find(same).expect("the event is on the trace of a run");
        assert_eq!(transaction["tags"]["outcome"], "passed");
        assert_eq!(event["contexts"]["response"]["status_code"], 200, "{event:#}");
    }
    assert!(
        events[0]["exception"]["values"][0]["value"].as_str().is_some_and(|value| value.starts_with("Shop: $.stock: "))
    );
    let ids: Vec<_> = events.iter().map(|event| &event["event_id"]).collect();
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_recorded_warning_is_replayed() {
    let (_target, url) = start(SHOP);
    let recording = empty_folder("warnings-recording").join("recording");
    let recording = recording.to_str().expect("the path is text");
    let config = http_config(&format!("url: {url}\nchecks: {{$.stock: {{at_least: 5, level: warning}}}}"));
    let recorded = run_command(sentrynet().args(["once", "-", "--record", recording]), &config);
    assert_eq!(recorded.code, 0, "{}", recorded.stderr);
    let replayed = run_command(sentrynet().args(["test", "http", "--replay", recording, "--format", "json"]), "");
    let runs: Value = serde_json::from_str(&replayed.stdout).expect("it is JSON");
    assert_eq!((replayed.code, replayed.stderr.as_str()), (0, ""));
    assert_eq!(warnings(&runs[0]), ["assertion: $.stock: expected at least 5, got 3"]);
}

/// A guest that reports the failure at 128 as a warning this many times.
fn warning_guest(times: u32) -> Guest {
    let run = format!(
        "(local $left i32) (local.set $left (i32.const {times}))
         (loop
           (call $warn (i32.const 512) (i32.const 6) (i32.const 518) (i32.const 14) (i32.const 1024) (i32.const 1))
           (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
         i32.const 0"
    );
    let imports = r#"(import "sentrynet:probe/warning@0.1.0" "report" (func $warn (param i32 i32 i32 i32 i32 i32)))"#;
    Guest { imports, run: run.leak(), ..PASSES }
}

/// Runs a third-party probe once that may write to its log, with these limits.
fn run_third_party(name: &str, guest: &Guest, limits: &str) -> (i32, Value) {
    let component = guest.write(name);
    let probe = format!("{{probe: '{}', title: Shop, allow: {{log: true}}}}", component.display());
    let (code, mut runs) = run_once(&format!("limits: {{{limits}}}\ngroups: [{{probes: [{probe}]}}]"));
    (code, runs.remove(0))
}

#[test]
fn a_third_party_probe_reports_warnings_within_bounds() {
    let (code, run) = run_third_party("warns", &warning_guest(1), "");
    assert_eq!((code, &run["outcome"]), (0, &json!("passed")), "{run:#}");
    assert_eq!(warnings(&run), ["teapot: it is a teapot"]);
    assert_eq!(run["warnings"][0]["mismatches"][0]["subject"], "colour");
    assert_eq!(run["log"], json!([]));
    let (code, run) = run_third_party("warns-often", &warning_guest(1000), "");
    assert_eq!((code, warnings(&run).len()), (0, 20), "{run:#}");
    let lines = run["log"].as_array().expect("a list");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0]["message"].as_str().is_some_and(|line| line.starts_with("further warnings are left out")));
}

/// A guest that reports warnings with this many mismatches, each of which has three texts of this many bytes.
fn wordy_guest(warnings: usize, mismatches: u32, text_bytes: u32) -> Guest {
    let define = format!(
        "(func $fill (local $at i32)
           (memory.fill (i32.const 131072) (i32.const 97) (i32.const 8192))
           (loop
             (i32.store offset=65536 (local.get $at) (i32.const 131072))
             (i32.store offset=65540 (local.get $at) (i32.const {text_bytes}))
             (local.set $at (i32.add (local.get $at) (i32.const 8)))
             (br_if 0 (i32.lt_u (local.get $at) (i32.const 2400)))))"
    );
    let call = format!(
        "(call $warn (i32.const 512) (i32.const 6) (i32.const 518) (i32.const 14) (i32.const 65536) \
         (i32.const {mismatches}))"
    );
    let run = format!("(call $fill) {} i32.const 0", call.repeat(warnings));
    Guest { define: define.leak(), run: run.leak(), ..warning_guest(1) }
}

#[test]
fn the_texts_of_warnings_are_bounded_and_count_as_memory() {
    let (code, run) = run_third_party("warns-at-length", &wordy_guest(15, 10, 2048), "");
    assert_eq!((code, warnings(&run).len()), (0, 4), "four warnings of 60 KiB are kept: {}", run["log"]);
    let (code, run) = run_third_party("warns-beyond-memory", &wordy_guest(1, 100, 4000), "memory: 1 MiB");
    assert_eq!((code, &run["failure"]["reason"]), (3, &json!("memory")), "{}", run["failure"]);
}
