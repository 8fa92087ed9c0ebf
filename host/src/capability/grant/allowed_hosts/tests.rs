//! Tests of grants, with the attempts of a hostile component to reach other hosts.

use url::Url;

use super::*;
use crate::config::AllowSsh;

fn block(declared_by: &str, hosts: &[&str]) -> Allow {
    let hosts = hosts.iter().map(|text| AllowedHost::read(text).expect("the test's entries are valid")).collect();
    Allow { declared_by: declared_by.to_owned(), hosts: Some(hosts), ..Allow::default() }
}

fn grants(blocks: &[&[&str]]) -> Grants {
    Grants::new(blocks.iter().map(|hosts| block("this probe", hosts)).collect())
}

/// Checks a URL whose name has these addresses against blocks with these hosts. The port is the URL's.
fn check(blocks: &[&[&str]], url: &str, addresses: &[&str]) -> Result<(), Refusal> {
    let grants = grants(blocks);
    let url = Url::parse(url).expect("the test's URLs are valid");
    let host = url.host().expect("an http URL has a host");
    let port = url.port_or_known_default().expect("http and https have default ports");
    grants.check_host(List::Hosts, &host, port)?;
    let name = url.domain();
    for address in addresses {
        let address = address.parse().expect("the test's addresses are valid");
        grants.check_address(List::Hosts, name, address, port)?;
    }
    Ok(())
}

#[track_caller]
fn allowed(hosts: &[&str], url: &str, addresses: &[&str]) {
    assert_eq!(check(&[hosts], url, addresses), Ok(()), "{hosts:?} {url} {addresses:?}");
}

#[track_caller]
fn refused(hosts: &[&str], url: &str, addresses: &[&str]) {
    assert!(check(&[hosts], url, addresses).is_err(), "{hosts:?} {url} {addresses:?}");
}

#[test]
fn without_a_block_everything_is_allowed_and_an_empty_list_refuses_everything() {
    assert_eq!(check(&[], "http://127.0.0.1/", &[]), Ok(()));
    assert_eq!(check(&[], "http://shop.example/", &["10.0.0.1"]), Ok(()));
    refused(&[], "http://shop.example/", &["1.1.1.1"]);
    refused(&[], "http://1.1.1.1/", &[]);
    refused(&[], "http://localhost/", &["127.0.0.1"]);
}

#[test]
fn a_name_allows_its_public_addresses() {
    allowed(&["shop.example"], "https://shop.example/", &["1.1.1.1", "2606:4700::1"]);
    allowed(&["shop.example:443"], "https://shop.example/", &["1.1.1.1"]);
    refused(&["shop.example:443"], "http://shop.example/", &["1.1.1.1"]);
    allowed(&["*.shop.example"], "http://a.b.shop.example/", &["1.1.1.1"]);
    refused(&["*.shop.example"], "http://shop.example/", &["1.1.1.1"]);
    allowed(&["*"], "http://any.example:81/", &["1.1.1.1"]);
    allowed(&["*"], "http://1.1.1.1/", &[]);
    refused(&["*:443"], "http://1.1.1.1/", &[]);
    refused(&["shop.example"], "http://other.example/", &["1.1.1.1"]);
    // A name does not allow a URL with its address.
    refused(&["shop.example"], "http://1.1.1.1/", &[]);
}

#[test]
fn a_name_does_not_allow_special_addresses() {
    for special in [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "fd00:ec2::254",
        "168.63.129.16",
        "fe80::1",
        "fd00::1",
        "0.0.0.0",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2001::1",
        "::127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        refused(&["shop.example"], "http://shop.example/", &["1.1.1.1", special]);
        refused(&["*"], "http://shop.example/", &[special]);
        allowed(&["shop.example", special], "http://shop.example/", &["1.1.1.1", special]);
    }
}

