//! Sampling of passed runs: the runs that are sent, and the sample rate that is reported with them.

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::receiver::{ReceivedEnvelope, Receiver};
use crate::support::running::RunningProgram;
use crate::support::target::Target;
use crate::support::{eventually, http_config, relay, run_once, run_once_with, sentrynet};

/// Returns the `trace` object of the envelope's header, and the payload of its first item.
fn trace_and_payload(received: &ReceivedEnvelope) -> (Value, Value) {
    let (header, mut items) = received.parse_envelope();
    (header["trace"].clone(), items.remove(0).1)
}

/// Returns the number of transactions that client reports count as left out by the sample rate.
fn transactions_left_out<'a>(payloads: impl IntoIterator<Item = &'a Value>) -> u64 {
    let reports = payloads.into_iter().filter_map(|payload| payload["discarded_events"].as_array());
    let counted = reports.flatten().filter(|it| it["reason"] == "sample_rate" && it["category"] == "transaction");
    counted.map(|it| it["quantity"].as_u64().expect("a quantity is a number")).sum()
}

#[track_caller]
fn number(sampling: &Value, key: &str) -> f64 {
    sampling[key].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {key} in {sampling}"))
}

#[test]
fn passed_runs_are_sampled_with_their_rate() {
    const RUNS: usize = 400;
    const FAILURES: usize = 20;
    let sentry = Receiver::start();
    let target = Target::responding(|requests| {
        let status = if requests.last().is_some_and(|request| request.line.contains("/down")) { 503 } else { 200 };
        format!("{status} \r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    });
    let (dsn, port) = (format!("http://key@127.0.0.1:{}/1", sentry.port), target.port);
    let configuration = format!(
        "sentry: {{dsn: '{dsn}', sample: 1 of 4, trace_headers: sampled}}
groups:
  - probes:
      - {{probe: http, title: Up, url: 'http://127.0.0.1:{port}/', burst: {RUNS}, every: 3600}}
      - {{probe: http, title: Down, url: 'http://127.0.0.1:{port}/down', burst: {FAILURES}, every: 3600}}
"
    );
    let running = RunningProgram::start_with_config("sampling", &configuration, Stdio::piped());
    eventually("all runs", || (target.requests().len() >= RUNS + FAILURES).then_some(()));
    running.send_signal("TERM");
    let (code, stdout) = running.wait_for_output();
    assert_eq!(code, Some(0));
    let shown = |outcome: &str| stdout.lines().filter(|line| line.contains(outcome)).count();
    assert_eq!((shown("✓ passed"), shown("✗ failed")), (RUNS, FAILURES), "all runs are printed, sampled or not");

    let envelopes = sentry.wait_for_envelopes(2 * FAILURES);
    let received: Vec<_> = envelopes.iter().map(trace_and_payload).collect();
    let of = |title: &str, kind: &str| -> Vec<&Value> {
        let of = |payload: &Value| payload["transaction"] == title && payload["type"] == kind;
        received.iter().filter(|(_, payload)| of(payload)).map(|(sampling, _)| sampling).collect()
    };
    let passed = of("Up", "transaction");
    // These are six standard deviations around the mean of 100, which chance exceeds once in five hundred million
    // times.
    assert!((48..=152).contains(&passed.len()), "{} of {RUNS} runs were sent", passed.len());
    let reported = transactions_left_out(received.iter().map(|(_, payload)| payload));
    assert_eq!(reported, (RUNS - passed.len()) as u64, "client reports count the runs that were not sent");
    for sampling in &passed {
        assert_eq!((&sampling["sample_rate"], &sampling["sampled"]), (&json!("0.25"), &json!("true")));
        assert!(number(sampling, "sample_rand") < 0.25, "{sampling}");
    }
    let failed: Vec<_> = received.iter().filter(|(_, payload)| payload["transaction"] == "Down").collect();
    assert_eq!(failed.len(), 2 * FAILURES, "each failed run sends a transaction and an error");
    for (sampling, _) in failed {
        assert_eq!((&sampling["sample_rate"], &sampling["sampled"]), (&json!("1"), &json!("true")));
    }

    let sent_envelopes = envelopes.iter().filter(|received| trace_and_payload(received).1["transaction"] == "Up");
    relay::assert_accepts("sampling-relay", sent_envelopes.take(10));

    // The sampling decision is in the headers of each request, before the run has ended.
    let sent: Vec<_> = passed.iter().map(|sampling| sampling["trace_id"].as_str().expect("an id is text")).collect();
    for request in target.requests().iter().filter(|request| request.line.starts_with("GET / ")) {
        let header = request.header("sentry-trace").expect("the target gets the header");
        let is_sent = sent.contains(&&header[..32]);
        assert_eq!(header.ends_with("-1"), is_sent, "{header}");
        let baggage = request.header("baggage").expect("the target gets the header");
        assert!(baggage.contains("sentry-sample_rate=0.25,"), "{baggage}");
        assert!(baggage.contains(&format!("sentry-sampled={is_sent}")), "{baggage}");
        let rand = baggage.split(',').find_map(|member| member.strip_prefix("sentry-sample_rand="));
        assert_eq!(
            rand.and_then(|rand| rand.parse::<f64>().ok()).expect("the header has a number") < 0.25,
            is_sent,
            "{baggage}"
        );
    }
}

#[test]
fn failed_retried_and_slow_runs_are_always_sent() {
    let sentry = Receiver::start();
    let tries = AtomicUsize::new(0);
    let target = Target::responding(move |requests| {
        let request = requests.last().map(|request| request.line.clone()).unwrap_or_default();
        let down = request.contains("/down") || request.contains("/shaky") && tries.fetch_add(1, Ordering::SeqCst) == 0;
        if request.contains("/slow") {
            std::thread::sleep(Duration::from_millis(2200));
        }
        format!("{} \r\ncontent-length: 0\r\nconnection: close\r\n\r\n", if down { 503 } else { 200 })
    });
    let (dsn, port) = (format!("http://key@127.0.0.1:{}/1", sentry.port), target.port);
    let (code, runs) = run_once(&format!(
        "sentry: {{dsn: '{dsn}', sample: {{rate: 0, slower_than: 2}}}}
groups:
  - probes:
      - {{probe: http, title: Up, url: 'http://127.0.0.1:{port}/'}}
      - {{probe: http, title: Down, url: 'http://127.0.0.1:{port}/down', failures_before_error: 2}}
      - {{probe: http, title: Shaky, url: 'http://127.0.0.1:{port}/shaky', retries: 1, retry_delay: 0}}
      - {{probe: http, title: Slow, url: 'http://127.0.0.1:{port}/slow'}}
"
    ));
    assert_eq!((code, runs.len()), (1, 4), "all runs are printed");
    let received: Vec<_> = sentry.wait_for_envelopes(4).iter().map(trace_and_payload).collect();
    assert_eq!(transactions_left_out(received.iter().map(|(_, payload)| payload)), 1);
    let received: Vec<_> = received.iter().filter(|(_, payload)| payload["type"] == "transaction").collect();
    let mut titles: Vec<_> = received.iter().map(|(_, payload)| payload["transaction"].as_str().unwrap()).collect();
    titles.sort_unstable();
    assert_eq!(titles, ["Down", "Shaky", "Slow"]);
    for (sampling, _) in received {
        assert_eq!((&sampling["sample_rate"], &sampling["sampled"]), (&json!("1"), &json!("true")));
    }
}

#[test]
fn the_rate_can_come_from_the_environment() {
    let sentry = Receiver::start();
    let target = Target::new();
    let configuration = format!(
        "sentry: {{dsn: 'http://key@127.0.0.1:{}/1', sample: '${{env:RATE}}'}}\n{}",
        sentry.port,
        http_config(&format!("url: http://127.0.0.1:{}/", target.port))
    );
    let mut sent = 0;
    for (number, (rate, sends)) in [("0", 0), ("1", 1), ("0 of 7", 0), ("7 of 7", 1)].into_iter().enumerate() {
        let (code, runs) = run_once_with(sentrynet().env("RATE", rate), &configuration);
        assert_eq!((code, runs.len()), (0, 1));
        sent += sends;
        // Each run leads to its transaction, or to a client report that the transaction was left out.
        let payloads: Vec<_> =
            sentry.wait_for_envelopes(number + 1).iter().map(|received| trace_and_payload(received).1).collect();
        let passed = payloads.iter().filter(|payload| payload["type"] == "transaction").count();
        assert_eq!((passed, transactions_left_out(&payloads)), (sent, (number + 1 - sent) as u64), "at {rate}");
    }
}
