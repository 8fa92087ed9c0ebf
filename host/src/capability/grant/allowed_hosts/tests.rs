//! Grants against what hostile components try.

use url::Url;

use super::*;
use crate::config::AllowSsh;

fn word(of: &str, hosts: &[&str]) -> Allow {
    let hosts = hosts.iter().map(|text| AllowedHost::read(text).expect("a host")).collect();
    Allow { declared_by: of.to_owned(), hosts: Some(hosts), ..Allow::default() }
}

fn grants(words: &[&[&str]]) -> Grants {
    Grants::new(words.iter().map(|hosts| word("this probe", hosts)).collect())
}

/// Whether a component with these hosts may ask for a URL whose name has these addresses. The port is the URL's.
fn reaches(words: &[&[&str]], url: &str, addresses: &[&str]) -> Result<(), Refusal> {
    let grants = grants(words);
    let url = Url::parse(url).expect("a URL");
    let host = url.host().expect("a host");
    let port = url.port_or_known_default().expect("a port");
    grants.host(List::Hosts, &host, port)?;
    let name = url.domain();
    for address in addresses {
        grants.address(List::Hosts, name, address.parse().expect("an address"), port)?;
    }
    Ok(())
}

#[track_caller]
fn open(hosts: &[&str], url: &str, addresses: &[&str]) {
    assert_eq!(reaches(&[hosts], url, addresses), Ok(()), "{hosts:?} {url} {addresses:?}");
}

#[track_caller]
fn shut(hosts: &[&str], url: &str, addresses: &[&str]) {
    assert!(reaches(&[hosts], url, addresses).is_err(), "{hosts:?} {url} {addresses:?}");
}

#[test]
fn without_a_word_everything_is_open_and_an_empty_list_is_shut() {
    assert_eq!(reaches(&[], "http://127.0.0.1/", &[]), Ok(()));
    assert_eq!(reaches(&[], "http://shop.example/", &["10.0.0.1"]), Ok(()));
    shut(&[], "http://shop.example/", &["1.1.1.1"]);
    shut(&[], "http://1.1.1.1/", &[]);
    shut(&[], "http://localhost/", &["127.0.0.1"]);
}

#[test]
fn a_name_opens_its_public_addresses() {
    open(&["shop.example"], "https://shop.example/", &["1.1.1.1", "2606:4700::1"]);
    open(&["shop.example:443"], "https://shop.example/", &["1.1.1.1"]);
    shut(&["shop.example:443"], "http://shop.example/", &["1.1.1.1"]);
    open(&["*.shop.example"], "http://a.b.shop.example/", &["1.1.1.1"]);
    shut(&["*.shop.example"], "http://shop.example/", &["1.1.1.1"]);
    open(&["*"], "http://any.example:81/", &["1.1.1.1"]);
    open(&["*"], "http://1.1.1.1/", &[]);
    shut(&["*:443"], "http://1.1.1.1/", &[]);
    shut(&["shop.example"], "http://other.example/", &["1.1.1.1"]);
    // By its address it is not the same.
    shut(&["shop.example"], "http://1.1.1.1/", &[]);
}

#[test]
fn a_name_that_is_pointed_elsewhere_opens_nothing() {
    for elsewhere in [
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
        shut(&["shop.example"], "http://shop.example/", &["1.1.1.1", elsewhere]);
        shut(&["*"], "http://shop.example/", &[elsewhere]);
        open(&["shop.example", elsewhere], "http://shop.example/", &["1.1.1.1", elsewhere]);
    }
}