#[test]
fn special_addresses_are_allowed_by_an_entry_of_their_own() {
    allowed(&["10.0.0.0/8"], "http://10.1.2.3/", &[]);
    allowed(&["10.0.0.0/8", "db.internal"], "http://db.internal/", &["10.1.2.3"]);
    refused(&["10.0.0.0/8", "db.internal"], "http://db.internal/", &["192.168.0.1"]);
    refused(&["10.0.0.0/8:5432", "db.internal"], "http://db.internal/", &["10.1.2.3"]);
    allowed(&["10.0.0.0/8:5432", "db.internal"], "http://db.internal:5432/", &["10.1.2.3"]);
    refused(&["db.internal"], "http://db.internal/", &["10.1.2.3"]);
    allowed(&["::ffff:10.0.0.1"], "http://10.0.0.1/", &[]);
    allowed(&["10.0.0.1"], "http://[::ffff:10.0.0.1]/", &[]);
    // An IPv6 address that a translator (NAT64, 6to4) maps to an IPv4 address is a different address.
    refused(&["10.0.0.0/8"], "http://[64:ff9b::a00:1]/", &[]);
    refused(&["10.0.0.0/8"], "http://[2002:a00:1::]/", &[]);
    allowed(&["0.0.0.0/0", "shop.example"], "http://shop.example/", &["127.0.0.1"]);
    refused(&["0.0.0.0/0", "shop.example"], "http://shop.example/", &["::1"]);
}

#[test]
fn an_entry_with_a_network_does_not_allow_lookups() {
    // The lookup itself would send the name to the DNS server of its domain.
    refused(&["10.0.0.0/8"], "http://secret-in-the-name.evil.example/", &[]);
    refused(&["0.0.0.0/0", "::/0"], "http://secret-in-the-name.evil.example/", &[]);
}

#[test]
fn localhost_is_allowed_by_its_name_or_its_loopback_addresses() {
    allowed(&["localhost"], "http://localhost:8080/", &["127.0.0.1", "::1"]);
    allowed(&["127.0.0.1"], "http://localhost/", &["127.0.0.1"]);
    refused(&["127.0.0.1"], "http://localhost/", &["::1"]);
    allowed(&["[::1]:80"], "http://localhost/", &["::1"]);
    refused(&["localhost:81"], "http://localhost/", &["127.0.0.1"]);
    refused(&["localhost"], "http://127.0.0.1/", &[]);
    refused(&["localhost"], "http://localhost/", &["10.0.0.1"]);
    refused(&["localhost"], "http://localhost.evil.example/", &["127.0.0.1"]);
    refused(&["*"], "http://localhost/", &["127.0.0.1"]);
}

#[test]
fn all_spellings_of_a_host_are_treated_alike() {
    for spelling in [
        "http://SHOP.example/",
        "http://shop.example./",
        "http://user:password@shop.example/",
        "http://evil.example@shop.example/",
        "http://shop%2Eexample/",
        "http://shop\u{3002}example/",
        "http:\\\\shop.example\\@evil.example/",
    ] {
        allowed(&["shop.example"], spelling, &["1.1.1.1"]);
    }
    allowed(&["b\u{fc}cher.example"], "http://xn--bcher-kva.example/", &["1.1.1.1"]);
    allowed(&["xn--bcher-kva.example"], "http://B\u{dc}CHER.example/", &["1.1.1.1"]);
    for spelling in ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0x7f000001", "127.0.0.1.", "[::ffff:7f00:1]"] {
        let url = format!("http://{spelling}/");
        allowed(&["127.0.0.1"], &url, &[]);
        refused(&["*", "shop.example"], &url, &[]);
    }
    for other in [
        "http://shop.example@evil.example/",
        "http://shop.example:80@evil.example/",
        "http://shop.example.evil.example/",
        "http://evilshop.example/",
        "http://evil.example/@shop.example",
        "http://evil.example/?shop.example",
        "http://evil.example#@shop.example",
        "http://evil.example\\@shop.example/",
        "http://sh\u{43e}p.example/",
        "http://shop.example../",
    ] {
        refused(&["shop.example"], other, &["1.1.1.1"]);
    }
}

