//! `dns_server` and `ip_version`: the DNS server that is queried, and the kind of address that is queried.

use std::thread;
use std::time::Duration;

use crate::network::assert_refused;
use crate::support::dns::{DnsAnswer, DnsServer, parse_ips};
use crate::support::target::{Target, ok_response};
use crate::support::{assert_delay_in_phase, assert_passed, expect_failure, run_http_probe, spans};

/// A name that only the test's DNS server resolves.
const NAME: &str = "shop.test";

#[test]
fn a_name_is_resolved_by_the_configured_dns_server() {
    let (target, dns) = (Target::new(), DnsServer::with_name(NAME, &["127.0.0.1"]));
    let url = format!("url: http://{NAME}:{}/", target.port);
    expect_failure(&run_http_probe(&url), "dns");
    let run = run_http_probe(&format!("{url}\ndns_server: 127.0.0.1:{}", dns.port));
    assert_passed(&run);
    assert_eq!(target.single_request().header("host"), Some(format!("{NAME}:{}", target.port).as_str()));
    assert_eq!(spans(&run, "http.client.dns")[0]["description"], format!("Resolve {NAME}"));
    let data = &spans(&run, "http.client")[0]["data"];
    assert_eq!(data["server.address"], NAME);
    assert_eq!(data["network.peer.address"], "127.0.0.1");
    let mut record_types: Vec<_> = dns.queries().into_iter().map(|request| request.record_type).collect();
    record_types.sort();
    assert_eq!(record_types, ["A", "AAAA"]);
}

#[test]
fn failures_of_the_dns_server_are_reported() {
    let message = |answer: fn() -> DnsAnswer, keys: &str, reason: &str| {
        let dns = DnsServer::start(move |_| answer());
        let run = run_http_probe(&format!("url: http://{NAME}/\ndns_server: 127.0.0.1:{}\n{keys}", dns.port));
        let status = if reason == "timeout" { "deadline_exceeded" } else { "unavailable" };
        assert_eq!(spans(&run, "http.client.dns")[0]["status"], status);
        assert!(spans(&run, "http.client.connect").is_empty(), "{run:#}");
        expect_failure(&run, reason).replace(&dns.port.to_string(), "PORT")
    };
    let start = format!("`{NAME}` does not resolve, says the DNS server 127.0.0.1:PORT: ");
    assert_eq!(message(|| DnsAnswer::NoSuchName, "", "dns"), format!("{start}it knows no such name"));
    assert_eq!(
        message(|| DnsAnswer::Addresses(Vec::new()), "", "dns"),
        format!("{start}it has no address of that name")
    );
    let failure = message(|| DnsAnswer::Failure, "", "dns");
    assert!(failure.starts_with(&start), "{failure}");
    assert!(failure.to_lowercase().contains("server failure") && !failure.contains("dNS"), "{failure}");
    let timeout = message(|| DnsAnswer::NoResponse, "timeout: 0.3", "timeout");
    assert_eq!(timeout, format!("timed out after 300 ms, resolving `{NAME}`"));
}

#[test]
fn an_address_is_not_resolved() {
    let (target, dns) = (Target::new(), DnsServer::start(|_| DnsAnswer::NoResponse));
    let dns_server = format!("dns_server: 127.0.0.1:{}", dns.port);
    let url = format!("url: http://127.0.0.1:{}/\n{dns_server}", target.port);
    let connect_to = format!("url: http://{NAME}/\nconnect_to: 127.0.0.1:{}\n{dns_server}", target.port);
    for keys in [url, connect_to] {
        let run = run_http_probe(&keys);
        assert_passed(&run);
        assert!(spans(&run, "http.client.dns").is_empty(), "{run:#}");
    }
    assert!(dns.queries().is_empty());
}

#[test]
fn an_unreachable_dns_server_is_named() {
    let port = crate::support::free_port();
    let message = expect_failure(&run_http_probe(&format!("url: http://{NAME}/\ndns_server: 127.0.0.1:{port}")), "dns");
    assert_eq!(message, format!("`{NAME}` does not resolve: no answer from the DNS server 127.0.0.1:{port}"));
}