#[test]
fn what_is_not_public_is_opened_as_an_address() {
    open(&["10.0.0.0/8"], "http://10.1.2.3/", &[]);
    open(&["10.0.0.0/8", "db.internal"], "http://db.internal/", &["10.1.2.3"]);
    shut(&["10.0.0.0/8", "db.internal"], "http://db.internal/", &["192.168.0.1"]);
    shut(&["10.0.0.0/8:5432", "db.internal"], "http://db.internal/", &["10.1.2.3"]);
    open(&["10.0.0.0/8:5432", "db.internal"], "http://db.internal:5432/", &["10.1.2.3"]);
    shut(&["db.internal"], "http://db.internal/", &["10.1.2.3"]);
    open(&["::ffff:10.0.0.1"], "http://10.0.0.1/", &[]);
    open(&["10.0.0.1"], "http://[::ffff:10.0.0.1]/", &[]);
    // One that leads to it by a translator is another.
    shut(&["10.0.0.0/8"], "http://[64:ff9b::a00:1]/", &[]);
    shut(&["10.0.0.0/8"], "http://[2002:a00:1::]/", &[]);
    open(&["0.0.0.0/0", "shop.example"], "http://shop.example/", &["127.0.0.1"]);
    shut(&["0.0.0.0/0", "shop.example"], "http://shop.example/", &["::1"]);
}

#[test]
fn a_network_alone_has_no_name_looked_up() {
    // The question itself would tell whoever answers for the name.
    shut(&["10.0.0.0/8"], "http://secret-in-the-name.evil.example/", &[]);
    shut(&["0.0.0.0/0", "::/0"], "http://secret-in-the-name.evil.example/", &[]);
}

#[test]
fn this_machine_has_a_name() {
    open(&["localhost"], "http://localhost:8080/", &["127.0.0.1", "::1"]);
    open(&["127.0.0.1"], "http://localhost/", &["127.0.0.1"]);
    shut(&["127.0.0.1"], "http://localhost/", &["::1"]);
    open(&["[::1]:80"], "http://localhost/", &["::1"]);
    shut(&["localhost:81"], "http://localhost/", &["127.0.0.1"]);
    shut(&["localhost"], "http://127.0.0.1/", &[]);
    shut(&["localhost"], "http://localhost/", &["10.0.0.1"]);
    shut(&["localhost"], "http://localhost.evil.example/", &["127.0.0.1"]);
    shut(&["*"], "http://localhost/", &["127.0.0.1"]);
}

#[test]
fn one_host_has_many_spellings() {
    for spelling in [
        "http://SHOP.example/",
        "http://shop.example./",
        "http://user:password@shop.example/",
        "http://evil.example@shop.example/",
        "http://shop%2Eexample/",
        "http://shop\u{3002}example/",
        "http:\\\\shop.example\\@evil.example/",
    ] {
        open(&["shop.example"], spelling, &["1.1.1.1"]);
    }
    open(&["b\u{fc}cher.example"], "http://xn--bcher-kva.example/", &["1.1.1.1"]);
    open(&["xn--bcher-kva.example"], "http://B\u{dc}CHER.example/", &["1.1.1.1"]);
    for spelling in ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0x7f000001", "127.0.0.1.", "[::ffff:7f00:1]"] {
        let url = format!("http://{spelling}/");
        open(&["127.0.0.1"], &url, &[]);
        shut(&["*", "shop.example"], &url, &[]);
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
        shut(&["shop.example"], other, &["1.1.1.1"]);
    }
}

#[test]
fn each_word_narrows_those_before() {
    let module: &[&str] = &["*.shop.example", "10.0.0.0/8"];
    let open = |probe: &[&str], url, addresses: &[&str]| {
        assert_eq!(reaches(&[module, probe], url, addresses), Ok(()), "{probe:?} {url} {addresses:?}");
    };
    let shut = |probe: &[&str], url, addresses: &[&str]| {
        assert!(reaches(&[module, probe], url, addresses).is_err(), "{probe:?} {url} {addresses:?}");
    };
    open(&["a.shop.example"], "http://a.shop.example/", &["1.1.1.1"]);
    // The module has opened what is not public, and the probe names who is meant.
    open(&["a.shop.example"], "http://a.shop.example/", &["10.0.0.1"]);
    open(&["10.0.1.0/24"], "http://a.shop.example/", &["10.0.1.1"]);
    shut(&["10.0.1.0/24"], "http://a.shop.example/", &["10.0.0.1"]);
    shut(&["10.0.1.0/24"], "http://a.shop.example/", &["1.1.1.1"]);
    shut(&["a.shop.example"], "http://b.shop.example/", &["1.1.1.1"]);
    shut(&["evil.example"], "http://evil.example/", &["1.1.1.1"]);
    shut(&["a.shop.example"], "http://a.shop.example/", &["127.0.0.1"]);
    shut(&["a.shop.example", "127.0.0.1"], "http://a.shop.example/", &["127.0.0.1"]);
    shut(&[], "http://a.shop.example/", &["1.1.1.1"]);
}

