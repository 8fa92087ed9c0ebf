//! Envelopes as Sentry gets them: received by kent, and checked by Relay's normaliser.

use serde_json::{Value, json};

use crate::guests::{Guest, PASSES};
use crate::support::kent::Kent;
use crate::support::nginx::Nginx;
use crate::support::receiver::Receiver;
use crate::support::{free_port, http_config, relay, run_command, run_once, run_once_with, sentrynet, spans};

/// Returns a configuration with a probe that passes, one that fails and one that breaks.
fn config_of_all_outcomes(dsn: &str, target: u16) -> String {
    let broken =
        Guest { define: "(func $brew unreachable)", run: "call $brew i32.const 0", ..PASSES }.write("sentry-broken");
    format!(
        "sentry: {{dsn: '{dsn}', environment: staging, release: shop@1.2.3, server_name: here, tags: {{a: s, b: s, c: s}}}}
groups:
  - tags: {{b: g, c: g}}
    check_in: {{slug: all-3, failure_issue_threshold: 2, recovery_threshold: 2}}
    probes:
      - {{probe: http, title: Up, check_in: true, url: 'http://localhost:{target}/up', tags: {{c: p}}, set_keys: {{s: $.s}}, assertions: {{s: ok}}}}
      - {{probe: http, title: Down, check_in: {{slug: shop_down, margin: 5, owner: 'user:ops@example.org'}}, url: 'http://localhost:{target}/down', tags: {{c: p}}}}
      - {{probe: '{}', title: Broken}}
",
        broken.display()
    )
}

fn start_target() -> (Nginx, u16) {
    let name = format!("sentry-{}", free_port());
    Nginx::start_plain(&name, r#"location = /up { return 200 '{"s": "ok"}'; } location / { return 500; }"#)
}

#[test]
fn a_real_receiver_gets_every_run() {
    let kent = Kent::start();
    let (_nginx, port) = start_target();
    let (code, runs) = run_once(&config_of_all_outcomes(&format!("http://public@127.0.0.1:{}/1", kent.port), port));
    assert_eq!(code, 3);
    let transactions = kent.payloads("transaction");
    let of = |title: &str| {
        let mut found = transactions.iter().filter(|transaction| transaction["transaction"] == title);
        let transaction = found.next().unwrap_or_else(|| panic!("no {title} in {transactions:#?}"));
        assert!(found.next().is_none(), "two transactions of the run {title}");
        transaction
    };
    for (run, (title, status)) in runs.iter().zip([("Up", "ok"), ("Down", "internal_error"), ("Broken", "aborted")]) {
        let transaction = of(title);
        let trace = &transaction["contexts"]["trace"];
        assert_eq!(trace["trace_id"], run["trace_id"]);
        assert_eq!(trace["span_id"], run["spans"][0]["span_id"]);
        assert_eq!((&trace["op"], &trace["status"]), (&run["probe"], &json!(status)));
        assert_eq!(transaction["transaction_info"]["source"], "custom");
        assert_eq!(transaction["environment"], "staging");
        assert_eq!(transaction["release"], "shop@1.2.3");
        assert_eq!(transaction["server_name"], "here");
        assert_eq!(transaction["tags"]["probe"], run["probe"]);
        assert_eq!((&transaction["tags"]["a"], &transaction["tags"]["b"]), (&json!("s"), &json!("g")));
        assert_eq!(transaction["tags"]["c"], if title == "Broken" { "g" } else { "p" });
        let sent: Vec<_> = transaction["spans"]
            .as_array()
            .expect("a transaction has spans")
            .iter()
            .map(|span| &span["span_id"])
            .collect();
        let run: Vec<_> =
            run["spans"].as_array().expect("a run has spans").iter().skip(1).map(|span| &span["span_id"]).collect();
        assert_eq!(sent, run);
    }

    let errors = kent.payloads("event");
    assert_eq!(errors.len(), 2, "an error for each run that did not pass, and none for those that did");
    let of = |run: &Value| {
        let same = |error: &&Value| error["contexts"]["trace"]["trace_id"] == run["trace_id"];
        errors.iter().find(same).expect("the error is on the run's trace")
    };
    let (down, broken) = (of(&runs[1]), of(&runs[2]));
    assert_eq!(down["fingerprint"], json!(["probe-failed", "probes.http", "Down", "status", "status"]));
    assert_eq!(broken["fingerprint"], json!(["probe-broken", "sentry-broken", "Broken", "trap"]));
    assert_eq!(down["exception"]["values"][0]["value"], "Down: expected status 200, got 500");
    assert_eq!(down["tags"]["c"], "p");
    assert!(
        down.to_string().contains("\"200\"") && down.to_string().contains("\"500\""),
        "the error has the expected and the actual status: {down:#}"
    );
    assert!(broken.to_string().contains("brew"), "the error has the guest's backtrace: {broken:#}");
}

#[test]
fn relay_accepts_all_envelopes() {
    let receiver = Receiver::start();
    let (_nginx, port) = start_target();
    // The DSN has a path, as those of self-hosted Sentry may have.
    let dsn = format!("http://public@127.0.0.1:{}/behind/a/path/42", receiver.port);
    run_once(&config_of_all_outcomes(&dsn, port));
    let envelopes = receiver.wait_for_envelopes(8);
    for received in &envelopes {
        assert_eq!(received.path, "/behind/a/path/api/42/envelope/");
        let auth = &received.headers["x-sentry-auth"];
        assert!(auth.contains("sentry_key=public") && auth.contains("sentry_version=7"), "{auth}");
        let (header, items) = received.parse_envelope();
        assert!(header["sent_at"].is_string());
        assert_eq!(items.len(), 1);
        let checks_in = items[0].0["type"] == "check_in";
        assert!(checks_in || header["trace"]["public_key"] == "public");
    }
    relay::assert_accepts("relay", &envelopes);
}

#[test]
fn environment_variables_fill_keys_that_are_not_configured() {
    let receiver = Receiver::start();
    let (_nginx, port) = start_target();
    let dsn = format!("http://public@127.0.0.1:{}/1", receiver.port);
    let keys = http_config(&format!("url: http://localhost:{port}/up"));
    let mut program = sentrynet();
    let (code, runs) = run_once_with(program.env("SENTRY_DSN", dsn).env("SENTRY_ENVIRONMENT", "qa"), &keys);
    assert_eq!(code, 0);
    let (header, items) = receiver.wait_for_envelopes(1)[0].parse_envelope();
    assert_eq!(header["trace"]["trace_id"], runs[0]["trace_id"]);
    assert_eq!(items[0].1["environment"], "qa");
    assert_eq!(spans(&runs[0], "http.client").len(), 1);
}

#[test]
fn an_unreachable_receiver_changes_no_run_and_its_key_is_not_shown() {
    let (_nginx, port) = start_target();
    let dsn = format!("http://secretkey@127.0.0.1:{}/1", free_port());
    let keys = http_config(&format!("url: http://localhost:{port}/up"));
    let ended = run_command(sentrynet().env("SENTRY_DSN", dsn).args(["once", "-"]), &keys);
    assert_eq!(ended.code, 3, "the run is not in Sentry");
    assert!(ended.stdout.contains("passed"));
    assert!(ended.stderr.contains("127.0.0.1"), "the message names the receiver: {}", ended.stderr);
    assert!(!ended.stderr.contains("secretkey"), "{}", ended.stderr);
}
