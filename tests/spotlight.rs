//! What a Spotlight on this machine gets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::receiver::{Received, Receiver};
use crate::support::spotlight::Spotlight;
use crate::support::target::Target;
use crate::support::{finish, free_port, http, once_with, sentrynet};

#[test]
fn it_shows_the_waterfall_that_sentry_gets() {
    let (spotlight, target) = (Spotlight::start(), Target::new());
    let dsn = format!("http://key@127.0.0.1:{}/1", spotlight.port);
    let keys = http(&format!("url: http://127.0.0.1:{}/\ntitle: Shop", target.port));
    let (code, runs) = once_with(sentrynet().env("SENTRY_DSN", dsn), &keys);
    assert_eq!(code, 0);
    let (_, items) = spotlight.wait(1).remove(0);
    let (head, transaction) = &items[0];
    assert_eq!((&head["type"], &transaction["transaction"]), (&json!("transaction"), &json!("Shop")));
    assert_eq!(transaction["contexts"]["trace"]["trace_id"], runs[0]["trace_id"]);
    let shown = transaction["spans"].as_array().expect("a transaction has spans").iter().map(|span| &span["span_id"]);
    let spans = runs[0]["spans"].as_array().expect("a run has spans").iter().skip(1).map(|span| &span["span_id"]);
    assert!(shown.eq(spans), "{transaction:#}");
}

#[test]
fn it_gets_what_sentry_gets_and_needs_no_sentry() {
    let (spotlight, receiver) = (Spotlight::start(), Receiver::start());
    let target = Target::answering(|_| "500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned());
    let keys = http(&format!("url: http://127.0.0.1:{}/\ntitle: Shop\ncheck_in: true", target.port));
    let url = format!("http://127.0.0.1:{}/stream", spotlight.port);
    let ended = finish(sentrynet().env("SENTRY_SPOTLIGHT", &url).args(["once", "-"]), &keys);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let alone = ids(spotlight.wait(3));
    assert_eq!(alone.keys().collect::<Vec<_>>(), ["check_in", "event", "transaction"]);

    let sentry = format!("sentry: {{dsn: 'http://key@127.0.0.1:{}/1', spotlight: '{url}'}}\n", receiver.port);
    assert_eq!(finish(sentrynet().args(["once", "-"]), &(sentry + &keys)).code, 1);
    let sent = ids(receiver.wait(3).iter().map(Received::open));
    let shown = ids(spotlight.wait(6).split_off(3));
    assert_eq!(shown, sent, "with both, both get the same");
}

#[test]
fn one_that_is_not_there_holds_nothing_up() {
    let (receiver, target) = (Receiver::start(), Target::new());
    let keys = http(&format!("url: http://127.0.0.1:{}/", target.port));
    let spotlight = format!("http://127.0.0.1:{}/stream", free_port());
    let sentry = format!("sentry: {{dsn: 'http://key@127.0.0.1:{}/1', spotlight: '{spotlight}'}}\n", receiver.port);
    let started = Instant::now();
    let ended = finish(sentrynet().args(["once", "-"]), &(sentry + &keys));
    assert_eq!(ended.code, 0);
    assert_eq!(receiver.wait(1).len(), 1);
    assert!(ended.stderr.contains("Spotlight at 127.0.0.1"), "it is said: {}", ended.stderr);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

type Envelope = (Value, Vec<(Value, Value)>);

/// The id of each envelope's one item, by its type.
fn ids(envelopes: impl IntoIterator<Item = Envelope>) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().expect("types and ids are text").to_owned();
    envelopes.into_iter().map(|(_, items)| (text(&items[0].0["type"]), text(id(&items[0].1)))).collect()
}

fn id(payload: &Value) -> &Value {
    payload.get("event_id").unwrap_or(&payload["check_in_id"])
}