#[test]
fn a_refusal_says_what_to_add_and_where() {
    let say = |words: Vec<Allow>, list, url: &str, address: Option<&str>| {
        let (grants, url) = (Grants::new(words), Url::parse(url).unwrap());
        let port = url.port_or_known_default().unwrap();
        let asked = grants.host(list, &url.host().unwrap(), port);
        let judged = address.map(|address| grants.address(list, url.domain(), address.parse().unwrap(), port));
        asked.and(judged.unwrap_or(Ok(()))).unwrap_err().to_string()
    };
    assert_eq!(
        say(vec![word("this probe", &[])], List::Hosts, "https://Shop.example./", None),
        "`shop.example:443` is not allowed: add `shop.example:443` to `allow.hosts` of this probe"
    );
    assert_eq!(
        say(vec![word("the module `redis`", &["db.internal"])], List::Hosts, "http://db.internal/", Some("10.0.0.7")),
        "`db.internal` leads to `10.0.0.7:80`, a private address, which is not allowed: add `10.0.0.7:80` to \
         `allow.hosts` of the module `redis`"
    );
    assert_eq!(
        say(vec![word("this probe", &["*"])], List::Hosts, "http://[::1]:81/", None),
        "`[::1]:81`, a loopback address, is not allowed: add `[::1]:81` to `allow.hosts` of this probe"
    );
    let narrowed = vec![word("the module `redis`", &["*"]), word("this probe", &["shop.example"])];
    assert_eq!(
        say(narrowed, List::Hosts, "http://1.1.1.1/", None),
        "`1.1.1.1:80` is not allowed: add `1.1.1.1:80` to `allow.hosts` of this probe"
    );
    let ssh = AllowSsh { hosts: Some(Vec::new()), ..AllowSsh::default() };
    let ssh = Allow {
        declared_by: "this probe".to_owned(),
        hosts: Some(vec![AllowedHost::read("*").unwrap()]),
        ssh,
        log: None,
    };
    assert_eq!(
        say(vec![ssh], List::Ssh, "http://shop.example:22/", None),
        "`shop.example:22` is not allowed: add `shop.example:22` to `allow.ssh.hosts` of this probe"
    );
}

#[test]
fn what_is_told_to_be_added_opens() {
    let cases =
        [("http://shop.example/", "1.1.1.1"), ("http://db.internal:5432/", "10.0.0.7"), ("http://[::1]:81/", "::1")];
    for (url, address) in cases {
        let mut hosts: Vec<String> = Vec::new();
        // A name first, and then what it leads to.
        for _ in 0..3 {
            let written: Vec<_> = hosts.iter().map(String::as_str).collect();
            let Err(refusal) = reaches(&[&written], url, &[address]) else { break };
            hosts.push(refusal.to_string().split('`').rev().nth(3).expect("what to add").to_owned());
        }
        let written: Vec<_> = hosts.iter().map(String::as_str).collect();
        assert_eq!(reaches(&[&written], url, &[address]), Ok(()), "{hosts:?}");
    }
}

#[test]
fn yes_and_no() {
    let word = |of: &str, commands, log| {
        let ssh = AllowSsh { commands, agent: commands, ..AllowSsh::default() };
        Allow { declared_by: of.to_owned(), ssh, log, ..Allow::default() }
    };
    let module = word("the module `redis`", Some(true), Some(false));
    let grants = Grants::new(vec![module.clone(), word("this probe", None, None)]);
    assert_eq!((grants.commands(), grants.agent()), (Ok(()), Ok(())));
    assert_eq!(
        grants.log().unwrap_err().to_string(),
        "writing to the log is not allowed: add `log: true` to `allow` of the module `redis`"
    );
    // A probe cannot allow what its module may not.
    let grants = Grants::new(vec![module, word("this probe", Some(false), Some(true))]);
    assert!(grants.log().is_err());
    assert_eq!(
        grants.commands().unwrap_err().to_string(),
        "running a command over SSH is not allowed: add `ssh: {commands: true}` to `allow` of this probe"
    );
}

