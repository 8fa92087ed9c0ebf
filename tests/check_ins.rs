//! Check-ins: what is sent to Sentry's monitors, and when.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::receiver::Receiver;
use crate::support::running::RunningProgram;
use crate::support::target::{Request, Target};
use crate::support::{eventually, find_problems, run_once};

/// Starts a target that responds with 500 if `fails` returns true for the requests so far.
fn failing_target(fails: impl Fn(&[Request]) -> bool + Send + Sync + 'static) -> Target {
    Target::responding(move |requests| {
        let status = if fails(requests) { "500 No" } else { "200 OK" };
        format!("{status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    })
}

/// Returns a configuration that reports to a receiver, with further keys for `sentry` and for the only group. Each
/// probe has a title, which is also the path of its URL, and keys.
fn check_in_config(
    receiver: &Receiver,
    target: &Target,
    [sentry, group]: [&str; 2],
    probes: &[(&str, &str)],
) -> String {
    let probe = |(title, keys): &(&str, &str)| {
        format!("      - {{probe: http, title: {title}, url: 'http://127.0.0.1:{}/{title}', {keys}}}\n", target.port)
    };
    let probes: String = probes.iter().map(probe).collect();
    let dsn = format!("dsn: 'http://key@127.0.0.1:{}/1', environment: staging", receiver.port);
    format!("sentry: {{{dsn}, {sentry}}}\ngroups:\n  - {group}\n    probes:\n{probes}")
}

/// Keys for `sentry` and the group that change nothing.
const NO_KEYS: [&str; 2] = ["tags: {}", "tags: {}"];

/// Runs on schedule until the target has got this many requests, and stops. Returns the check-ins.
fn check_ins_after(
    requests: usize,
    name: &str,
    configuration: &str,
    receiver: &Receiver,
    target: &Target,
) -> Vec<Value> {
    let running = RunningProgram::start_with_config(&format!("check-ins-{name}"), configuration, Stdio::piped());
    eventually("requests", || (target.requests().len() >= requests).then_some(()));
    running.send_signal("TERM");
    assert_eq!(running.wait_for_output().0, Some(0));
    receiver.wait_for_payloads(requests, "check_in")
}

#[test]
fn each_run_is_a_check_in_with_the_configuration_of_its_monitor() {
    let (receiver, target) = (Receiver::start(), failing_target(|requests| requests.len() > 1));
    let keys = "every: 90, retries: 1, retry_delay: 0, limits: {deadline: 10}, \
                check_in: {failure_issue_threshold: 2, recovery_threshold: 3, owner: 'team:shop'}";
    let configuration = check_in_config(&receiver, &target, NO_KEYS, &[("Log-In", keys)]);
    let (code, passed) = run_once(&configuration);
    assert_eq!((code, receiver.wait_for_payloads(2, "check_in").len()), (0, 1));
    let (code, failed) = run_once(&configuration);
    assert_eq!(code, 1);
    let check_ins = receiver.wait_for_payloads(5, "check_in");
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
fn a_probe_with_a_long_period_checks_in_after_each_run() {
    let (receiver, target) = (Receiver::start(), Target::new());
    let probes = [("Shop", "every: 60, check_in: true"), ("Another", "every: 60")];
    let configuration = check_in_config(&receiver, &target, NO_KEYS, &probes);
    let _running = RunningProgram::start_with_config("check-ins-at-once", &configuration, Stdio::null());
    let check_ins = receiver.wait_for_payloads(3, "check_in");
    assert_eq!(check_ins.len(), 1, "one of the two probes checks in");
    assert_eq!(check_ins[0]["monitor_slug"], "shop");
}

#[test]
fn runs_of_one_minute_are_one_check_in_with_the_worst_status() {
    let (receiver, target) = (Receiver::start(), failing_target(|requests| requests.len() == 3));
    // There are too few failures for an error event, but the check-in reports the failure.
    let keys = "every: 0.1, failures_before_error: 9, check_in: {slug: often}";
    let configuration = check_in_config(&receiver, &target, NO_KEYS, &[("Shop", keys)]);
    let check_ins = check_ins_after(6, "often", &configuration, &receiver, &target);
    let [check_in] = &check_ins[..] else { panic!("expected one check-in, got {check_ins:#?}") };
    assert_eq!((&check_in["monitor_slug"], &check_in["status"]), (&json!("often"), &json!("error")));
    assert_eq!(check_in["monitor_config"]["failure_issue_threshold"], 9);
    assert_eq!(check_in["monitor_config"]["schedule"]["value"], 1);
    let failed: Vec<_> = receiver
        .wait_for_payloads(6, "transaction")
        .into_iter()
        .filter(|transaction| transaction["tags"]["outcome"] == "failed")
        .map(|transaction| transaction["contexts"]["trace"]["trace_id"].clone())
        .collect();
    assert_eq!(failed, [check_in["contexts"]["trace"]["trace_id"].clone()], "the trace is that of the failed run");
}

#[test]
fn a_group_has_one_monitor() {
    let down = |requests: &[Request]| requests.last().is_some_and(|request| request.line.contains("/Down"));
    let (receiver, target) = (Receiver::start(), failing_target(down));
    let group = ["tags: {}", "check_in: {slug: shop, margin: 9}"];
    let probes = [("Down", "every: 60, check_in: true"), ("Up", "every: 0.1")];
    let configuration = check_in_config(&receiver, &target, group, &probes);
    let mut check_ins = check_ins_after(5, "group", &configuration, &receiver, &target);
    check_ins.sort_by_key(|check_in| check_in["monitor_slug"].to_string());
    let statuses: Vec<_> = check_ins.iter().map(|check_in| (&check_in["monitor_slug"], &check_in["status"])).collect();
    assert_eq!(statuses, [(&json!("down"), &json!("error")), (&json!("shop"), &json!("error"))]);
    assert_eq!(check_ins[1]["monitor_config"]["checkin_margin"], 9);
    assert_eq!(check_ins[0]["contexts"], check_ins[1]["contexts"], "the trace is that of the probe that is down");
}

#[test]
fn the_host_checks_in_while_it_runs_and_not_after_a_kill() {
    let (receiver, target) = (Receiver::start(), Target::new());
    let sentry = ["server_name: Prober-1.example, check_in: true", "tags: {}"];
    let configuration = check_in_config(&receiver, &target, sentry, &[("Shop", "every: 0.1, check_in: true")]);
    let running = RunningProgram::start_with_config("check-ins-host", &configuration, Stdio::piped());
    let check_ins = eventually("the first check-in", || {
        let check_ins = receiver.wait_for_payloads(1, "check_in");
        (!check_ins.is_empty()).then_some(check_ins)
    });
    let [check_in] = &check_ins[..] else { panic!("expected one check-in, got {check_ins:#?}") };
    assert_eq!((&check_in["monitor_slug"], &check_in["status"]), (&json!("prober-1-example"), &json!("ok")));
    assert_eq!(
        (check_in.get("contexts"), check_in.get("duration")),
        (None, None),
        "a check-in of the host belongs to no run"
    );
    let config = json!({"schedule": {"type": "interval", "value": 1, "unit": "minute"}, "checkin_margin": 2});
    assert_eq!(check_in["monitor_config"], config);
    // The probe's own check-in is sent only at the end of its minute.
    eventually("a few runs", || (target.requests().len() >= 3).then_some(()));
    running.send_signal("KILL");
    assert_eq!(running.wait_for_output().0, None);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(receiver.wait_for_payloads(1, "check_in").len(), 1, "a killed host sends nothing");

    let (code, _) = run_once(&configuration);
    assert_eq!(code, 0);
    let check_ins = receiver.wait_for_payloads(1, "check_in");
    let slugs: Vec<_> = check_ins.iter().skip(1).map(|check_in| &check_in["monitor_slug"]).collect();
    assert_eq!(slugs, ["shop"], "`once` sends no check-in of the host");
}

#[test]
fn slugs_are_checked_under_the_titles_that_components_give() {
    let found = find_problems(
        "groups:
- probes:
  - {probe: http, url: 'http://shop.example/', check_in: true}
  - {probe: http, url: 'http://shop.example/', check_in: true, title: Get HTTP shop example}
",
    );
    let message = "2 monitors would have the slug `get-http-shop-example`: give each a `slug` of its own";
    assert_eq!(found, [format!("3:48 {message}"), format!("4:48 {message}")]);
}
