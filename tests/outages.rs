//! One outage, one Issue: how long it has lasted, that it is over, and that it is not our own network that is down.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::dns::{Dns, Says, ips};
use crate::support::receiver::Receiver;
use crate::support::running::Running;
use crate::support::target::Target;
use crate::support::{eventually, finish, folder, free_port, once, relay, sentrynet};

/// The payloads of a type that have come so far, in the order of the runs.
fn payloads(receiver: &Receiver, kind: &str) -> Vec<Value> {
    let envelopes = receiver.received();
    let items = envelopes.iter().flat_map(|envelope| envelope.open().1);
    let mut items: Vec<_> = items.filter(|(head, _)| head["type"] == kind).map(|(_, item)| item).collect();
    items.sort_by(|a, b| {
        a["timestamp"].as_f64().unwrap_or_default().total_cmp(&b["timestamp"].as_f64().unwrap_or_default())
    });
    items
}

fn dsn(receiver: &Receiver) -> String {
    format!("sentry: {{dsn: '{}', server_name: here}}\n", receiver.dsn())
}

/// A probe of each of these URLs, titled by it, with these keys.
fn probes<'a>(urls: impl IntoIterator<Item = &'a str>, keys: &str) -> String {
    let probe = |url| format!("      - {{probe: http, title: '{url}', url: '{url}', {keys}}}\n");
    format!("groups:\n  - probes:\n{}", urls.into_iter().map(probe).collect::<String>())
}

/// An address of this machine's that is not its loopback's: what answers there counts as the network.
fn own_address() -> Option<String> {
    let said = Command::new("hostname").arg("-I").output().ok()?;
    let addresses = String::from_utf8(said.stdout).ok()?;
    let found = addresses.split_whitespace().find(|address| address.contains('.')).map(str::to_owned);
    if found.is_none() {
        eprintln!("this machine has no address but its loopback's: that a network is back is not tested here");
    }
    found
}