#[test]
fn each_block_narrows_those_before() {
    let module: &[&str] = &["*.shop.example", "10.0.0.0/8"];
    let allowed = |probe: &[&str], url, addresses: &[&str]| {
        assert_eq!(check(&[module, probe], url, addresses), Ok(()), "{probe:?} {url} {addresses:?}");
    };
    let refused = |probe: &[&str], url, addresses: &[&str]| {
        assert!(check(&[module, probe], url, addresses).is_err(), "{probe:?} {url} {addresses:?}");
    };
    allowed(&["a.shop.example"], "http://a.shop.example/", &["1.1.1.1"]);
    // The module allows the private address, and the probe the name.
    allowed(&["a.shop.example"], "http://a.shop.example/", &["10.0.0.1"]);
    allowed(&["10.0.1.0/24"], "http://a.shop.example/", &["10.0.1.1"]);
    refused(&["10.0.1.0/24"], "http://a.shop.example/", &["10.0.0.1"]);
    refused(&["10.0.1.0/24"], "http://a.shop.example/", &["1.1.1.1"]);
    refused(&["a.shop.example"], "http://b.shop.example/", &["1.1.1.1"]);
    refused(&["evil.example"], "http://evil.example/", &["1.1.1.1"]);
    refused(&["a.shop.example"], "http://a.shop.example/", &["127.0.0.1"]);
    refused(&["a.shop.example", "127.0.0.1"], "http://a.shop.example/", &["127.0.0.1"]);
    refused(&[], "http://a.shop.example/", &["1.1.1.1"]);
}

#[test]
fn a_refusal_names_the_entry_to_add() {
    let message = |blocks: Vec<Allow>, list, url: &str, address: Option<&str>| {
        let (grants, url) = (Grants::new(blocks), Url::parse(url).unwrap());
        let port = url.port_or_known_default().unwrap();
        let by_name = grants.check_host(list, &url.host().unwrap(), port);
        let by_address =
            address.map(|address| grants.check_address(list, url.domain(), address.parse().unwrap(), port));
        by_name.and(by_address.unwrap_or(Ok(()))).unwrap_err().to_string()
    };
    assert_eq!(
        message(vec![block("this probe", &[])], List::Hosts, "https://Shop.example./", None),
        "`shop.example:443` is not allowed: add `shop.example:443` to `allow.hosts` of this probe"
    );
    assert_eq!(
        message(
            vec![block("the module `redis`", &["db.internal"])],
            List::Hosts,
            "http://db.internal/",
            Some("10.0.0.7")
        ),
        "`db.internal` leads to `10.0.0.7:80`, a private address, which is not allowed: add `10.0.0.7:80` to \
         `allow.hosts` of the module `redis`"
    );
    assert_eq!(
        message(vec![block("this probe", &["*"])], List::Hosts, "http://[::1]:81/", None),
        "`[::1]:81`, a loopback address, is not allowed: add `[::1]:81` to `allow.hosts` of this probe"
    );
    let narrowed = vec![block("the module `redis`", &["*"]), block("this probe", &["shop.example"])];
    assert_eq!(
        message(narrowed, List::Hosts, "http://1.1.1.1/", None),
        "`1.1.1.1:80` is not allowed: add `1.1.1.1:80` to `allow.hosts` of this probe"
    );
    let ssh = AllowSsh { hosts: Some(Vec::new()), ..AllowSsh::default() };
    let ssh = Allow {
        declared_by: "this probe".to_owned(),
        hosts: Some(vec![AllowedHost::read("*").unwrap()]),
        ssh,
        ..Allow::default()
    };
    assert_eq!(
        message(vec![ssh], List::Ssh, "http://shop.example:22/", None),
        "`shop.example:22` is not allowed: add `shop.example:22` to `allow.ssh.hosts` of this probe"
    );
}

#[test]
fn the_entry_that_a_refusal_names_allows_the_host() {
    let cases =
        [("http://shop.example/", "1.1.1.1"), ("http://db.internal:5432/", "10.0.0.7"), ("http://[::1]:81/", "::1")];
    for (url, address) in cases {
        let mut hosts: Vec<String> = Vec::new();
        // The first refusal names an entry for the name, the next one an entry for the address.
        for _ in 0..3 {
            let entries: Vec<_> = hosts.iter().map(String::as_str).collect();
            let Err(refusal) = check(&[&entries], url, &[address]) else { break };
            hosts.push(refusal.to_string().split('`').rev().nth(3).expect("a refusal names an entry").to_owned());
        }
        let entries: Vec<_> = hosts.iter().map(String::as_str).collect();
        assert_eq!(check(&[&entries], url, &[address]), Ok(()), "{hosts:?}");
    }
}

