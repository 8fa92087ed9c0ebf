//! Warnings about settings that have no effect together with others.

use crate::support::{http_config, run_command, sentrynet};

/// Asserts that `check` accepts these keys of an http probe, with these warnings.
#[track_caller]
fn check(keys: &str, warnings: &[&str]) {
    check_configuration(&http_config(keys), warnings);
}

#[track_caller]
fn check_configuration(configuration: &str, warnings: &[&str]) {
    let ended = run_command(sentrynet().args(["check", "-"]), configuration);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let count = ended.stderr.lines().filter(|line| line.starts_with("warning: ")).count();
    assert_eq!(count, warnings.len(), "{}", ended.stderr);
    for warning in warnings {
        assert!(ended.stderr.contains(warning), "{warning} in {}", ended.stderr);
    }
}

#[test]
fn checks_of_tls_on_http_urls_are_warned_of() {
    let never = "`certificate days` never holds: the URL is one of http";
    let unless = "needs TLS: the URL is one of http, so that it fails unless redirects lead to https";
    check("url: http://h/\nchecks: {certificate days: {at_least: 14}}", &[unless]);
    check("url: http://h/\nredirects: 0\nchecks: {certificate days: {at_least: 14}, status: 200}", &[never]);
    check("url: http://h/\nchecks: {certificate chain days: {at_least: 14}, tls version: 1.3}", &[unless, unless]);
    check("url: http://h/\nchecks: {certificate days: {exists: false}}", &[]);
    check("url: https://h/\nchecks: {certificate days: {at_least: 14}}", &[]);
    let step = "{url: 'http://h/', checks: {certificate days: {at_least: 14}}, timeout: 400}";
    let chain = format!("groups: [{{probes: [{{probe: chain, title: x, steps: [{step}]}}]}}]");
    check_configuration(&chain, &[unless, "a timeout of 400s has no effect"]);
}

#[test]
fn timeouts_that_are_too_long_are_warned_of() {
    let no_effect = "a timeout of 60s has no effect: a run ends after 20s (`limits.deadline`)";
    check("url: http://h/\ntimeout: 60\nlimits: {deadline: 20}", &[no_effect]);
    let skipped =
        "a timeout of 60s is longer than `every`, 30s: while a run waits that long, the next ones are skipped";
    check("url: http://h/\ntimeout: 60\nevery: 30\nlimits: {deadline: 90}", &[skipped]);
    check("url: http://h/\ntimeout: 1m\nevery: 30\nlimits: {deadline: 90}", &[skipped]);
    check("url: http://h/\ntimeout: '60'\nlimits: {deadline: 20}", &[no_effect]);
    check("url: http://h/\ntimeout: 20\nevery: 30\nlimits: {deadline: 90}", &[]);
    check("url: http://h/\nevery: 5", &[]);
}