/// Whether a component with these hosts may connect to an address and port, having looked up these names.
fn connects(hosts: &[&str], names: &[&str], to: &str) -> Result<(), Refusal> {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let to: std::net::SocketAddr = to.parse().expect("an address and a port");
    grants(&[hosts]).socket(List::Hosts, &names, to.ip(), to.port())
}

#[test]
fn a_socket_goes_where_a_name_led_that_is_allowed_at_its_port() {
    assert_eq!(connects(&["shop.example:6379"], &["shop.example"], "1.1.1.1:6379"), Ok(()));
    assert_eq!(connects(&["1.1.1.0/24:53"], &[], "1.1.1.1:53"), Ok(()));
    assert_eq!(connects(&["*"], &[], "1.1.1.1:53"), Ok(()));
    assert_eq!(connects(&["*.example"], &["other.test", "shop.example"], "1.1.1.1:1"), Ok(()));
    let refused = |hosts, names, to| connects(hosts, names, to).expect_err("it is refused").to_string();
    // The name alone opens nothing, and none but its own port.
    assert!(refused(&["shop.example"], &[], "1.1.1.1:80").contains("add `1.1.1.1:80` to"));
    let other_port = refused(&["shop.example:6379"], &["shop.example"], "1.1.1.1:80");
    assert!(other_port.contains("add `shop.example:80` to"), "{other_port}");
    // Wherever it is pointed.
    for led in ["127.0.0.1:80", "10.0.0.1:80", "169.254.169.254:80", "[::1]:80", "[64:ff9b::a9fe:a9fe]:80"] {
        let led_to = refused(&["*", "shop.example"], &["shop.example"], led);
        assert!(led_to.starts_with("`shop.example` leads to"), "{led_to}");
    }
    assert!(refused(&["*"], &["localhost"], "127.0.0.1:80").starts_with("`localhost` leads to"));
    assert_eq!(connects(&["localhost"], &["localhost"], "127.0.0.1:80"), Ok(()));
}

#[test]
fn a_name_is_looked_up_that_may_be_asked_at_some_port() {
    let lookup = |hosts: &[&str], name: &str| grants(&[hosts]).lookup(List::Hosts, name);
    let leads = |hosts: &[&str], name: &str, to: &str| {
        grants(&[hosts]).leads(List::Hosts, name, to.parse().expect("an address"))
    };
    for hosts in [&["shop.example"], &["shop.example:6379"], &["*.example:1"], &["*"], &["*:2"]] {
        assert_eq!(lookup(hosts, "shop.example"), Ok(()));
        assert_eq!(leads(hosts, "shop.example", "1.1.1.1"), Ok(()));
        assert!(leads(hosts, "shop.example", "10.0.0.1").is_err());
    }
    let refusal = lookup(&["other.example:80", "10.0.0.0/8"], "shop.example").expect_err("it is refused").to_string();
    assert_eq!(refusal, "`shop.example` is not allowed: add `shop.example` to `allow.hosts` of this probe");
    assert_eq!(leads(&["shop.example", "10.0.0.0/8:5432"], "shop.example", "10.0.0.1"), Ok(()));
    let refusal = leads(&["shop.example:1"], "shop.example", "::ffff:127.0.0.1").expect_err("it is refused");
    assert!(refusal.to_string().contains("add `127.0.0.1` to"), "{refusal}");
    // What a probe narrows is shut to lookups too.
    let narrowed = grants(&[&["*:80"], &["shop.example:443"]]);
    assert!(narrowed.lookup(List::Hosts, "shop.example").is_err());
}
