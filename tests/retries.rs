//! Retries of failed runs, and errors that are reported only after several failures.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::guests::{Guest, PASSES};
use crate::support::receiver::Receiver;
use crate::support::running::RunningProgram;
use crate::support::{eventually, http_config, run_command, run_once, sentrynet, spans, tcp_server};

/// Starts a target that responds with these statuses, and then with the last one again. Returns the counter of its
/// requests, and its port.
fn start_target(statuses: &'static [u16]) -> (Arc<AtomicUsize>, u16) {
    let count: Arc<AtomicUsize> = Arc::default();
    let counted = Arc::clone(&count);
    let port = tcp_server::listen(move |mut connection| {
        use std::io::Write;
        tcp_server::read_head(&connection);
        let request = counted.fetch_add(1, Ordering::SeqCst);
        let status = statuses.get(request).or(statuses.last()).expect("there are statuses");
        let head = format!("HTTP/1.1 {status} \r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = connection.write_all(head.as_bytes());
    });
    (count, port)
}

#[test]
fn a_run_that_passes_on_a_retry_has_an_outcome_of_its_own() {
    let receiver = Receiver::start();
    let (count, port) = start_target(&[500, 503, 200]);
    let keys = http_config(&format!("url: http://127.0.0.1:{port}/\ntitle: Shop\nretries: 3\nretry_delay: 0.2"));
    let started = Instant::now();
    let (code, runs) = run_once(&format!("sentry: {{dsn: 'http://key@127.0.0.1:{}/1'}}\n{keys}", receiver.port));
    assert!(started.elapsed() >= Duration::from_millis(400), "the run took less time than two delays");
    assert_eq!((code, count.load(Ordering::SeqCst)), (0, 3), "{runs:#?}");
    let run = &runs[0];
    assert_eq!((&run["outcome"], &run["attempts"]), (&json!("passed-after-retry"), &json!(3)), "{run:#}");
    // A run that passed after a retry has the failure of its first attempt.
    assert_eq!(run["failure"]["reason"], "status");
    assert_eq!(run["failure"]["message"], "expected status 200, got 500");

    let attempts = spans(run, "probe.attempt");
    let shown: Vec<_> = attempts.iter().map(|span| (&span["description"], &span["status"])).collect();
    let expected = [1, 2, 3].map(|number| json!(format!("Attempt {number} of 4")));
    let statuses = [json!("internal_error"), json!("internal_error"), json!("ok")];
    assert_eq!(shown, expected.iter().zip(&statuses).collect::<Vec<_>>());
    assert_eq!(run["spans"][0]["status"], "ok");
    for (attempt, request) in attempts.iter().zip(spans(run, "http.client")) {
        assert_eq!(attempt["parent_span_id"], run["spans"][0]["span_id"]);
        assert_eq!(request["parent_span_id"], attempt["span_id"]);
    }
    let (first, second) = (&attempts[0], &attempts[1]);
    let number = |span: &Value, key: &str| span[key].as_f64().expect("times are numbers");
    let pause = number(second, "start_ms") - number(first, "start_ms") - number(first, "duration_ms");
    assert!(pause >= 200.0, "the delay is part of an attempt: the attempts are {pause} ms apart");

    let transactions = receiver.wait_for_payloads(1, "transaction");
    assert_eq!(transactions.len(), 1);
    let tags = &transactions[0]["tags"];
    assert_eq!((&tags["outcome"], &tags["attempts"]), (&json!("passed-after-retry"), &json!("3")), "{tags:#}");
    assert_eq!(tags["reason"], "status");
    assert_eq!(transactions[0]["contexts"]["trace"]["status"], "ok");
    assert_eq!(receiver.wait_for_payloads(1, "event").len(), 0, "a run that passed sends no error");
}

#[test]
fn a_run_whose_attempts_all_fail_has_failed() {
    let receiver = Receiver::start();
    let (count, port) = start_target(&[500, 503]);
    let keys = http_config(&format!("url: http://127.0.0.1:{port}/\nretries: 2\nretry_delay: 0"));
    let (code, runs) = run_once(&format!("sentry: {{dsn: 'http://key@127.0.0.1:{}/1'}}\n{keys}", receiver.port));
    assert_eq!((code, count.load(Ordering::SeqCst)), (1, 3));
    let run = &runs[0];
    assert_eq!((&run["outcome"], &run["attempts"]), (&json!("failed"), &json!(3)), "{run:#}");
    assert_eq!(run["failure"]["message"], "expected status 200, got 503", "the last attempt decides");
    assert!(spans(run, "probe.attempt").iter().all(|span| span["status"] == "internal_error"));
    let events = receiver.wait_for_payloads(2, "event");
    assert_eq!(events.len(), 1, "a run sends one error, whatever the number of its attempts");
    assert_eq!((&events[0]["tags"]["outcome"], &events[0]["tags"]["attempts"]), (&json!("failed"), &json!("3")));
    assert_eq!(receiver.wait_for_payloads(2, "transaction").len(), 1);
}

#[test]
fn a_run_that_passes_at_once_has_one_attempt() {
    let (count, port) = start_target(&[200]);
    let run = |keys: &str| {
        let (code, mut runs) = run_once(&http_config(&format!("url: http://127.0.0.1:{port}/\n{keys}")));
        assert_eq!(code, 0);
        runs.remove(0)
    };
    let retried = run("retries: 5");
    assert_eq!((&retried["outcome"], &retried["attempts"]), (&json!("passed"), &json!(1)));
    assert_eq!(spans(&retried, "probe.attempt").len(), 1);
    let plain = run("");
    assert_eq!(spans(&plain, "probe.attempt").len(), 0, "without retries, an attempt has no span of its own");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn a_broken_run_is_not_retried() {
    let guest = Guest { run: "unreachable", ..PASSES }.write("retries-broken");
    let keys = http_config("title: Broken\nretries: 3\nretry_delay: 0");
    let (code, runs) = run_once(&keys.replace("probe: http", &format!("probe: {}", guest.display())));
    assert_eq!(code, 3);
    assert_eq!((&runs[0]["outcome"], &runs[0]["attempts"]), (&json!("broken"), &json!(1)), "{:#}", runs[0]);
    assert_eq!(spans(&runs[0], "probe.attempt")[0]["status"], "aborted");
}

#[test]
fn each_attempt_has_a_deadline_and_a_connection_of_its_own() {
    let port = tcp_server::respond_slowly(Duration::from_secs(60), Duration::ZERO);
    let keys = format!("url: http://127.0.0.1:{port}/\nretries: 1\nretry_delay: 0\nlimits: {{deadline: 0.4}}");
    let (code, runs) = run_once(&http_config(&keys));
    assert_eq!((code, &runs[0]["attempts"]), (1, &json!(2)));
    assert_eq!(runs[0]["failure"]["reason"], "timeout");
    for attempt in spans(&runs[0], "probe.attempt") {
        let lasted = attempt["duration_ms"].as_f64().expect("a duration is a number");
        assert!((300.0..2000.0).contains(&lasted), "{lasted} ms");
        assert_eq!(attempt["status"], "deadline_exceeded");
    }
    assert_eq!(spans(&runs[0], "http.client.connect").len(), 2);
}

#[test]
fn text_output_mentions_a_retry() {
    let (_, port) = start_target(&[500, 200]);
    let keys = http_config(&format!("url: http://127.0.0.1:{port}/\ntitle: Shop\nretries: 1\nretry_delay: 0"));
    let ended = run_command(sentrynet().args(["once", "-"]), &keys);
    assert_eq!(ended.code, 0);
    assert!(ended.stdout.contains("passed-after-retry"), "{}", ended.stdout);
    // The line may be wrapped.
    let words = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = "attempt 2 passed, the first failed, status: expected status 200, got 500";
    assert!(words.contains(sentence), "{}", ended.stdout);
}

#[test]
fn an_error_is_sent_after_enough_failures_in_a_row() {
    let receiver = Receiver::start();
    // The statuses: two failures, a pass, and then only failures.
    let (count, port) = start_target(&[500, 500, 200, 500]);
    let keys = format!("url: http://127.0.0.1:{port}/\nevery: 0.1\nfailures_before_error: 3");
    let dsn = format!("sentry: {{dsn: 'http://key@127.0.0.1:{}/1'}}\n", receiver.port);
    let _running = RunningProgram::start_with_config("retries-lasting", &(dsn + &http_config(&keys)), Stdio::null());
    // The sixth run and each later one has an error.
    let envelopes = eventually("three errors", || {
        let envelopes = receiver.wait_for_envelopes(1);
        let errors = envelopes.iter().filter(|envelope| envelope.parse_envelope().1[0].0["type"] == "event").count();
        (errors >= 3).then_some(envelopes)
    });
    let mut runs: Vec<(f64, String, Value)> = Vec::new();
    let mut errors = Vec::new();
    for (head, item) in envelopes.iter().flat_map(|envelope| envelope.parse_envelope().1) {
        let trace = item["contexts"]["trace"]["trace_id"].clone();
        if head["type"] == "event" {
            errors.push(trace);
        } else {
            let outcome = item["tags"]["outcome"].as_str().expect("a tag is text").to_owned();
            runs.push((item["start_timestamp"].as_f64().expect("a time is a number"), outcome, trace));
        }
    }
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let outcomes: Vec<_> = runs.iter().map(|(_, outcome, _)| outcome.as_str()).collect();
    assert_eq!(outcomes[..6], ["failed", "failed", "passed", "failed", "failed", "failed"]);
    assert!(count.load(Ordering::SeqCst) >= runs.len(), "there are more transactions than requests");
    let has_error: Vec<_> = runs.iter().map(|(_, _, trace)| errors.contains(trace)).collect();
    assert_eq!(
        has_error[..6],
        [false, false, false, false, false, true],
        "a run that passes resets the count of failures"
    );
}

#[test]
fn once_sends_an_error_only_if_one_failure_is_enough() {
    let receiver = Receiver::start();
    let (_, port) = start_target(&[500]);
    let keys = format!("url: http://127.0.0.1:{port}/\nfailures_before_error: 2");
    let (code, _) =
        run_once(&format!("sentry: {{dsn: 'http://key@127.0.0.1:{}/1'}}\n{}", receiver.port, http_config(&keys)));
    assert_eq!(code, 1, "a failure that is not reported counts for the exit code");
    assert_eq!(receiver.wait_for_payloads(1, "transaction").len(), 1);
    assert_eq!(receiver.wait_for_payloads(1, "event").len(), 0);
    // A broken run is reported at once, since it is not the target's failure.
    let guest = Guest { run: "unreachable", ..PASSES }.write("retries-ours");
    let receiver = Receiver::start();
    let dsn = format!("sentry: {{dsn: 'http://key@127.0.0.1:{}/1'}}\n", receiver.port);
    let keys = http_config("title: Broken\nfailures_before_error: 2");
    run_once(&(dsn + &keys.replace("probe: http", &format!("probe: {}", guest.display()))));
    assert_eq!(receiver.wait_for_payloads(2, "event").len(), 1);
}

#[test]
fn keys_of_retries_are_validated() {
    for (keys, message) in [
        ("retries: 11", "`retries` must be from 0 to 10, not `11`"),
        ("retries: some", "`retries` must be a whole number"),
        ("retry_delay: -1", "`retry_delay`"),
        ("failures_before_error: 0", "`failures_before_error`"),
        ("failures_before_eror: 2", "did you mean `failures_before_error`?"),
    ] {
        let ended = run_command(sentrynet().args(["check", "-"]), &http_config(&format!("url: http://h/\n{keys}")));
        assert_eq!(ended.code, 2, "{keys}");
        assert!(ended.stderr.contains(message) && ended.stderr.contains(":5:"), "{keys}: {}", ended.stderr);
    }
}
