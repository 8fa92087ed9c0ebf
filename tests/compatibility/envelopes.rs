//! The envelopes for Sentry and the output of `--format json`, for the constant runs in `runs`.

use std::sync::Arc;
use std::time::Duration;

use sentrynet::assessment::AssessedRun;
use sentrynet::config::{self, Source};
use sentrynet::sink::json::run_to_json;
use sentrynet::sink::sentry::Sentry;
use sentrynet::sink::{Sink, Sinks};
use serde_json::{Value, json};

use super::expected::compare_json;
use super::normalize::Normalizer;
use super::runs;
use crate::support::receiver::{ReceivedEnvelope, Receiver};

/// Calls `report` with a sink that sends to a receiver. Returns the envelopes that the receiver gets, sorted by the
/// type of their item. `sentry_keys` are further lines of the section `sentry`.
fn envelopes_after(sentry_keys: &str, report: impl AsyncFnOnce(Arc<Sentry>)) -> Vec<ReceivedEnvelope> {
    let receiver = Receiver::start();
    let text = format!(
        "sentry:
  dsn: '{}'
  environment: staging
  release: probes@1.2.3
  server_name: here
  spool: false
{sentry_keys}
groups:
  - check_in: {{slug: shop, margin: 7, failure_issue_threshold: 2, recovery_threshold: 3, owner: 'team:shop'}}
    probes:
      - {{probe: http, title: Shop, every: 120, url: 'http://shop.example/'}}
",
        receiver.dsn(),
    );
    let source = Source::from_text("test", text);
    let parsed = config::parse(&source, &|_| None);
    assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
    let mut config = parsed.config;
    config.sentry.monitors = config::monitors(&config, &config.check_ins, &["Shop"]).expect("each slug is used once");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let sentry = Sentry::start(&config.sentry).expect("the client starts").expect("the configuration has a DSN");
        report(Arc::new(sentry)).await;
    });
    let mut envelopes = receiver.received();
    envelopes.sort_by_key(ReceivedEnvelope::item_type);
    envelopes
}

/// Returns the envelopes that a receiver gets for one run.
fn envelopes_of(run: AssessedRun, sentry_keys: &str) -> Vec<ReceivedEnvelope> {
    envelopes_after(sentry_keys, async |sentry| {
        sentry.report(&Arc::new(run));
        sentry.flush(FLUSH_TIMEOUT).await;
    })
}

const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns the only envelope with an item of this type.
#[track_caller]
fn only_envelope<'a>(received: &'a [ReceivedEnvelope], kind: &str) -> &'a ReceivedEnvelope {
    let mut found = received.iter().filter(|received| received.item_type() == kind);
    let (Some(one), None) = (found.next(), found.next()) else { panic!("expected one envelope with the item {kind}") };
    one
}

/// Returns an envelope's header, and the header and payload of its only item.
fn contents_of(received: &ReceivedEnvelope) -> Value {
    let (mut header, mut items) = received.parse_envelope();
    let (mut item_header, mut payload) = items.pop().expect("an envelope has an item");
    // The length follows from the payload.
    item_header
        .as_object_mut()
        .expect("the header of an item is an object")
        .remove("length")
        .expect("an item has a length");
    if let Some(version) = payload.pointer_mut("/sdk/version") {
        assert_eq!(version.as_str(), Some(env!("CARGO_PKG_VERSION")));
        *version = "VERSION".into();
    }
    let sent_at =
        header.as_object_mut().and_then(|header| header.get_mut("sent_at")).expect("the header has `sent_at`");
    *sent_at = "TIME".into();
    json!({ "header": header, "item": item_header, "payload": payload })
}

/// Compares all output about a run: the transaction, the event if the run is an error or has a warning, the check-in,
/// and the JSON.
#[track_caller]
fn compare_output(name: &str, run: AssessedRun) {
    compare_json(&format!("json-{name}.json"), &run_to_json(&run));
    let is_error = run.assessment.is_error() || run.assessment.has_due_warning();
    let received = envelopes_of(run, "");
    let kinds: Vec<_> = received.iter().map(ReceivedEnvelope::item_type).collect();
    let expected: &[&str] = if is_error { &["check_in", "event", "transaction"] } else { &["check_in", "transaction"] };
    assert_eq!(kinds, expected);
    compare_json(&format!("transaction-{name}.json"), &contents_of(only_envelope(&received, "transaction")));
    if is_error {
        compare_json(&format!("event-{name}.json"), &contents_of(only_envelope(&received, "event")));
    }
    // The id of a check-in is random.
    let mut check_in = contents_of(only_envelope(&received, "check_in"));
    let id = check_in["payload"]["check_in_id"].take();
    assert_eq!(id.as_str().map(str::len), Some(32));
    compare_json(&format!("check-in-{name}.json"), &check_in);
}

#[test]
fn a_run_that_passed() {
    compare_output("passed", runs::passed());
}

#[test]
fn a_run_that_passed_with_a_warning() {
    compare_output("passed-with-warning", runs::passed_with_warning());
}

#[test]
fn a_run_that_passed_after_a_retry() {
    compare_output("passed-after-retry", runs::passed_after_retry());
}

#[test]
fn a_run_that_failed_over_http() {
    compare_output("failed-http", runs::failed_over_http());
}

#[test]
fn a_run_that_failed_over_ssh() {
    compare_output("failed-ssh", runs::failed_over_ssh());
}

#[test]
fn a_run_that_failed_over_tcp() {
    compare_output("failed-tcp", runs::failed_over_tcp());
}

#[test]
fn a_run_that_failed_over_dns() {
    compare_output("failed-dns", runs::failed_over_dns());
}

#[test]
fn a_run_that_broke() {
    compare_output("broken", runs::broken());
}

#[test]
fn a_run_that_was_sampled_out() {
    let received = envelopes_of(runs::passed(), "  sample: 0");
    let mut report = contents_of(only_envelope(&received, "client_report"));
    Normalizer::default().normalize(&mut report);
    compare_json("client-report.json", &report);
}

#[test]
fn a_host_without_a_network() {
    // Three hosts do not answer, and this host is found offline. The run of a fourth host then has the tag for that.
    let received = envelopes_after("", async |sentry| {
        let sinks = Sinks::new(4, vec![sentry]);
        for id in 1..=3 {
            sinks.report(runs::silent(id));
        }
        sinks.flush(FLUSH_TIMEOUT).await;
        sinks.report(runs::silent(4));
        sinks.flush(FLUSH_TIMEOUT).await;
    });
    let mut event = contents_of(only_envelope(&received, "event"));
    let mut normalizer = Normalizer::default();
    normalizer.normalize(&mut event);
    compare_json("event-offline.json", &event);
    let transactions: Vec<_> = received.iter().filter(|received| received.item_type() == "transaction").collect();
    assert_eq!(transactions.len(), 4);
    let tags: Vec<_> =
        transactions.into_iter().map(|received| contents_of(received)["payload"]["tags"].take()).collect();
    let offline: Vec<_> = tags.iter().filter_map(|tags| tags.get("vantage")).collect();
    assert_eq!(offline, [&json!("offline")]);
}

#[test]
fn the_request_with_an_envelope() {
    let received = envelopes_of(runs::passed(), "");
    let request = only_envelope(&received, "transaction");
    assert_eq!(request.path, "/api/1/envelope/");
    assert_eq!(request.headers["content-type"], "application/x-sentry-envelope");
    let auth = request.headers["x-sentry-auth"].replace(env!("CARGO_PKG_VERSION"), "VERSION");
    assert_eq!(auth, "Sentry sentry_version=7, sentry_client=sentrynet/VERSION, sentry_key=key");
}
