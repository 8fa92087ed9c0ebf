//! Failures of a chain, and the steps that run after one.

use std::time::Duration;

use serde_json::json;

use crate::chain::{Target, descriptions, method_and_path};
use crate::support::{assert_passed, expect_failure, free_port, tcp_server};

#[test]
fn a_failing_step_names_itself_and_ends_the_run() {
    let target = Target::start(|request| match method_and_path(request) {
        "GET /down" => ("503 Service Unavailable", "", String::new()),
        _ => ("200 OK", "", r#"{"a": 1, "b": 2}"#.to_owned()),
    });
    let run = target.run_chain("steps: [{url: URL/}, {name: Pay, url: URL/down}, {url: URL/never}]");
    assert_eq!(expect_failure(&run, "status"), "step 2 (Pay): expected status 200, got 503");
    let mismatch = json!([{ "subject": "step 2 (Pay): status", "expected": "200", "actual": "503" }]);
    assert_eq!(run["failure"]["mismatches"], mismatch);
    assert_eq!(target.request_lines(), ["GET /", "GET /down"]);

    let run = target.run_chain("steps: [{url: URL/, checks: {$.a: 2, $.b: {less: 2}, status: 2xx}}]");
    assert_eq!(expect_failure(&run, "assertion"), "step 1: 2 assertions do not hold");
    let mismatches = json!([
        { "subject": "step 1: $.a", "expected": "2", "actual": "1" },
        { "subject": "step 1: $.b", "expected": "less than 2", "actual": "2" },
    ]);
    assert_eq!(run["failure"]["mismatches"], mismatches);

    let port = free_port();
    let run = target.run_chain(&format!("steps: [{{url: URL/}}, {{name: Gone, url: 'http://127.0.0.1:{port}/'}}]"));
    let expected = format!("step 2 (Gone): connection refused by 127.0.0.1:{port}: nothing listens there");
    assert_eq!(expect_failure(&run, "connect"), expected);
}

#[test]
fn steps_with_always_run_after_a_failure_too() {
    let target = Target::start(|request| match method_and_path(request) {
        "GET /down" | "DELETE /late" => ("500 Internal Server Error", "", String::new()),
        _ => ("200 OK", "", r#"{"id": 5}"#.to_owned()),
    });
    let keys = "steps:
  - {url: URL/make, set_keys: {id: $.id}}
  - {name: Break, url: URL/down}
  - {url: URL/never}
  - {name: Clean up, always: true, method: DELETE, url: 'URL/{id}'}
  - {name: Too late, always: true, method: DELETE, url: URL/late}
  - {always: true, url: URL/last}";
    let run = target.run_chain(keys);
    assert_eq!(
        expect_failure(&run, "status"),
        "step 2 (Break): expected status 200, got 500",
        "the first failure is reported"
    );
    assert_eq!(target.request_lines(), ["GET /make", "GET /down", "DELETE /5", "DELETE /late", "GET /last"]);
    let steps = ["2. Break", "4. Clean up", "5. Too late", &format!("6. GET {}/last", target.url)];
    assert_eq!(descriptions(&run, "chain.step")[1..], steps);
    let log = &run["log"][0];
    let expected = "after the failure, step 5 (Too late): expected status 200, got 500";
    assert_eq!((&log["level"], &log["message"]), (&json!("error"), &json!(expected)), "{run:#}");

    // Without an earlier failure, the failure of an `always` step fails the run.
    let run = target.run_chain("steps: [{url: URL/}, {always: true, url: URL/down}]");
    assert_eq!(expect_failure(&run, "status"), "step 2: expected status 200, got 500");
}

#[test]
fn an_assertion_checks_only_values_of_its_own_step() {
    let target = Target::start(|request| match method_and_path(request) {
        "GET /one" => ("200 OK", "", r#"{"token": "old"}"#.to_owned()),
        _ => ("200 OK", "", "{}".to_owned()),
    });
    let run = |assertion: &str| {
        target.run_chain(&format!(
            "steps:
  - {{url: URL/one, set_keys: {{token: $.token}}}}
  - {{url: URL/two, set_keys: {{token: $.token}}, assertions: {{token: {assertion}}}}}"
        ))
    };
    // The key still has the value of the first step, but the second response has none.
    let message = expect_failure(&run("{exists: true}"), "assertion");
    assert_eq!(message, "step 2: token ($.token): expected to exist, got no match");
    assert_passed(&run("{exists: false}"));
}

#[test]
fn a_timeout_names_the_step_or_the_deadline_of_the_run() {
    let slow = tcp_server::respond_slowly(Duration::from_secs(60), Duration::ZERO);
    let target = Target::responding_with_json("{}");
    let steps = format!("steps: [{{url: URL/}}, {{name: Slow, url: 'http://127.0.0.1:{slow}/', TIMEOUT}}]");
    let run = target.run_chain(&steps.replace("TIMEOUT", "timeout: 0.2"));
    assert_eq!(expect_failure(&run, "timeout"), "step 2 (Slow): timed out after 200 ms, waiting for the answer");
    let run = target.run_chain(&format!("limits: {{deadline: 2}}\n{}", steps.replace(", TIMEOUT", "")));
    let message = expect_failure(&run, "timeout");
    assert!(message.starts_with("step 2 (Slow): timed out at the run's deadline after "), "{message}");
}

#[test]
fn a_response_value_that_cannot_be_sent_is_a_failure_of_the_target() {
    let target = Target::responding_with_json(r#"{"next": "://", "line": "a\nb", "text": "no JSON"}"#);
    let run = |second: &str| {
        let set_keys = "{next: $.next, line: $.line}";
        target.run_chain(&format!("steps: [{{url: URL/, set_keys: {set_keys}}}, {{name: Go, {second}}}]"))
    };
    let message = expect_failure(&run("url: '{next}'"), "key");
    assert!(message.starts_with("step 2 (Go): url: the URL "), "{message}");
    let message = expect_failure(&run("url: URL/, headers: {x-line: '{line}'}"), "key");
    assert_eq!(
        message,
        "step 2 (Go): headers.x-line: the value of `x-line` holds characters that a header cannot contain"
    );
    // A request that cannot be built is not sent.
    assert_eq!(target.request_lines(), ["GET /", "GET /"]);
}
