//! Which runs Sentry gets where those that pass are sampled, and what it is told of the rate.

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::receiver::{Received, Receiver};
use crate::support::running::Running;
use crate::support::target::Target;
use crate::support::{eventually, http, once, once_with, relay, sentrynet};

/// What is said of sampling at the head of an envelope, and what it holds.
fn open(received: &Received) -> (Value, Value) {
    let (header, mut items) = received.open();
    (header["trace"].clone(), items.remove(0).1)
}

/// How many runs Sentry is told to have been left out.
fn left_out<'a>(payloads: impl IntoIterator<Item = &'a Value>) -> u64 {
    let reports = payloads.into_iter().filter_map(|payload| payload["discarded_events"].as_array());
    let counted = reports.flatten().filter(|it| it["reason"] == "sample_rate" && it["category"] == "transaction");
    counted.map(|it| it["quantity"].as_u64().expect("a quantity is a number")).sum()
}

#[track_caller]
fn number(sampling: &Value, key: &str) -> f64 {
    sampling[key].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {key} in {sampling}"))
}

#[test]
fn a_quarter_of_what_passes_speaks_for_all_of_it() {
    const RUNS: usize = 400;
    const FAILURES: usize = 20;
    let sentry = Receiver::start();
    let target = Target::answering(|asked| {
        let status = if asked.last().is_some_and(|asked| asked.line.contains("/down")) { 503 } else { 200 };
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
    let running = Running::with("sampling", &configuration, Stdio::piped());
    eventually("all runs", || (target.asked().len() >= RUNS + FAILURES).then_some(()));
    running.signal("TERM");
    let (code, stdout) = running.end();
    assert_eq!(code, Some(0));
    let shown = |outcome: &str| stdout.lines().filter(|line| line.contains(outcome)).count();
    assert_eq!((shown("✓ passed"), shown("✗ failed")), (RUNS, FAILURES), "all are shown");

    let envelopes = sentry.wait(2 * FAILURES);
    let received: Vec<_> = envelopes.iter().map(open).collect();
    let of = |title: &str, kind: &str| -> Vec<&Value> {
        let of = |payload: &Value| payload["transaction"] == title && payload["type"] == kind;
        received.iter().filter(|(_, payload)| of(payload)).map(|(sampling, _)| sampling).collect()
    };
    let passed = of("Up", "transaction");
    // Six standard deviations around the mean of 100: chance alone leaves them one time in five hundred million.
    assert!((48..=152).contains(&passed.len()), "{} of {RUNS}", passed.len());
    let told = left_out(received.iter().map(|(_, payload)| payload));
    assert_eq!(told, (RUNS - passed.len()) as u64, "Sentry knows how many there were");
    for sampling in &passed {
        assert_eq!((&sampling["sample_rate"], &sampling["sampled"]), (&json!("0.25"), &json!("true")));
        assert!(number(sampling, "sample_rand") < 0.25, "{sampling}");
    }
    let failed: Vec<_> = received.iter().filter(|(_, payload)| payload["transaction"] == "Down").collect();
    assert_eq!(failed.len(), 2 * FAILURES, "a transaction and an error for each");
    for (sampling, _) in failed {
        assert_eq!((&sampling["sample_rate"], &sampling["sampled"]), (&json!("1"), &json!("true")));
    }

    let of_the_quarter = envelopes.iter().filter(|received| open(received).1["transaction"] == "Up");
    relay::has_no_complaint("sampling-relay", of_the_quarter.take(10));

    // Each target is told what decides of the run, before anybody knows how that ends.
    let sent: Vec<_> = passed.iter().map(|sampling| sampling["trace_id"].as_str().expect("an id is text")).collect();
    for asked in target.asked().iter().filter(|asked| asked.line.starts_with("GET / ")) {
        let header = asked.header("sentry-trace").expect("the target is told");
        let is_sent = sent.contains(&&header[..32]);
        assert_eq!(header.ends_with("-1"), is_sent, "{header}");
        let baggage = asked.header("baggage").expect("the target is told");
        assert!(baggage.contains("sentry-sample_rate=0.25,"), "{baggage}");
        assert!(baggage.contains(&format!("sentry-sampled={is_sent}")), "{baggage}");
        let rand = baggage.split(',').find_map(|member| member.strip_prefix("sentry-sample_rand="));
        assert_eq!(rand.and_then(|rand| rand.parse::<f64>().ok()).expect("a number") < 0.25, is_sent, "{baggage}");
    }
}

#[test]
fn what_did_not_pass_at_once_and_in_time_is_always_sent() {
    let sentry = Receiver::start();
    let tries = AtomicUsize::new(0);
    let target = Target::answering(move |asked| {
        let asked = asked.last().map(|asked| asked.line.clone()).unwrap_or_default();
        let down = asked.contains("/down") || asked.contains("/shaky") && tries.fetch_add(1, Ordering::SeqCst) == 0;
        if asked.contains("/slow") {
            std::thread::sleep(Duration::from_millis(2200));
        }
        format!("{} \r\ncontent-length: 0\r\nconnection: close\r\n\r\n", if down { 503 } else { 200 })
    });
    let (dsn, port) = (format!("http://key@127.0.0.1:{}/1", sentry.port), target.port);
    let (code, runs) = once(&format!(
        "sentry: {{dsn: '{dsn}', sample: {{rate: 0, slower_than: 2}}}}
groups:
  - probes:
      - {{probe: http, title: Up, url: 'http://127.0.0.1:{port}/'}}
      - {{probe: http, title: Down, url: 'http://127.0.0.1:{port}/down', failures_before_error: 2}}
      - {{probe: http, title: Shaky, url: 'http://127.0.0.1:{port}/shaky', retries: 1, retry_delay: 0}}
      - {{probe: http, title: Slow, url: 'http://127.0.0.1:{port}/slow'}}
"
    ));
    assert_eq!((code, runs.len()), (1, 4), "all are told of here");
    let received: Vec<_> = sentry.wait(4).iter().map(open).collect();
    assert_eq!(left_out(received.iter().map(|(_, payload)| payload)), 1);
    let received: Vec<_> = received.iter().filter(|(_, payload)| payload["type"] == "transaction").collect();
    let mut titles: Vec<_> = received.iter().map(|(_, payload)| payload["transaction"].as_str().unwrap()).collect();
    titles.sort_unstable();
    assert_eq!(titles, ["Down", "Shaky", "Slow"]);
    for (sampling, _) in received {
        assert_eq!((&sampling["sample_rate"], &sampling["sampled"]), (&json!("1"), &json!("true")));
    }
}

#[test]
fn a_rate_can_come_from_the_environment() {
    let sentry = Receiver::start();
    let target = Target::new();
    let configuration = format!(
        "sentry: {{dsn: 'http://key@127.0.0.1:{}/1', sample: '${{env:RATE}}'}}\n{}",
        sentry.port,
        http(&format!("url: http://127.0.0.1:{}/", target.port))
    );
    let mut sent = 0;
    for (number, (rate, sends)) in [("0", 0), ("1", 1), ("0 of 7", 0), ("7 of 7", 1)].into_iter().enumerate() {
        let (code, runs) = once_with(sentrynet().env("RATE", rate), &configuration);
        assert_eq!((code, runs.len()), (0, 1));
        sent += sends;
        // Either the run, or the report that it was left out.
        let payloads: Vec<_> = sentry.wait(number + 1).iter().map(|received| open(received).1).collect();
        let passed = payloads.iter().filter(|payload| payload["type"] == "transaction").count();
        assert_eq!((passed, left_out(&payloads)), (sent, (number + 1 - sent) as u64), "at {rate}");
    }
}
