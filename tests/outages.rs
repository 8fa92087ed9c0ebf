//! Outages: one issue for each, with its duration and its end, and no issues for targets while this host is offline.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::dns::{DnsAnswer, DnsServer, parse_ips};
use crate::support::receiver::Receiver;
use crate::support::running::RunningProgram;
use crate::support::target::Target;
use crate::support::{empty_folder, eventually, free_port, relay, run_command, run_once, sentrynet};

/// Returns the payloads of this type so far, in the order of the runs.
fn payloads_in_order(receiver: &Receiver, kind: &str) -> Vec<Value> {
    let envelopes = receiver.received();
    let items = envelopes.iter().flat_map(|envelope| envelope.parse_envelope().1);
    let mut items: Vec<_> = items.filter(|(head, _)| head["type"] == kind).map(|(_, item)| item).collect();
    items.sort_by(|a, b| {
        a["timestamp"].as_f64().unwrap_or_default().total_cmp(&b["timestamp"].as_f64().unwrap_or_default())
    });
    items
}

fn sentry_config(receiver: &Receiver) -> String {
    format!("sentry: {{dsn: '{}', server_name: here}}\n", receiver.dsn())
}

/// Returns a configuration with a probe for each URL, whose title is the URL, with these keys.
fn probes_config<'a>(urls: impl IntoIterator<Item = &'a str>, keys: &str) -> String {
    let probe = |url| format!("      - {{probe: http, title: '{url}', url: '{url}', {keys}}}\n");
    format!("groups:\n  - probes:\n{}", urls.into_iter().map(probe).collect::<String>())
}

/// Returns an IPv4 address of this machine outside of loopback, if there is one. A target there counts as the network.
fn own_address() -> Option<String> {
    let listed = Command::new("hostname").arg("-I").output().ok()?;
    let addresses = String::from_utf8(listed.stdout).ok()?;
    let found = addresses.split_whitespace().find(|address| address.contains('.')).map(str::to_owned);
    if found.is_none() {
        eprintln!("this machine has no address but its loopback's: the return of the network is not tested");
    }
    found
}

