//! Names with several addresses, of which some do not answer.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::support::dns::{DnsAnswer, DnsServer, parse_ips};
use crate::support::silent_address::SilentAddress;
use crate::support::target::Target;
use crate::support::{assert_passed, expect_failure, run_http_probe, spans};

/// A name that only the test's DNS server resolves.
const NAME: &str = "shop.test";

#[test]
fn an_address_that_does_not_answer_delays_the_next_only_briefly() {
    let target = Target::new();
    let _silent = SilentAddress::start((Ipv4Addr::new(127, 0, 0, 2), target.port).into());
    let dns = DnsServer::with_name(NAME, &["127.0.0.2", "127.0.0.1"]);
    // The kernel would try the first address for two minutes.
    let run = run_http_probe(&format!(
        "url: http://{NAME}:{}/\ndns_server: 127.0.0.1:{}\nip_version: 4\ntimeout: 55",
        target.port, dns.port
    ));
    assert_passed(&run);
    assert_eq!(spans(&run, "http.client")[0]["data"]["network.peer.address"], "127.0.0.1");
    let attempts = spans(&run, "http.client.connect.attempt");
    let described: Vec<_> = attempts.iter().map(|attempt| attempt["description"].clone()).collect();
    assert_eq!(described, ["127.0.0.2", "127.0.0.1"].map(|ip| format!("Connect to {ip}:{}", target.port)));
    assert_eq!((&attempts[0]["status"], &attempts[1]["status"]), (&"cancelled".into(), &"ok".into()));
    let connect = &spans(&run, "http.client.connect")[0]["span_id"];
    assert!(attempts.iter().all(|attempt| attempt["parent_span_id"] == *connect), "{run:#}");
}

#[test]
fn an_address_that_refuses_is_followed_by_the_next() {
    let target = Target::new();
    let dns = DnsServer::with_name(NAME, &["127.0.0.2", "127.0.0.3", "127.0.0.1"]);
    let run = run_http_probe(&format!(
        "url: http://{NAME}:{}/\ndns_server: 127.0.0.1:{}\nip_version: 4",
        target.port, dns.port
    ));
    assert_passed(&run);
    assert_eq!(spans(&run, "http.client.connect.attempt").len(), 3);
    target.single_request();
}

#[test]
fn all_addresses_that_refuse_are_named() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("loopback").port();
    let dns = DnsServer::with_name(NAME, &["127.0.0.2", "127.0.0.3"]);
    let run = run_http_probe(&format!("url: http://{NAME}:{port}/\ndns_server: 127.0.0.1:{}\nip_version: 4", dns.port));
    let message = expect_failure(&run, "connect");
    assert!(message.contains("127.0.0.2") && message.contains("127.0.0.3"), "{message}");
    assert!(TcpStream::connect(("127.0.0.2", port)).is_err());
}

#[test]
fn a_connection_to_another_address_is_reused() {
    let target = Target::responding(|requests| {
        let location = if requests.len() == 1 { "location: /next\r\n" } else { "" };
        let status = if requests.len() == 1 { "302 Found" } else { "200 OK" };
        format!("{status}\r\n{location}content-length: 0\r\n\r\n")
    });
    let dns = DnsServer::with_name(NAME, &["127.0.0.2", "127.0.0.1"]);
    let run = run_http_probe(&format!(
        "url: http://{NAME}:{}/\ndns_server: 127.0.0.1:{}\nip_version: 4",
        target.port, dns.port
    ));
    assert_passed(&run);
    let hops = spans(&run, "http.client");
    assert_eq!(hops[1]["data"]["http.connection.reused"], true, "{run:#}");
}

#[test]
fn names_with_underscores_are_resolved() {
    let target = Target::new();
    let dns = DnsServer::with_name("_probe.a_b.test", &["127.0.0.1"]);
    assert_passed(&run_http_probe(&format!(
        "url: http://_probe.a_b.test:{}/\ndns_server: 127.0.0.1:{}",
        target.port, dns.port
    )));
}

#[test]
fn a_late_answer_of_the_dns_server_is_taken() {
    let target = Target::new();
    let dns = DnsServer::start(|_| {
        std::thread::sleep(std::time::Duration::from_secs(3));
        DnsAnswer::Addresses(parse_ips(&["127.0.0.1"]))
    });
    assert_passed(&run_http_probe(&format!(
        "url: http://{NAME}:{}/\ndns_server: 127.0.0.1:{}\nip_version: 4\ntimeout: 55",
        target.port, dns.port
    )));
}

#[test]
fn aliases_are_followed() {
    let target = Target::new();
    let dns = DnsServer::start(|name| match name {
        "shop.test" => DnsAnswer::Alias("lb.shop.test"),
        "lb.shop.test" => DnsAnswer::Alias("edge.test"),
        "edge.test" => DnsAnswer::Addresses(parse_ips(&["127.0.0.1"])),
        _ => DnsAnswer::NoSuchName,
    });
    assert_passed(&run_http_probe(&format!(
        "url: http://{NAME}:{}/\ndns_server: 127.0.0.1:{}\nip_version: 4",
        target.port, dns.port
    )));
}
