//! What a Spotlight on this machine gets.

use serde_json::json;

use crate::support::spotlight::Spotlight;
use crate::support::target::Target;
use crate::support::{http, once_with, sentrynet};

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