#[test]
fn a_truncated_response_is_queried_again_over_tcp() {
    let target = Target::new();
    let dns = DnsServer::start(|_| DnsAnswer::Truncated(parse_ips(&["127.0.0.1"])));
    assert_passed(&run_http_probe(&format!(
        "url: http://{NAME}:{}/\ndns_server: 127.0.0.1:{}\nip_version: 4",
        target.port, dns.port
    )));
    let transports: Vec<_> = dns.queries().iter().map(|request| request.transport).collect();
    assert_eq!(transports, ["udp", "tcp"]);
    target.single_request();
}

#[test]
fn a_slow_dns_server_shows_in_the_dns_phase() {
    let delay = Duration::from_millis(250);
    let target = Target::new();
    let dns = DnsServer::start(move |_| {
        thread::sleep(delay);
        DnsAnswer::Addresses(parse_ips(&["127.0.0.1"]))
    });
    let run = run_http_probe(&format!("url: http://{NAME}:{}/\ndns_server: 127.0.0.1:{}", target.port, dns.port));
    assert_passed(&run);
    assert_delay_in_phase(&run, "http.client", &["dns", "connect", "send", "wait", "receive"], "dns", delay);
}

#[test]
fn only_addresses_of_the_configured_ip_version_are_queried() {
    let four = Target::new();
    let Ok(six) = Target::responding_at(&format!("[::1]:{}", four.port), |_| ok_response()) else {
        eprintln!("no IPv6 on loopback here: choosing between the versions is not tested");
        return;
    };
    let dns = DnsServer::with_name(NAME, &["127.0.0.1", "::1"]);
    let url = format!("url: http://{NAME}:{}/\ndns_server: 127.0.0.1:{}", four.port, dns.port);
    for (version, record_type, address, target) in [(4, "A", "127.0.0.1", &four), (6, "AAAA", "::1", &six)] {
        let before = dns.queries().len();
        let run = run_http_probe(&format!("{url}\nip_version: {version}"));
        assert_passed(&run);
        assert_eq!(target.single_request().from.ip().to_string(), address);
        assert_eq!(spans(&run, "http.client")[0]["data"]["network.peer.address"], address);
        let record_types: Vec<_> = dns.queries()[before..].iter().map(|request| request.record_type.clone()).collect();
        assert_eq!(record_types, [record_type], "only addresses of the configured version are queried");
    }
}

#[test]
fn a_name_without_an_address_of_the_ip_version_fails() {
    for (version, known) in [(4, "::1"), (6, "127.0.0.1")] {
        let addresses = parse_ips(&[known]);
        let dns = DnsServer::start(move |_| DnsAnswer::Addresses(addresses.clone()));
        let run =
            run_http_probe(&format!("url: http://{NAME}/\ndns_server: 127.0.0.1:{}\nip_version: {version}", dns.port));
        let message = expect_failure(&run, "dns");
        assert!(message.contains(&format!("`{NAME}`")), "{message}");
        assert!(message.contains(&format!("IPv{version} address")), "{message}");
    }
}

#[test]
fn invalid_ip_versions_and_dns_servers_are_refused() {
    assert_refused("url: http://127.0.0.1/\nip_version: 6", "ip_version", "the URL's 127.0.0.1 is not an IPv6 address");
    assert_refused("url: http://[::1]/\nip_version: 4", "ip_version", "the URL's ::1 is not an IPv4 address");
    assert_refused("url: http://h/\nip_version: 5", "ip_version", "expected 4 or 6, got 5");
    for wrong in ["dns.example", "127.0.0.1:99999", "'::1:53:'"] {
        assert_refused(
            &format!("url: http://h/\ndns_server: {wrong}"),
            "dns_server",
            "expected one such as 192.0.2.53",
        );
    }
}
