//! `dns_server` and `ip_version`: who is asked for a name, and for which addresses.

use std::thread;
use std::time::Duration;

use crate::network::{refused, yes};
use crate::support::dns::{Dns, Says, ips};
use crate::support::target::Target;
use crate::support::{delayed, failed, passed, probe, spans};

/// A name that no resolver but ours knows.
const NAME: &str = "shop.test";

#[test]
fn a_name_that_exists_only_on_the_dns_server() {
    let (target, dns) = (Target::new(), Dns::knowing(NAME, &["127.0.0.1"]));
    let url = format!("url: http://{NAME}:{}/", target.port);
    failed(&probe(&url), "dns");
    let run = probe(&format!("{url}\ndns_server: 127.0.0.1:{}", dns.port));
    passed(&run);
    assert_eq!(target.once().header("host"), Some(format!("{NAME}:{}", target.port).as_str()));
    assert_eq!(spans(&run, "http.client.dns")[0]["description"], format!("Resolve {NAME}"));
    let data = &spans(&run, "http.client")[0]["data"];
    assert_eq!(data["server.address"], NAME);
    assert_eq!(data["network.peer.address"], "127.0.0.1");
    let mut kinds: Vec<_> = dns.asked().into_iter().map(|asked| asked.kind).collect();
    kinds.sort();
    assert_eq!(kinds, ["A", "AAAA"]);
}

#[test]
fn what_a_dns_server_does_not_answer() {
    let message = |says: fn() -> Says, keys: &str, reason: &str| {
        let dns = Dns::start(move |_| says());
        let run = probe(&format!("url: http://{NAME}/\ndns_server: 127.0.0.1:{}\n{keys}", dns.port));
        let status = if reason == "timeout" { "deadline_exceeded" } else { "unavailable" };
        assert_eq!(spans(&run, "http.client.dns")[0]["status"], status);
        assert!(spans(&run, "http.client.connect").is_empty(), "{run:#}");
        failed(&run, reason).replace(&dns.port.to_string(), "PORT")
    };
    let says = format!("`{NAME}` does not resolve, says the DNS server 127.0.0.1:PORT: ");
    assert_eq!(message(|| Says::NoSuchName, "", "dns"), format!("{says}it knows no such name"));
    assert_eq!(message(|| Says::Addresses(Vec::new()), "", "dns"), format!("{says}it has no address of that name"));
    let failure = message(|| Says::Failure, "", "dns");
    assert!(failure.starts_with(&says), "{failure}");
    assert!(failure.to_lowercase().contains("server failure") && !failure.contains("dNS"), "{failure}");
    let timeout = message(|| Says::Nothing, "timeout: 0.3", "timeout");
    assert_eq!(timeout, format!("timed out after 300 ms, resolving `{NAME}`"));
}

#[test]
fn an_address_is_not_resolved() {
    let (target, dns) = (Target::new(), Dns::start(|_| Says::Nothing));
    let dns_server = format!("dns_server: 127.0.0.1:{}", dns.port);
    let url = format!("url: http://127.0.0.1:{}/\n{dns_server}", target.port);
    let connect_to = format!("url: http://{NAME}/\nconnect_to: 127.0.0.1:{}\n{dns_server}", target.port);
    for keys in [url, connect_to] {
        let run = probe(&keys);
        passed(&run);
        assert!(spans(&run, "http.client.dns").is_empty(), "{run:#}");
    }
    assert!(dns.asked().is_empty());
}

#[test]
fn nobody_listens_where_the_dns_server_should_be() {
    let port = crate::support::free_port();
    let message = failed(&probe(&format!("url: http://{NAME}/\ndns_server: 127.0.0.1:{port}")), "dns");
    assert_eq!(message, format!("`{NAME}` does not resolve: no answer from the DNS server 127.0.0.1:{port}"));
}

#[test]
fn an_answer_too_long_for_udp_is_asked_for_over_tcp() {
    let target = Target::new();
    let dns = Dns::start(|_| Says::TooLong(ips(&["127.0.0.1"])));
    passed(&probe(&format!("url: http://{NAME}:{}/\ndns_server: 127.0.0.1:{}\nip_version: 4", target.port, dns.port)));
    let over: Vec<_> = dns.asked().iter().map(|asked| asked.over).collect();
    assert_eq!(over, ["udp", "tcp"]);
    target.once();
}

#[test]
fn a_slow_answer_shows_in_the_resolving() {
    let delay = Duration::from_millis(250);
    let target = Target::new();
    let dns = Dns::start(move |_| {
        thread::sleep(delay);
        Says::Addresses(ips(&["127.0.0.1"]))
    });
    let run = probe(&format!("url: http://{NAME}:{}/\ndns_server: 127.0.0.1:{}", target.port, dns.port));
    passed(&run);
    delayed(&run, "http.client", &["dns", "connect", "send", "wait", "receive"], "dns", delay);
}

#[test]
fn one_version_of_ip() {
    let four = Target::new();
    let Ok(six) = Target::at(&format!("[::1]:{}", four.port), |_| yes()) else {
        eprintln!("no IPv6 on loopback here: choosing between the versions is not tested");
        return;
    };
    let dns = Dns::knowing(NAME, &["127.0.0.1", "::1"]);
    let url = format!("url: http://{NAME}:{}/\ndns_server: 127.0.0.1:{}", four.port, dns.port);
    for (version, kind, address, asked) in [(4, "A", "127.0.0.1", &four), (6, "AAAA", "::1", &six)] {
        let before = dns.asked().len();
        let run = probe(&format!("{url}\nip_version: {version}"));
        passed(&run);
        assert_eq!(asked.once().from.ip().to_string(), address);
        assert_eq!(spans(&run, "http.client")[0]["data"]["network.peer.address"], address);
        let kinds: Vec<_> = dns.asked()[before..].iter().map(|asked| asked.kind.clone()).collect();
        assert_eq!(kinds, [kind], "it asks for no address that it would not take");
    }
}

#[test]
fn a_name_without_an_address_of_that_version() {
    for (version, known) in [(4, "::1"), (6, "127.0.0.1")] {
        let addresses = ips(&[known]);
        let dns = Dns::start(move |_| Says::Addresses(addresses.clone()));
        let run = probe(&format!("url: http://{NAME}/\ndns_server: 127.0.0.1:{}\nip_version: {version}", dns.port));
        let message = failed(&run, "dns");
        assert!(message.contains(&format!("`{NAME}`")), "{message}");
        assert!(message.contains(&format!("IPv{version} address")), "{message}");
    }
}

#[test]
fn versions_of_ip_and_dns_servers_that_are_none() {
    refused("url: http://127.0.0.1/\nip_version: 6", "ip_version", "the URL's 127.0.0.1 is not an IPv6 address");
    refused("url: http://[::1]/\nip_version: 4", "ip_version", "the URL's ::1 is not an IPv4 address");
    refused("url: http://h/\nip_version: 5", "ip_version", "expected 4 or 6, got 5");
    for wrong in ["dns.example", "127.0.0.1:99999", "'::1:53:'"] {
        refused(&format!("url: http://h/\ndns_server: {wrong}"), "dns_server", "expected one such as 192.0.2.53");
    }
}