/// Checks a host that a proxy resolves against blocks with these hosts.
fn check_unresolved(blocks: &[&[&str]], url: &str) -> Result<(), Refusal> {
    let url = Url::parse(url).expect("the test's URLs are valid");
    let host = url.host().expect("an http URL has a host");
    grants(blocks).check_unresolved_host(List::Hosts, &host, url.port_or_known_default().unwrap_or_default())
}

#[test]
fn a_name_that_is_not_resolved_here_has_to_be_listed_itself() {
    let check = |hosts: &[&str], url: &str, expected: bool| {
        assert_eq!(check_unresolved(&[hosts], url).is_ok(), expected, "{hosts:?} {url}");
    };
    check(&["shop.example"], "http://shop.example/", true);
    check(&["shop.example:80"], "http://SHOP.example./", true);
    check(&["*.shop.example"], "http://a.shop.example/", true);
    check(&["*"], "http://shop.example/", false);
    check(&["*", "0.0.0.0/0", "::/0"], "http://localhost/", false);
    check(&["*", "127.0.0.1"], "http://a.localhost./", false);
    check(&["localhost"], "http://localhost/", true);
    check(&["*"], "http://1.1.1.1/", true);
    for loopback in
        ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "0", "169.254.169.254"]
    {
        check(&["*", "shop.example"], &format!("http://{loopback}/"), false);
    }
    check(&["127.0.0.1"], "http://127.1/", true);
    assert!(check_unresolved(&[], "http://localhost/").is_ok());
    assert!(check_unresolved(&[&["shop.example"], &["*"]], "http://shop.example/").is_ok());
    assert!(check_unresolved(&[&["shop.example"], &["1.1.1.1"]], "http://shop.example/").is_err());
    assert_eq!(
        check_unresolved(&[&["*"]], "http://shop.example/").unwrap_err().to_string(),
        "`shop.example:80`, a name that this host does not resolve, is not allowed: add `shop.example:80` to \
         `allow.hosts` of this probe"
    );
}

#[test]
fn the_host_of_a_host_header_has_to_be_listed_itself() {
    let check = |hosts: &[&str], authority: &str, expected: bool| {
        let checked = grants(&[hosts]).check_host_header(List::Hosts, authority, 8080);
        assert_eq!(checked.is_ok(), expected, "{hosts:?} {authority}");
    };
    check(&["shop.example"], "shop.example", true);
    check(&["shop.example:8080"], "shop.example", true);
    check(&["shop.example:443"], "shop.example:443", true);
    check(&["shop.example:443"], "shop.example", false);
    check(&["*"], "shop.example", false);
    check(&["*"], "1.1.1.1", true);
    for wrong in ["", "localhost", "0x7f.1", "[::1]", "a@shop.example", "shop.example/", "shop.example, b", "a b"] {
        check(&["*", "shop.example"], wrong, false);
    }
    assert!(Grants::default().check_host_header(List::Hosts, "a b", 80).is_ok());
}

#[test]
fn flags_of_an_outer_block_cannot_be_undone() {
    let block = |declared_by: &str, commands, log| {
        let ssh = AllowSsh { commands, agent: commands, accept_new: commands, ..AllowSsh::default() };
        Allow { declared_by: declared_by.to_owned(), ssh, log, ..Allow::default() }
    };
    let module = block("the module `redis`", Some(true), Some(false));
    let grants = Grants::new(vec![module.clone(), block("this probe", None, None)]);
    assert_eq!((grants.check_commands(), grants.check_agent()), (Ok(()), Ok(())));
    assert_eq!(
        grants.check_log().unwrap_err().to_string(),
        "writing to the log is not allowed: add `log: true` to `allow` of the module `redis`"
    );
    // The block of a probe cannot allow what the block of its module refuses.
    let grants = Grants::new(vec![module, block("this probe", Some(false), Some(true))]);
    assert!(grants.check_log().is_err());
    assert_eq!(
        grants.check_accept_new().unwrap_err().to_string(),
        "accepting new SSH host keys is not allowed: add `ssh: {accept_new: true}` to `allow` of this probe"
    );
    assert_eq!(
        grants.check_commands().unwrap_err().to_string(),
        "running a command over SSH is not allowed: add `ssh: {commands: true}` to `allow` of this probe"
    );
}