#[test]
fn an_outage_is_told_with_its_length_and_so_is_its_end() {
    let receiver = Receiver::start();
    // One failure, which is not told of; an outage of four; and it is well.
    let statuses = ["500", "200", "500", "500", "500", "500", "200"];
    let target = Target::answering(move |asked| {
        let status = statuses.get(asked.len() - 1).unwrap_or(&"200");
        format!("{status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    });
    let url = format!("http://127.0.0.1:{}/", target.port);
    let configuration = dsn(&receiver) + &probes([&*url], "every: 0.2, failures_before_error: 3");
    let running = Running::with("outages-length", &configuration, Stdio::piped());
    let runs = eventually("eight runs", || Some(payloads(&receiver, "transaction")).filter(|runs| runs.len() >= 8));
    running.signal("TERM");
    let (_, stdout) = running.end();

    let recovered: Vec<_> = runs.iter().map(|run| run["tags"].get("recovered_after").is_some()).collect();
    assert_eq!(recovered[..8], [false, false, false, false, false, false, true, false], "{stdout}");
    let number = |value: &Value| value.as_f64().expect("it is a number");
    let began = number(&runs[2]["start_timestamp"]);
    let data = |run: &Value, key: &str| number(&run["contexts"]["trace"]["data"][format!("sentrynet.outage.{key}")]);
    let tag = runs[6]["tags"]["recovered_after"].as_str().expect("a tag is text");
    let seconds: f64 = tag.strip_suffix(" s").and_then(|seconds| seconds.parse().ok()).expect("it is in seconds");
    assert!((seconds - (number(&runs[6]["timestamp"]) - began)).abs() < 0.2, "{tag}");
    assert!((data(&runs[6], "seconds") - seconds).abs() < 1e-9 && (data(&runs[6], "runs") - 4.0).abs() < 1e-9);

    let errors = payloads(&receiver, "event");
    assert_eq!(errors.len(), 2, "the third failure in a row, and the fourth");
    assert_eq!(errors[0]["fingerprint"], errors[1]["fingerprint"]);
    for (error, (run, count)) in errors.iter().zip([(&runs[4], 3), (&runs[5], 4)]) {
        let outage = &error["contexts"]["outage"];
        assert_eq!(
            (&error["contexts"]["trace"]["trace_id"], &outage["runs"]),
            (&run["contexts"]["trace"]["trace_id"], &json!(count))
        );
        assert!((number(&outage["lasted"]) - (number(&run["timestamp"]) - began)).abs() < 0.2, "{outage}");
        let day = outage["began"].as_str().expect("it is text");
        assert!(day.starts_with("20") && day.ends_with('Z'), "{day}");
        assert_eq!(outage["began"], errors[0]["contexts"]["outage"]["began"]);
    }
    assert_eq!(stdout.matches("(down for ").count(), 1, "{stdout}");
    relay::has_no_complaint("outages-length-relay", &receiver.received());
}

#[test]
fn json_has_the_outage_that_a_run_is_part_of() {
    let (_, runs) = once(&probes([&*format!("http://127.0.0.1:{}/", free_port())], ""));
    let outage = &runs[0]["outage"];
    assert_eq!((&outage["runs"], &outage["began"]), (&json!(1), &runs[0]["started"]));
    let target = Target::new();
    let (_, runs) = once(&probes([&*format!("http://127.0.0.1:{}/", target.port)], ""));
    assert_eq!(runs[0]["outage"], Value::Null);
}

#[test]
fn where_all_fail_alike_the_host_tells_of_itself() {
    let receiver = Receiver::start();
    let dns = Dns::start(|_| Says::NoSuchName);
    let urls = ["http://a.test/", "http://b.test/", "http://c.test/", "http://d.test/"];
    let configuration =
        dsn(&receiver) + &probes(urls, &format!("dns_server: '127.0.0.1:{}', check_in: true", dns.port));
    let ended = finish(sentrynet().args(["once", "-"]), &configuration);
    assert_eq!(payloads(&receiver, "check_in").len(), 0, "nobody knows how the targets are");
    assert_eq!(ended.code, 1, "the exit code knows of every failure");
    assert_eq!(ended.stderr.matches("this host seems to have no network").count(), 1, "{}", ended.stderr);
    let envelopes = receiver.wait(5);
    assert_eq!(payloads(&receiver, "transaction").len(), 4);
    let errors = payloads(&receiver, "event");
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
    let examples = network["examples"].as_array().expect("a list").iter().map(|example| example["host"].as_str());
    assert_eq!(examples.flatten().collect::<BTreeSet<_>>(), BTreeSet::from(["a.test", "b.test", "c.test", "d.test"]));
    assert!(network["since"].is_string());
    let reports = payloads(&receiver, "client_report");
    let discarded = json!([{ "reason": "event_processor", "category": "error", "quantity": 4 }]);
    assert_eq!(reports[0]["discarded_events"], discarded, "Sentry is told of what it is not sent");
    relay::has_no_complaint("outages-offline", &envelopes);
}

#[test]
fn by_ssh_too() {
    let receiver = Receiver::start();
    let probes: String =
        ["a", "b", "c"].iter().map(|name| format!("      - {{probe: ssh, host: {name}.invalid}}\n")).collect();
    let configuration = format!("{}groups:\n  - probes:\n{probes}", dsn(&receiver));
    assert_eq!(finish(sentrynet().args(["once", "-"]), &configuration).code, 1);
    let errors = (receiver.wait(4), payloads(&receiver, "event")).1;
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!(errors[0]["exception"]["values"][0]["type"], "Offline");
}

#[test]
fn closed_ports_are_an_outage_each() {
    for address in ["127.0.0.1".to_owned()].into_iter().chain(own_address()) {
        let receiver = Receiver::start();
        let dns = Dns::start(move |_| Says::Addresses(ips(&[&address])));
        let urls: Vec<_> =
            ["a", "b", "c", "d"].iter().map(|name| format!("http://{name}.test:{}/", free_port())).collect();
        let keys = format!("dns_server: '127.0.0.1:{}'", dns.port);
        let configuration = dsn(&receiver) + &probes(urls.iter().map(String::as_str), &keys);
        assert_eq!(finish(sentrynet().args(["once", "-"]), &configuration).code, 1);
        receiver.wait(8);
        let mut titles: Vec<_> =
            payloads(&receiver, "event").iter().map(|error| error["transaction"].clone()).collect();
        titles.sort_by_key(Value::to_string);
        assert_eq!(titles, urls);
    }
}

#[test]
fn one_target_alone_is_told_of_at_once() {
    let receiver = Receiver::start();
    let dns = Dns::start(|_| Says::NoSuchName);
    let configuration =
        dsn(&receiver) + &probes(["http://a.test/"], &format!("every: 60, dns_server: '127.0.0.1:{}'", dns.port));
    let started = Instant::now();
    let _running = Running::with("outages-alone", &configuration, Stdio::null());
    receiver.wait(2);
    assert!(started.elapsed() < Duration::from_secs(10), "there is nobody to wait for");
    assert_eq!(payloads(&receiver, "event")[0]["transaction"], "http://a.test/");
}

#[test]
fn while_we_are_offline_no_target_is_blamed_and_then_each_is_again() {
    let Some(address) = own_address() else { return };
    let (offline, status) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU16::new(200)));
    let asked: Arc<AtomicUsize> = Arc::default();
    let (says, counted) = (Arc::clone(&status), Arc::clone(&asked));
    let target = Target::at(&format!("{address}:0"), move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        format!("{} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", says.load(Ordering::SeqCst))
    });
    let port = target.expect("the machine's own address can be bound").port;
    let gone = Arc::clone(&offline);
    let dns = Dns::start(move |_| match gone.load(Ordering::SeqCst) {
        true => Says::Failure,
        false => Says::Addresses(ips(&[&address])),
    });
    let receiver = Receiver::start();
    let urls: Vec<_> = ["a", "b", "c", "d"].iter().map(|name| format!("http://{name}.test:{port}/")).collect();
    let keys = format!("every: 0.5, dns_server: '127.0.0.1:{}'", dns.port);
    let configuration = dsn(&receiver) + &probes(urls.iter().map(String::as_str), &keys);
    let home = folder("outages-back");
    let (file, log) = (home.join("probes.yaml"), home.join("log"));
    std::fs::write(&file, configuration).expect("the folder is writable");
    let stderr = File::create(&log).expect("the folder is writable");
    let _running = Running::spawn(sentrynet().arg("run").arg(&file).stdout(Stdio::null()).stderr(stderr));
    let said = |what: &str| std::fs::read_to_string(&log).expect("the log is UTF-8").matches(what).count();
    let tagged = |tag: &str| {
        payloads(&receiver, "transaction").into_iter().filter(|run| run["tags"].get(tag).is_some()).collect::<Vec<_>>()
    };
    // Between two rounds, so that none of a round is heard after another was not.
    eventually("all are well", || {
        let before = asked.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(150));
        (before >= 8 && before.is_multiple_of(4) && before == asked.load(Ordering::SeqCst)).then_some(())
    });

    offline.store(true, Ordering::SeqCst);
    let marked = eventually("runs are marked", || Some(tagged("vantage")).filter(|runs| runs.len() >= 8));
    assert!(marked.iter().all(|run| run["tags"]["vantage"] == "offline" && run["tags"]["outcome"] == "failed"));
    let errors = payloads(&receiver, "event");
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!(errors[0]["exception"]["values"][0]["type"], "Offline");
    assert_eq!(said("no network"), 1);

    offline.store(false, Ordering::SeqCst);
    let before = asked.load(Ordering::SeqCst);
    eventually("all are well again", || (asked.load(Ordering::SeqCst) >= before + 8).then_some(()));
    assert_eq!(said("the network of this host is back after"), 1);
    assert_eq!(tagged("recovered_after").len(), 0, "an outage that nobody was told of has no end either");

    status.store(500, Ordering::SeqCst);
    let errors = eventually("each is blamed", || Some(payloads(&receiver, "event")).filter(|errors| errors.len() >= 5));
    let blamed: BTreeSet<_> = errors[1..].iter().map(|error| error["transaction"].to_string()).collect();
    assert_eq!(blamed.len(), 4, "{blamed:?}");
    status.store(200, Ordering::SeqCst);
    eventually("each has recovered", || (tagged("recovered_after").len() >= 4).then_some(()));
    relay::has_no_complaint("outages-offline-relay", &receiver.received());
}
