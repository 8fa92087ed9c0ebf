//! Check-ins: what Sentry's monitors are told, and when.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::receiver::Receiver;
use crate::support::running::Running;
use crate::support::target::{Asked, Target};
use crate::support::{eventually, once, problems};

/// A target that fails where `wrong` says so of the requests so far.
fn target(wrong: impl Fn(&[Asked]) -> bool + Send + Sync + 'static) -> Target {
    Target::answering(move |asked| {
        let status = if wrong(asked) { "500 No" } else { "200 OK" };
        format!("{status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    })
}

/// A configuration whose runs are told to a receiver, with more keys for `sentry` and for the one group. Each probe has
/// a title, which is also what it asks the target for, and keys.
fn configuration(receiver: &Receiver, target: &Target, [sentry, group]: [&str; 2], probes: &[(&str, &str)]) -> String {
    let probe = |(title, keys): &(&str, &str)| {
        format!("      - {{probe: http, title: {title}, url: 'http://127.0.0.1:{}/{title}', {keys}}}\n", target.port)
    };
    let probes: String = probes.iter().map(probe).collect();
    let dsn = format!("dsn: 'http://key@127.0.0.1:{}/1', environment: staging", receiver.port);
    format!("sentry: {{{dsn}, {sentry}}}\ngroups:\n  - {group}\n    probes:\n{probes}")
}

/// Nothing more to say of Sentry, or of the group.
const PLAIN: [&str; 2] = ["tags: {}", "tags: {}"];

/// The payloads of a type among all that came, of which there are at least so many.
fn payloads(receiver: &Receiver, least: usize, kind: &str) -> Vec<Value> {
    let items = receiver.wait(least).into_iter().flat_map(|received| received.open().1);
    items.filter(|(head, _)| head["type"] == kind).map(|(_, payload)| payload).collect()
}

/// Runs on schedule until the target was asked so often, and stops; the check-ins.
fn stopped_after(requests: usize, name: &str, configuration: &str, receiver: &Receiver, target: &Target) -> Vec<Value> {
    let running = Running::with(&format!("check-ins-{name}"), configuration, Stdio::piped());
    eventually("requests", || (target.asked().len() >= requests).then_some(()));
    running.signal("TERM");
    assert_eq!(running.end().0, Some(0));
    payloads(receiver, requests, "check_in")
}

#[test]
fn each_run_is_a_check_in_that_brings_its_monitor_up_to_date() {
    let (receiver, target) = (Receiver::start(), target(|asked| asked.len() > 1));
    let keys = "every: 90, retries: 1, retry_delay: 0, limits: {deadline: 10}, \
                check_in: {failure_issue_threshold: 2, recovery_threshold: 3, owner: 'team:shop'}";
    let configuration = configuration(&receiver, &target, PLAIN, &[("Log-In", keys)]);
    let (code, passed) = once(&configuration);
    assert_eq!((code, payloads(&receiver, 2, "check_in").len()), (0, 1));
    let (code, failed) = once(&configuration);
    assert_eq!(code, 1);
    let check_ins = payloads(&receiver, 5, "check_in");
    assert_eq!(check_ins.len(), 2, "{check_ins:#?}");
    for (check_in, (status, run)) in check_ins.iter().zip([("ok", &passed[0]), ("error", &failed[0])]) {
        assert_eq!(check_in["status"], status);
        assert_eq!(check_in["monitor_slug"], "log-in");
        assert_eq!(check_in["environment"], "staging");
        assert_eq!(check_in["contexts"], json!({"trace": {"trace_id": run["trace_id"]}}));
        let seconds = check_in["duration"].as_f64().expect("a duration is a number");
        let milliseconds = run["duration_ms"].as_f64().expect("a duration is a number");
        assert!((seconds * 1e3 - milliseconds).abs() < 0.01, "{seconds} s, {milliseconds} ms");
        let id = check_in["check_in_id"].as_str().expect("an id is text");
        assert!(id.len() == 32 && id.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{id}");
        let config = json!({
            "schedule": {"type": "interval", "value": 2, "unit": "minute"},
            "checkin_margin": 3,
            "failure_issue_threshold": 2,
            "recovery_threshold": 3,
            "owner": "team:shop",
        });
        assert_eq!(check_in["monitor_config"], config);
    }
    assert_ne!(check_ins[0]["check_in_id"], check_ins[1]["check_in_id"]);
}

#[test]
fn a_probe_that_runs_seldom_checks_in_at_once() {
    let (receiver, target) = (Receiver::start(), Target::new());
    let probes = [("Shop", "every: 60, check_in: true"), ("Another", "every: 60")];
    let configuration = configuration(&receiver, &target, PLAIN, &probes);
    let _running = Running::with("check-ins-at-once", &configuration, Stdio::null());
    let check_ins = payloads(&receiver, 3, "check_in");
    assert_eq!(check_ins.len(), 1, "two transactions and a check-in");
    assert_eq!(check_ins[0]["monitor_slug"], "shop");
}

#[test]
fn many_runs_of_a_minute_are_one_check_in_as_bad_as_the_worst() {
    let (receiver, target) = (Receiver::start(), target(|asked| asked.len() == 3));
    // Fewer failures than make an error in its own right.
    let keys = "every: 0.1, failures_before_error: 9, check_in: {slug: often}";
    let configuration = configuration(&receiver, &target, PLAIN, &[("Shop", keys)]);
    let check_ins = stopped_after(6, "often", &configuration, &receiver, &target);
    let [check_in] = &check_ins[..] else { panic!("one check-in, not {check_ins:#?}") };
    assert_eq!((&check_in["monitor_slug"], &check_in["status"]), (&json!("often"), &json!("error")));
    assert_eq!(check_in["monitor_config"]["failure_issue_threshold"], 9);
    assert_eq!(check_in["monitor_config"]["schedule"]["value"], 1);
    let failed: Vec<_> = payloads(&receiver, 6, "transaction")
        .into_iter()
        .filter(|transaction| transaction["tags"]["outcome"] == "failed")
        .map(|transaction| transaction["contexts"]["trace"]["trace_id"].clone())
        .collect();
    assert_eq!(failed, [check_in["contexts"]["trace"]["trace_id"].clone()], "the trace is that of the worst");
}

#[test]
fn a_group_has_one_monitor() {
    let down = |asked: &[Asked]| asked.last().is_some_and(|asked| asked.line.contains("/Down"));
    let (receiver, target) = (Receiver::start(), target(down));
    let group = ["tags: {}", "check_in: {slug: shop, margin: 9}"];
    let probes = [("Down", "every: 60, check_in: true"), ("Up", "every: 0.1")];
    let configuration = configuration(&receiver, &target, group, &probes);
    let mut check_ins = stopped_after(5, "group", &configuration, &receiver, &target);
    check_ins.sort_by_key(|check_in| check_in["monitor_slug"].to_string());
    let told: Vec<_> = check_ins.iter().map(|check_in| (&check_in["monitor_slug"], &check_in["status"])).collect();
    assert_eq!(told, [(&json!("down"), &json!("error")), (&json!("shop"), &json!("error"))]);
    assert_eq!(check_ins[1]["monitor_config"]["checkin_margin"], 9);
    assert_eq!(check_ins[0]["contexts"], check_ins[1]["contexts"], "the trace is that of the probe that is down");
}

#[test]
fn the_host_says_that_it_is_alive_until_it_is_not() {
    let (receiver, target) = (Receiver::start(), Target::new());
    let sentry = ["server_name: Prober-1.example, check_in: true", "tags: {}"];
    let configuration = configuration(&receiver, &target, sentry, &[("Shop", "every: 0.1, check_in: true")]);
    let running = Running::with("check-ins-host", &configuration, Stdio::piped());
    let beats = eventually("a first check-in", || {
        let beats = payloads(&receiver, 1, "check_in");
        (!beats.is_empty()).then_some(beats)
    });
    let [beat] = &beats[..] else { panic!("one check-in, not {beats:#?}") };
    assert_eq!((&beat["monitor_slug"], &beat["status"]), (&json!("prober-1-example"), &json!("ok")));
    assert_eq!((beat.get("contexts"), beat.get("duration")), (None, None), "it is about no run");
    let config = json!({"schedule": {"type": "interval", "value": 1, "unit": "minute"}, "checkin_margin": 2});
    assert_eq!(beat["monitor_config"], config);
    // The probe's own is still to come, at the end of its minute.
    eventually("a few runs", || (target.asked().len() >= 3).then_some(()));
    running.signal("KILL");
    assert_eq!(running.end().0, None);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(payloads(&receiver, 1, "check_in").len(), 1, "the dead tell nothing");

    let (code, _) = once(&configuration);
    assert_eq!(code, 0);
    let check_ins = payloads(&receiver, 1, "check_in");
    let slugs: Vec<_> = check_ins.iter().skip(1).map(|check_in| &check_in["monitor_slug"]).collect();
    assert_eq!(slugs, ["shop"], "who runs once is not here to stay");
}

#[test]
fn slugs_are_checked_under_the_titles_that_components_give() {
    let found = problems(
        "groups:
- probes:
  - {probe: http, url: 'http://shop.example/', check_in: true}
  - {probe: http, url: 'http://shop.example/', check_in: true, title: Get HTTP shop example}
",
    );
    let message = "2 monitors would have the slug `get-http-shop-example`: give each a `slug` of its own";
    assert_eq!(found, [format!("3:48 {message}"), format!("4:48 {message}")]);
}