/// Checks a connection of a socket to `to` with these hosts in a block, after the guest has resolved these names to it.
fn check_socket(hosts: &[&str], names: &[&str], to: &str) -> Result<(), Refusal> {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let to: std::net::SocketAddr = to.parse().expect("the test's socket addresses are valid");
    grants(&[hosts]).check_socket(List::Hosts, &names, to.ip(), to.port())
}

#[test]
fn a_socket_may_connect_to_the_address_of_an_allowed_name() {
    assert_eq!(check_socket(&["shop.example:6379"], &["shop.example"], "1.1.1.1:6379"), Ok(()));
    assert_eq!(check_socket(&["1.1.1.0/24:53"], &[], "1.1.1.1:53"), Ok(()));
    assert_eq!(check_socket(&["*"], &[], "1.1.1.1:53"), Ok(()));
    assert_eq!(check_socket(&["*.example"], &["other.test", "shop.example"], "1.1.1.1:1"), Ok(()));
    let refused = |hosts, names, to| check_socket(hosts, names, to).expect_err("no entry allows it").to_string();
    // An allowed name that was not looked up does not count, nor does another port.
    assert!(refused(&["shop.example"], &[], "1.1.1.1:80").contains("add `1.1.1.1:80` to"));
    let other_port = refused(&["shop.example:6379"], &["shop.example"], "1.1.1.1:80");
    assert!(other_port.contains("add `shop.example:80` to"), "{other_port}");
    // A name does not allow its special addresses.
    for special in ["127.0.0.1:80", "10.0.0.1:80", "169.254.169.254:80", "[::1]:80", "[64:ff9b::a9fe:a9fe]:80"] {
        let message = refused(&["*", "shop.example"], &["shop.example"], special);
        assert!(message.starts_with("`shop.example` leads to"), "{message}");
    }
    assert!(refused(&["*"], &["localhost"], "127.0.0.1:80").starts_with("`localhost` leads to"));
    assert_eq!(check_socket(&["localhost"], &["localhost"], "127.0.0.1:80"), Ok(()));
}

#[test]
fn a_name_may_be_looked_up_if_it_is_allowed_on_any_port() {
    let lookup = |hosts: &[&str], name: &str| grants(&[hosts]).check_lookup(List::Hosts, name);
    let resolved = |hosts: &[&str], name: &str, to: &str| {
        grants(&[hosts]).check_resolved(List::Hosts, name, to.parse().expect("the test's addresses are valid"))
    };
    for hosts in [&["shop.example"], &["shop.example:6379"], &["*.example:1"], &["*"], &["*:2"]] {
        assert_eq!(lookup(hosts, "shop.example"), Ok(()));
        assert_eq!(resolved(hosts, "shop.example", "1.1.1.1"), Ok(()));
        assert!(resolved(hosts, "shop.example", "10.0.0.1").is_err());
    }
    let refusal =
        lookup(&["other.example:80", "10.0.0.0/8"], "shop.example").expect_err("no entry has this name").to_string();
    assert_eq!(refusal, "`shop.example` is not allowed: add `shop.example` to `allow.hosts` of this probe");
    assert_eq!(resolved(&["shop.example", "10.0.0.0/8:5432"], "shop.example", "10.0.0.1"), Ok(()));
    let refusal =
        resolved(&["shop.example:1"], "shop.example", "::ffff:127.0.0.1").expect_err("no entry has this address");
    assert!(refusal.to_string().contains("add `127.0.0.1` to"), "{refusal}");
    // The blocks allow the name on different ports, so that no port is left on which it is allowed.
    let narrowed = grants(&[&["*:80"], &["shop.example:443"]]);
    assert!(narrowed.check_lookup(List::Hosts, "shop.example").is_err());
}