#[test]
fn an_outage_is_reported_with_its_duration_and_its_end() {
    let receiver = Receiver::start();
    // One failure, which is not reported; an outage of four runs; and a recovery.
    let statuses = ["500", "200", "500", "500", "500", "500", "200"];
    let target = Target::responding(move |requests| {
        let status = statuses.get(requests.len() - 1).unwrap_or(&"200");
        format!("{status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    });
    let url = format!("http://127.0.0.1:{}/", target.port);
    let configuration = sentry_config(&receiver) + &probes_config([&*url], "every: 0.2, failures_before_error: 3");
    let running = RunningProgram::start_with_config("outages-length", &configuration, Stdio::piped());
    let runs =
        eventually("eight runs", || Some(payloads_in_order(&receiver, "transaction")).filter(|runs| runs.len() >= 8));
    running.send_signal("TERM");
    let (_, stdout) = running.wait_for_output();

    let recovered: Vec<_> = runs.iter().map(|run| run["tags"].get("recovered_after").is_some()).collect();
    assert_eq!(recovered[..8], [false, false, false, false, false, false, true, false], "{stdout}");
    let number = |value: &Value| value.as_f64().expect("times and counts are numbers");
    let began = number(&runs[2]["start_timestamp"]);
    let data = |run: &Value, key: &str| number(&run["contexts"]["trace"]["data"][format!("sentrynet.outage.{key}")]);
    let tag = runs[6]["tags"]["recovered_after"].as_str().expect("a tag is text");
    let seconds: f64 =
        tag.strip_suffix(" s").and_then(|seconds| seconds.parse().ok()).expect("the tag is a number of seconds");
    assert!((seconds - (number(&runs[6]["timestamp"]) - began)).abs() < 0.2, "{tag}");
    assert!((data(&runs[6], "seconds") - seconds).abs() < 1e-9 && (data(&runs[6], "runs") - 4.0).abs() < 1e-9);

    let errors = payloads_in_order(&receiver, "event");
    assert_eq!(errors.len(), 2, "the third and the fourth failure in a row are reported");
    assert_eq!(errors[0]["fingerprint"], errors[1]["fingerprint"]);
    for (error, (run, count)) in errors.iter().zip([(&runs[4], 3), (&runs[5], 4)]) {
        let outage = &error["contexts"]["outage"];
        assert_eq!(
            (&error["contexts"]["trace"]["trace_id"], &outage["runs"]),
            (&run["contexts"]["trace"]["trace_id"], &json!(count))
        );
        assert!((number(&outage["lasted"]) - (number(&run["timestamp"]) - began)).abs() < 0.2, "{outage}");
        let day = outage["began"].as_str().expect("a date is text");
        assert!(day.starts_with("20") && day.ends_with('Z'), "{day}");
        assert_eq!(outage["began"], errors[0]["contexts"]["outage"]["began"]);
    }
    assert_eq!(stdout.matches("(down for ").count(), 1, "{stdout}");
    relay::assert_accepts("outages-length-relay", &receiver.received());
}

#[test]
fn json_output_has_the_outage_of_a_run() {
    let (_, runs) = run_once(&probes_config([&*format!("http://127.0.0.1:{}/", free_port())], ""));
    let outage = &runs[0]["outage"];
    assert_eq!((&outage["runs"], &outage["began"]), (&json!(1), &runs[0]["started"]));
    let target = Target::new();
    let (_, runs) = run_once(&probes_config([&*format!("http://127.0.0.1:{}/", target.port)], ""));
    assert_eq!(runs[0]["outage"], Value::Null);
}

#[test]
fn one_error_about_the_host_is_sent_when_no_target_can_be_reached() {
    let receiver = Receiver::start();
    let dns = DnsServer::start(|_| DnsAnswer::NoSuchName);
    let urls = ["http://a.test/", "http://b.test/", "http://c.test/", "http://d.test/"];
    let configuration = sentry_config(&receiver)
        + &probes_config(urls, &format!("dns_server: '127.0.0.1:{}', check_in: true", dns.port));
    let ended = run_command(sentrynet().args(["once", "-"]), &configuration);
    assert_eq!(payloads_in_order(&receiver, "check_in").len(), 0, "the state of the targets is unknown");
    assert_eq!(ended.code, 1, "suppressed errors count for the exit code");
    assert_eq!(ended.stderr.matches("this host seems to have no network").count(), 1, "{}", ended.stderr);
    let envelopes = receiver.wait_for_envelopes(5);
    assert_eq!(payloads_in_order(&receiver, "transaction").len(), 4);
    let errors = payloads_in_order(&receiver, "event");
    assert_eq!(errors.len(), 1, "{errors:#?}");
    let error = &errors[0];
    assert_eq!(error["fingerprint"], json!(["sentrynet-host", "network", "here"]));
    assert_eq!((&error["level"], &error["server_name"]), (&json!("error"), &json!("here")));
    let exception = &error["exception"]["values"][0];
    let value = exception["value"].as_str().expect("a message is text");
    assert_eq!(exception["type"], "Offline");
    assert!(value.contains("4 of the 4 hosts") && value.contains("a.test (dns: `a.test` does not resolve"), "{value}");
    let network = &error["contexts"]["network"];
    assert_eq!((&network["silent"], &network["tried"]), (&json!(4), &json!(4)));
    let examples =
        network["examples"].as_array().expect("the examples are a list").iter().map(|example| example["host"].as_str());
    assert_eq!(examples.flatten().collect::<BTreeSet<_>>(), BTreeSet::from(["a.test", "b.test", "c.test", "d.test"]));
    assert!(network["since"].is_string());
    let reports = payloads_in_order(&receiver, "client_report");
    let discarded = json!([{ "reason": "event_processor", "category": "error", "quantity": 4 }]);
    assert_eq!(reports[0]["discarded_events"], discarded, "suppressed errors are in the client report");
    relay::assert_accepts("outages-offline", &envelopes);
}

#[test]
fn a_third_party_probe_cannot_make_this_host_believe_that_it_is_offline() {
    let receiver = Receiver::start();
    let dns = DnsServer::start(|_| DnsAnswer::NoSuchName);
    let server = format!("dns_server: '127.0.0.1:{}'", dns.port);
    // A built-in component that is loaded from a file stands for a third party's. None of fifty names resolves.
    let component = format!("{}/../probes-wasm/built/chain.wasm", env!("CARGO_MANIFEST_DIR"));
    let steps: String =
        (0..50).map(|number| format!("{{url: 'http://name-{number}.test/', always: true, {server}}}, ")).collect();
    let hostile: String = (0..2)
        .map(|number| {
            format!(
                "      - {{probe: '{component}', title: hostile {number}, every: 1, allow: {{hosts: ['*', 127.0.0.1]}},                  steps: [{steps}]}}\n"
            )
        })
        .collect();
    let configuration = sentry_config(&receiver)
        + &probes_config(["http://down.test/", "http://down-too.test/"], &format!("every: 0.5, {server}"))
        + &hostile;
    let _running = RunningProgram::start_with_config("outages-hostile", &configuration, Stdio::null());
    let is_down = |item: &Value| item["transaction"].as_str().is_some_and(|title| title.starts_with("http://down"));
    let traces = |kind: &str| -> Vec<String> {
        let items = payloads_in_order(&receiver, kind);
        let down = items.iter().filter(|item| is_down(item));
        down.map(|item| item["contexts"]["trace"]["trace_id"].to_string()).collect()
    };
    let runs = eventually("ten runs of the targets that are down, beside the hostile ones", || {
        let (all, down) = (payloads_in_order(&receiver, "transaction").len(), traces("transaction"));
        (down.len() >= 10 && all >= down.len() + 2).then_some(down)
    });
    eventually("an error for each run of a target that is down", || {
        let errors: BTreeSet<_> = traces("event").into_iter().collect();
        runs.iter().all(|trace| errors.contains(trace)).then_some(())
    });
    let (runs, errors) = (payloads_in_order(&receiver, "transaction"), payloads_in_order(&receiver, "event"));
    assert!(runs.iter().all(|run| run["tags"].get("vantage").is_none()), "no run counts as offline");
    assert!(errors.iter().all(|error| error["exception"]["values"][0]["type"] == "dns"), "{errors:#?}");
}

#[test]
fn unreachable_ssh_targets_count_as_offline_too() {
    let receiver = Receiver::start();
    let probes: String =
        ["a", "b", "c"].iter().map(|name| format!("      - {{probe: ssh, host: {name}.invalid}}\n")).collect();
    let configuration = format!("{}groups:\n  - probes:\n{probes}", sentry_config(&receiver));
    assert_eq!(run_command(sentrynet().args(["once", "-"]), &configuration).code, 1);
    let errors = (receiver.wait_for_envelopes(4), payloads_in_order(&receiver, "event")).1;
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!(errors[0]["exception"]["values"][0]["type"], "Offline");
}

#[test]
fn closed_ports_are_outages_of_their_targets() {
    for address in ["127.0.0.1".to_owned()].into_iter().chain(own_address()) {
        let receiver = Receiver::start();
        let dns = DnsServer::start(move |_| DnsAnswer::Addresses(parse_ips(&[&address])));
        let urls: Vec<_> =
            ["a", "b", "c", "d"].iter().map(|name| format!("http://{name}.test:{}/", free_port())).collect();
        let keys = format!("dns_server: '127.0.0.1:{}'", dns.port);
        let configuration = sentry_config(&receiver) + &probes_config(urls.iter().map(String::as_str), &keys);
        assert_eq!(run_command(sentrynet().args(["once", "-"]), &configuration).code, 1);
        receiver.wait_for_envelopes(8);
        let mut titles: Vec<_> =
            payloads_in_order(&receiver, "event").iter().map(|error| error["transaction"].clone()).collect();
        titles.sort_by_key(Value::to_string);
        assert_eq!(titles, urls);
    }
}

#[test]
fn an_outage_of_the_only_target_is_reported_at_once() {
    let receiver = Receiver::start();
    let dns = DnsServer::start(|_| DnsAnswer::NoSuchName);
    let configuration = sentry_config(&receiver)
        + &probes_config(["http://a.test/"], &format!("every: 60, dns_server: '127.0.0.1:{}'", dns.port));
    let started = Instant::now();
    let _running = RunningProgram::start_with_config("outages-alone", &configuration, Stdio::null());
    receiver.wait_for_envelopes(2);
    assert!(started.elapsed() < Duration::from_secs(10), "there is no other target to wait for");
    assert_eq!(payloads_in_order(&receiver, "event")[0]["transaction"], "http://a.test/");
}

#[test]
fn targets_are_reported_again_once_the_host_is_back_online() {
    let Some(address) = own_address() else { return };
    let (offline, status) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU16::new(200)));
    let requests: Arc<AtomicUsize> = Arc::default();
    let (respond_with, counted) = (Arc::clone(&status), Arc::clone(&requests));
    let target = Target::responding_at(&format!("{address}:0"), move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        format!("{} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", respond_with.load(Ordering::SeqCst))
    });
    let port = target.expect("the machine's own address can be bound").port;
    let gone = Arc::clone(&offline);
    let dns = DnsServer::start(move |_| {
        if gone.load(Ordering::SeqCst) { DnsAnswer::Failure } else { DnsAnswer::Addresses(parse_ips(&[&address])) }
    });
    let receiver = Receiver::start();
    let urls: Vec<_> = ["a", "b", "c", "d"].iter().map(|name| format!("http://{name}.test:{port}/")).collect();
    let keys = format!("every: 0.5, dns_server: '127.0.0.1:{}'", dns.port);
    let configuration = sentry_config(&receiver) + &probes_config(urls.iter().map(String::as_str), &keys);
    let home = empty_folder("outages-back");
    let (file, log) = (home.join("probes.yaml"), home.join("log"));
    std::fs::write(&file, configuration).expect("the folder is writable");
    let stderr = File::create(&log).expect("the folder is writable");
    let _running = RunningProgram::spawn(sentrynet().arg("run").arg(&file).stdout(Stdio::null()).stderr(stderr));
    let log_count = |what: &str| std::fs::read_to_string(&log).expect("the log is UTF-8").matches(what).count();
    let tagged = |tag: &str| {
        payloads_in_order(&receiver, "transaction")
            .into_iter()
            .filter(|run| run["tags"].get(tag).is_some())
            .collect::<Vec<_>>()
    };
    // The host goes offline between two rounds, so that all runs of a round have the same result.
    eventually("the end of a round in which all targets pass", || {
        let before = requests.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(150));
        (before >= 8 && before.is_multiple_of(4) && before == requests.load(Ordering::SeqCst)).then_some(())
    });

    offline.store(true, Ordering::SeqCst);
    let offline_runs =
        eventually("runs with the tag for offline", || Some(tagged("vantage")).filter(|runs| runs.len() >= 8));
    assert!(offline_runs.iter().all(|run| run["tags"]["vantage"] == "offline" && run["tags"]["outcome"] == "failed"));
    let errors = payloads_in_order(&receiver, "event");
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!(errors[0]["exception"]["values"][0]["type"], "Offline");
    assert_eq!(log_count("no network"), 1);

    offline.store(false, Ordering::SeqCst);
    let before = requests.load(Ordering::SeqCst);
    eventually("all targets to pass again", || (requests.load(Ordering::SeqCst) >= before + 8).then_some(()));
    assert_eq!(log_count("the network of this host is back after"), 1);
    assert_eq!(tagged("recovered_after").len(), 0, "an outage that was not reported has no reported end");

    status.store(500, Ordering::SeqCst);
    let errors = eventually("an error for each target", || {
        Some(payloads_in_order(&receiver, "event")).filter(|errors| errors.len() >= 5)
    });
    let reported: BTreeSet<_> = errors[1..].iter().map(|error| error["transaction"].to_string()).collect();
    assert_eq!(reported.len(), 4, "{reported:?}");
    status.store(200, Ordering::SeqCst);
    eventually("the recovery of each target", || (tagged("recovered_after").len() >= 4).then_some(()));
    relay::assert_accepts("outages-offline-relay", &receiver.received());
}
