//! The DNS example, in JavaScript.

use std::sync::LazyLock;

use super::servers::Server;
use super::{Built, assert_refused, failure_reason, mismatches, peers, probe_ops};
use crate::support::{assert_passed, find_problems, free_port, spans};

pub static DNS: LazyLock<Built> = LazyLock::new(|| Built::new("dns"));

pub const ZONE: &str = r#"$TTL 300
@ SOA ns1 hostmaster 2026010200 3600 600 604800 300
@ NS ns1
@ NS ns2
@ MX 10 mail
@ TXT "v=spf1 -all"
@ TXT "two " "parts \" and \233"
@ CAA 0 issue "letsencrypt.org"
@ A 192.0.2.7
ns1 A 192.0.2.1
ns2 AAAA 2001:db8::2
mail A 192.0.2.9
www 60 A 192.0.2.7
alias CNAME www
"#;

#[test]
#[ignore = "tests/build-probes runs it"]
fn all_record_types_of_a_zone_are_queried() {
    let server = Server::start_nsd("shop.example", ZONE);
    let all = format!("server: localhost, port: {}", server.port);
    let example = DNS.run_example(&[("*.dns.example:53", "localhost"), ("server: ns1.dns.example", &all)]);
    assert_eq!(example.len(), 5);
    example.iter().for_each(assert_passed);
    assert_eq!(example[0]["title"], "A of www.shop.example at localhost");
    assert_eq!(probe_ops(&example[0]), ["dns.query", "dns.parse", "dns.check"]);
    for op in ["dns", "tcp", "tcp.connect"] {
        assert!(!spans(&example[0], op).is_empty(), "{op} in {:#}", example[0]);
    }
    let data = &example[0]["spans"][0]["data"];
    assert_eq!((&data["dns.answers"], &data["dns.rcode"]), (&"192.0.2.7".into(), &"NOERROR".into()));
    assert_eq!((&data["dns.ttl"], &data["dns.authoritative"]), (&60.into(), &true.into()));

    let all_types = DNS.run_with_settings(
        &format!("{all}, name: Shop.Example."),
        [
            "type: SOA, values: [ns1.shop.example. hostmaster.shop.example. 2026010200 3600 600 604800 300]",
            "type: NS, values: [ns2.shop.example, NS1.shop.example]",
            "type: MX, contains: [10  Mail.shop.example.]",
            r#"type: TXT, values: ['two parts " and \233', v=spf1 -all]"#,
            "type: CAA, values: [0 issue letsencrypt.org]",
            "type: AAAA, values: []",
            "type: AAAA, name: ns2.shop.example, values: [2001:DB8:0:0::2]",
            "type: CNAME, name: alias.shop.example, values: [www.shop.example]",
            "name: alias.shop.example, values: [192.0.2.7], min_ttl: 60, max_ttl: 60",
            "name: nothing.shop.example, rcode: NXDOMAIN",
            "name: other.example, rcode: REFUSED, authoritative: false",
        ],
    );
    all_types.iter().for_each(assert_passed);
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn wrong_records_fail_with_mismatches() {
    let server = Server::start_nsd("shop.example", ZONE);
    let expected: [(&str, &[&str]); 9] = [
        ("name: shop.example, values: [192.0.2.8]", &["A: 192.0.2.8, not 192.0.2.7"]),
        (
            "type: NS, contains: [ns3.shop.example, ns1.shop.example]",
            &["NS: with ns1.shop.example, ns3.shop.example, not ns1.shop.example, ns2.shop.example"],
        ),
        ("type: AAAA", &["AAAA: any, not none"]),
        ("values: []", &["A: none, not 192.0.2.7"]),
        ("min_ttl: 301", &["ttl: at least 301, not 300"]),
        ("name: www.shop.example, max_ttl: 59", &["ttl: at most 59, not 60"]),
        ("rcode: NXDOMAIN", &["rcode: NXDOMAIN, not NOERROR"]),
        ("name: nothing.shop.example, values: [192.0.2.7], min_ttl: 1", &["rcode: NOERROR, not NXDOMAIN"]),
        (
            "values: [192.0.2.8], authoritative: false",
            &["A: 192.0.2.8, not 192.0.2.7", "authoritative: false, not true"],
        ),
    ];
    let all = format!("server: 127.0.0.1, port: {}, name: shop.example", server.port);
    let runs = DNS.run_with_settings(&all, expected.map(|(settings, _)| settings));
    for (run, (settings, wrong)) in runs.iter().zip(expected) {
        assert_eq!(failure_reason(run), ("answer", "the response is not as expected"), "{settings}");
        assert_eq!(mismatches(run), wrong, "{settings}");
    }
}

/// Starts a server that responds to a query with the result of `respond`. Query and response are without the length
/// prefix of TCP.
fn start_responding(respond: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + Clone + 'static) -> u16 {
    peers::start_responding(move |query| {
        let message = respond(&query[2..]);
        let length = u16::try_from(message.len()).expect("the length fits").to_be_bytes();
        [&length, message.as_slice()].concat()
    })
}

/// Starts a server that responds with this number of records, which are these bytes, after the question.
fn start_with_records(count: u8, bytes: &'static [u8]) -> u16 {
    start_responding(move |query| {
        let mut message = [query, bytes].concat();
        message[2..4].copy_from_slice(&[0x84, 0]);
        message[7] = count;
        message
    })
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn servers_that_do_not_speak_dns_fail_the_run() {
    // The question for `a.test` ends at offset 24, where the first record begins.
    let expected = [
        (free_port(), "connect", "connection refused"),
        (peers::start_silent(), "timeout", "timed out while waiting for the response"),
        (peers::start_closing(), "closed", "the server "),
        (peers::start_sending(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "timeout", "waiting for the response"),
        (peers::start_sending(b"\0\x03abc"), "protocol", "it is for another question"),
        (peers::start_dripping(b"x"), "timeout", "waiting for the response"),
        (peers::start_flooding(b"x"), "protocol", "it is for another question"),
        (peers::start_flooding(b"\0"), "protocol", "it ends too early"),
        (start_responding(<[u8]>::to_vec), "protocol", "it is a query"),
        (start_with_records(1, b""), "protocol", "it ends too early"),
        (start_with_records(1, b"\xc0\x18"), "protocol", "a pointer that does not point backwards"),
        (start_with_records(1, b"\xff\xff"), "protocol", "a pointer that does not point backwards"),
        (start_with_records(1, b"\x01a\xc0\x18"), "protocol", "a pointer that does not point backwards"),
        (start_with_records(1, b"\x80"), "protocol", "a label of an unknown type"),
        (
            start_with_records(1, b"\xc0\x0c\0\x01\0\x01\0\0\0\x01\0\x05\x01\x02\x03\x04"),
            "protocol",
            "it ends within a record",
        ),
        (
            start_with_records(1, b"\xc0\x0c\0\x01\0\x01\0\0\0\x01\0\x05\x01\x02\x03\x04\x05"),
            "protocol",
            "do not have its declared length",
        ),
        (start_with_records(1, b"\xc0\x0c\0\x01\0\x01\0\0\0\x01\0\x02\x01\x02"), "protocol", "it ends too early"),
        // A CNAME that points to itself.
        (start_with_records(1, b"\xc0\x0c\0\x05\0\x01\0\0\0\x01\0\x02\xc0\x0c"), "answer", "not as expected"),
        // A record of another name, and a record of another class.
        (start_with_records(1, b"\0\0\x01\0\x01\0\0\0\x01\0\x04\x01\x02\x03\x04"), "answer", "not as expected"),
        (start_with_records(1, b"\xc0\x0c\0\x01\0\x03\0\0\0\x01\0\x04\x01\x02\x03\x04"), "answer", "not as expected"),
    ];
    let settings = expected.map(|(port, ..)| format!("port: {port}, timeout: 1, name: a.test"));
    let runs = DNS.run_with_settings("server: 127.0.0.1", settings.each_ref().map(String::as_str));
    for (run, (_, why, what)) in runs.iter().zip(expected) {
        let (reason, message) = failure_reason(run);
        assert!(reason == why && message.contains(what), "expected {why}: {what}, got {reason}: {message}");
    }
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn hosts_are_restricted_and_settings_checked() {
    let [elsewhere, unknown, unresolved] = DNS.run_with_settings(
        "name: shop.example",
        ["server: 127.0.0.3", "server: other.invalid", "server: nowhere.invalid"],
    );
    assert_refused(&elsewhere, "127.0.0.3:53");
    assert_refused(&unknown, "other.invalid");
    assert_eq!(failure_reason(&unresolved), ("dns", "nowhere.invalid does not resolve: name unresolvable"));

    let component = DNS.component().display().to_string();
    let check = |settings: &str| {
        find_problems(&format!("groups:\n- probes:\n  - probe: '{component}'\n    server: s\n    name: n\n{settings}"))
    };
    assert_eq!(
        check("    type: MX\n    values: [10 mail, mail]"),
        ["7:23 `mail` is no record of type MX: expected one such as `10 mail.shop.example`"]
    );
    assert_eq!(check("    min_ttl: 10\n    max_ttl: 5"), ["6:14 `min_ttl` is greater than `max_ttl`"]);
    for (wrong, place) in [
        ("    type: PTR", "6:11"),
        ("    port: 0", "6:11"),
        ("    values: 192.0.2.7", "6:13"),
        ("    values: [192.0.2.256]", "6:14"),
        ("    min_ttl: -1", "6:14"),
        ("    expected: 192.0.2.7", "6:5"),
    ] {
        let found = check(wrong);
        assert!(found.len() == 1 && found[0].starts_with(place), "{wrong}: {found:?}");
    }
}
