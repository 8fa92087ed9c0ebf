//! Envelopes sent to a local Spotlight.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::receiver::{ReceivedEnvelope, Receiver};
use crate::support::spotlight::Spotlight;
use crate::support::target::Target;
use crate::support::{free_port, http_config, run_command, run_once_with, sentrynet};

#[test]
fn spotlight_gets_the_same_transaction_as_sentry() {
    let (spotlight, target) = (Spotlight::start(), Target::new());
    let dsn = format!("http://key@127.0.0.1:{}/1", spotlight.port);
    let keys = http_config(&format!("url: http://127.0.0.1:{}/\ntitle: Shop", target.port));
    let (code, runs) = run_once_with(sentrynet().env("SENTRY_DSN", dsn), &keys);
    assert_eq!(code, 0);
    let (_, items) = spotlight.wait_for_envelopes(1).remove(0);
    let (head, transaction) = &items[0];
    assert_eq!((&head["type"], &transaction["transaction"]), (&json!("transaction"), &json!("Shop")));
    assert_eq!(transaction["contexts"]["trace"]["trace_id"], runs[0]["trace_id"]);
    let shown = transaction["spans"].as_array().expect("a transaction has spans").iter().map(|span| &span["span_id"]);
    let spans = runs[0]["spans"].as_array().expect("a run has spans").iter().skip(1).map(|span| &span["span_id"]);
    assert!(shown.eq(spans), "{transaction:#}");
}

#[test]
fn spotlight_gets_all_envelopes_with_and_without_a_dsn() {
    let (spotlight, receiver) = (Spotlight::start(), Receiver::start());
    let target = Target::responding(|_| "500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned());
    let keys = http_config(&format!("url: http://127.0.0.1:{}/\ntitle: Shop\ncheck_in: true", target.port));
    let url = format!("http://127.0.0.1:{}/stream", spotlight.port);
    let ended = run_command(sentrynet().env("SENTRY_SPOTLIGHT", &url).args(["once", "-"]), &keys);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let without_dsn = ids_by_type(spotlight.wait_for_envelopes(3));
    assert_eq!(without_dsn.keys().collect::<Vec<_>>(), ["check_in", "event", "transaction"]);

    let sentry = format!("sentry: {{dsn: 'http://key@127.0.0.1:{}/1', spotlight: '{url}'}}\n", receiver.port);
    assert_eq!(run_command(sentrynet().args(["once", "-"]), &(sentry + &keys)).code, 1);
    let sent = ids_by_type(receiver.wait_for_envelopes(3).iter().map(ReceivedEnvelope::parse_envelope));
    let shown = ids_by_type(spotlight.wait_for_envelopes(6).split_off(3));
    assert_eq!(shown, sent, "Sentry and Spotlight get the same envelopes");
}

#[test]
fn an_unreachable_spotlight_delays_nothing() {
    let (receiver, target) = (Receiver::start(), Target::new());
    let keys = http_config(&format!("url: http://127.0.0.1:{}/", target.port));
    let spotlight = format!("http://127.0.0.1:{}/stream", free_port());
    let sentry = format!("sentry: {{dsn: 'http://key@127.0.0.1:{}/1', spotlight: '{spotlight}'}}\n", receiver.port);
    let started = Instant::now();
    let ended = run_command(sentrynet().args(["once", "-"]), &(sentry + &keys));
    assert_eq!(ended.code, 0);
    assert_eq!(receiver.wait_for_envelopes(1).len(), 1);
    assert!(ended.stderr.contains("Spotlight at 127.0.0.1"), "the message names Spotlight: {}", ended.stderr);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

type Envelope = (Value, Vec<(Value, Value)>);

/// Returns the id of each envelope's only item, by its type.
fn ids_by_type(envelopes: impl IntoIterator<Item = Envelope>) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().expect("types and ids are text").to_owned();
    envelopes
        .into_iter()
        .map(|(_, items)| (text(&items[0].0["type"]), text(event_or_check_in_id(&items[0].1))))
        .collect()
}

fn event_or_check_in_id(payload: &Value) -> &Value {
    payload.get("event_id").unwrap_or(&payload["check_in_id"])
}
