//! What somebody else's probe may do, and what its operator is told. The built-in components, from files, are somebody
//! else's: they try what their settings say.

use std::net::IpAddr;
use std::path::Path;

use serde_json::Value;

use crate::guests::{Guest, PASSES};
use crate::support::dns::{Dns, Says};
use crate::support::proxy::Proxy;
use crate::support::sshd::Sshd;
use crate::support::target::Target;
use crate::support::{finish, once, sentrynet};

fn component(name: &str) -> String {
    format!("{}/../probes-wasm/built/{name}.wasm", env!("CARGO_MANIFEST_DIR"))
}

/// The run of a component from a file, with these keys in a flow of YAML.
#[track_caller]
fn run(name: &str, keys: &str) -> Value {
    let (_, mut runs) = once(&format!("groups: [{{probes: [{{probe: '{}', title: t, {keys}}}]}}]", component(name)));
    assert_eq!(runs.len(), 1);
    runs.remove(0)
}

#[track_caller]
fn passes(name: &str, keys: &str) {
    let run = run(name, keys);
    assert_eq!(run["outcome"], "passed", "{run:#}");
}

/// The run breaks since something is not allowed: the guest is told, and so is the log.
#[track_caller]
fn refused(name: &str, keys: &str, expected: &str) {
    let run = run(name, keys);
    assert_eq!((&run["outcome"], &run["failure"]["reason"]), (&"broken".into(), &"gave-up".into()), "{run:#}");
    let message = run["failure"]["message"].as_str().expect("a fault has a message");
    assert!(message.contains(expected), "{message}");
    let lines = run["log"].as_array().expect("a run has a log");
    let told =
        |line: &Value| line["level"] == "warn" && line["message"].as_str().is_some_and(|it| it.contains(expected));
    assert!(lines.iter().any(told), "{run:#}");
}

#[test]
fn nothing_is_allowed_that_is_not_written() {
    let target = Target::new();
    let port = target.port;
    let url = format!("url: 'http://127.0.0.1:{port}/'");
    let wanted = format!(
        "`127.0.0.1:{port}`, a loopback address, is not allowed: add `127.0.0.1:{port}` to `allow.hosts` of this probe"
    );
    refused("http", &url, &wanted);
    refused("http", &format!("{url}, allow: {{}}"), &wanted);
    refused("http", &format!("{url}, allow: {{hosts: ['*', '127.0.0.1:1', 10.0.0.0/8], log: true}}"), &wanted);
    assert_eq!(target.asked().len(), 0);
    passes("http", &format!("{url}, allow: {{hosts: ['127.0.0.1:{port}']}}"));
    passes("http", &format!("{url}, allow: {{hosts: [127.0.0.0/8]}}"));
    passes("http", &format!("url: 'http://localhost:{port}/', allow: {{hosts: [localhost]}}"));
    passes("http", &format!("url: 'http://2130706433:{port}/', allow: {{hosts: [127.0.0.1]}}"));
    assert_eq!(target.asked().len(), 4);
}

#[test]
fn a_redirect_leads_nowhere_that_is_not_allowed() {
    let forbidden = Target::new();
    let elsewhere = forbidden.port;
    let target = Target::answering(move |_| {
        format!(
            "302 Found\r\nlocation: http://127.0.0.1:{elsewhere}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    });
    let port = target.port;
    let keys = format!("url: 'http://127.0.0.1:{port}/', allow: {{hosts: ['127.0.0.1:{port}']}}");
    refused("http", &keys, &format!("add `127.0.0.1:{elsewhere}` to `allow.hosts`"));
    assert_eq!((target.asked().len(), forbidden.asked().len()), (1, 0));
}

#[test]
fn a_name_that_is_pointed_to_this_machine_is_refused() {
    let target = Target::new();
    let dns = Dns::start(|_| Says::Addresses(vec![IpAddr::from([127, 0, 0, 1])]));
    let (port, server) = (target.port, dns.port);
    let url = format!("url: 'http://shop.test:{port}/', dns_server: '127.0.0.1:{server}'");
    let hosts = |more: &str| format!("{url}, allow: {{hosts: [{more}]}}");
    // A name that is not allowed is not looked up, and a server that is not allowed is not asked.
    refused("http", &hosts(&format!("'127.0.0.1:{server}'")), &format!("add `shop.test:{port}` to `allow.hosts`"));
    refused("http", &hosts("shop.test"), &format!("add `127.0.0.1:{server}` to `allow.hosts`"));
    assert_eq!(dns.asked().len(), 0);
    let led = format!(
        "`shop.test` leads to `127.0.0.1:{port}`, a loopback address, which is not allowed: add `127.0.0.1:{port}` to"
    );
    refused("http", &hosts(&format!("shop.test, '127.0.0.1:{server}'")), &led);
    assert_eq!(target.asked().len(), 0);
    passes("http", &hosts(&format!("shop.test, '127.0.0.1:{server}', '127.0.0.1:{port}'")));
}

#[test]
fn who_is_connected_to_in_its_place_must_be_allowed_too() {
    let target = Target::new();
    let port = target.port;
    let url = "url: 'http://shop.test/', allow: {hosts: [shop.test]}";
    refused("http", &format!("{url}, connect_to: '127.0.0.1:{port}'"), &format!("add `127.0.0.1:{port}` to"));
    let url = format!("url: 'http://other.test/', connect_to: '127.0.0.1:{port}'");
    refused("http", &format!("{url}, allow: {{hosts: [127.0.0.1]}}"), "add `other.test:80` to");
    passes("http", &format!("{url}, allow: {{hosts: [127.0.0.1, 'other.test:80']}}"));

    let proxy = Proxy::http(None);
    let url = format!("url: 'http://shop.test:{port}/', proxy: 'http://127.0.0.1:{}'", proxy.port);
    refused("http", &format!("{url}, allow: {{hosts: [shop.test]}}"), &format!("add `127.0.0.1:{}` to", proxy.port));
    refused("http", &format!("{url}, allow: {{hosts: [127.0.0.1]}}"), &format!("add `shop.test:{port}` to"));
    assert_eq!(proxy.asked().len(), 0);
    passes("http", &format!("{url}, allow: {{hosts: [127.0.0.1, shop.test]}}"));
    // Here names are looked up on this side.
    let proxy = Proxy::socks(None);
    let url = format!("url: 'http://localhost:{port}/', proxy: 'socks5://127.0.0.1:{}'", proxy.port);
    let hosts = format!("allow: {{hosts: ['127.0.0.1:{}', 'localhost.']}}", proxy.port);
    passes("http", &format!("{url}, {hosts}"));
}

#[test]
fn ssh_has_hosts_and_words_of_its_own() {
    let server = Sshd::openssh("grants", "");
    let (port, user, home) = (server.port, &server.user, server.home.display());
    let keys = format!(
        "host: 127.0.0.1, port: {port}, username: {user}, identity: '{home}/id_ed25519', known_hosts: '{home}/known'"
    );
    refused("ssh", &keys, &format!("add `127.0.0.1:{port}` to `allow.ssh.hosts` of this probe"));
    refused("ssh", &format!("{keys}, allow: {{hosts: [127.0.0.1]}}"), "to `allow.ssh.hosts` of this probe");
    let keys = format!("{keys}, host_key: accept-new");
    passes("ssh", &format!("{keys}, allow: {{ssh: {{hosts: [127.0.0.1]}}}}"));
    let keys = format!("{keys}, command: 'true'");
    let commands = "running a command over SSH is not allowed: add `ssh: {commands: true}` to `allow` of this probe";
    refused("ssh", &format!("{keys}, allow: {{ssh: {{hosts: [127.0.0.1]}}}}"), commands);
    passes("ssh", &format!("{keys}, allow: {{ssh: {{hosts: [127.0.0.1], commands: true}}}}"));
}

#[test]
fn what_is_built_in_may_all_until_a_word_narrows_it() {
    let target = Target::new();
    let (_, runs) = once(&format!(
        "groups: [{{probes: [{{probe: http, url: 'http://127.0.0.1:{0}/'}},
         {{probe: http, url: 'http://127.0.0.1:{0}/', allow: {{hosts: [shop.test]}}}}]}}]",
        target.port
    ));
    assert_eq!((&runs[0]["outcome"], &runs[1]["outcome"]), (&"passed".into(), &"broken".into()), "{runs:#?}");
}

#[test]
fn modules_are_declared_once() {
    let target = Target::new();
    let (port, http) = (target.port, component("http"));
    let sum = |path: &str| {
        let ended = finish(std::process::Command::new("sha256sum").arg(path), "");
        ended.stdout.split(' ').next().expect("a digest").to_owned()
    };
    let module = |pin: &str| {
        format!(
            "modules:\n  shop:\n    component: '{http}'\n    sha256: {pin}\n    allow: {{hosts: ['127.0.0.1:{port}']}}\n    \
             settings: {{expected: 200, url: 'http://127.0.0.1:{port}/shared'}}\ngroups:\n  - probes:\n      - {{probe: shop}}\n      \
             - {{probe: shop, url: 'http://127.0.0.1:{port}/own', allow: {{hosts: [127.0.0.2]}}}}\n"
        )
    };
    let (_, runs) = once(&module(&sum(&http)));
    assert_eq!((&runs[0]["outcome"], &runs[0]["probe"]), (&"passed".into(), &"shop".into()), "{runs:#?}");
    assert_eq!(target.asked()[0].line, "GET /shared HTTP/1.1");
    let message = runs[1]["failure"]["message"].as_str().expect("a fault has a message");
    assert!(message.contains(&format!("add `127.0.0.1:{port}` to `allow.hosts` of this probe")), "{message}");

    let ended = finish(sentrynet().args(["check", "-"]), &module(&"0".repeat(64)));
    assert_eq!(ended.code, 2);
    let expected = format!("is another file than was pinned: its sha256 is {}", sum(&http));
    assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
}

#[test]
fn check_warns_of_what_a_run_will_be_refused() {
    let configuration = format!(
        "groups:\n  - probes:\n      - probe: '{}'\n        url: http://shop.test/\n        allow: {{hosts: ['shop.test:443']}}\n",
        component("http")
    );
    let ended = finish(sentrynet().args(["check", "-"]), &configuration);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let expected =
        "warning: `shop.test:80` is not allowed: add `shop.test:80` to `allow.hosts` of this probe\n  --> <stdin>:3:";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

#[test]
fn a_log_is_not_everybodys() {
    let guest = Guest {
        imports: r#"(import "sentrynet:probe/log@0.1.0" "write" (func $write (param i32 i32 i32)))"#,
        run: "(call $write (i32.const 1) (i32.const 512) (i32.const 6))
              (call $write (i32.const 1) (i32.const 512) (i32.const 6)) i32.const 128",
        ..PASSES
    };
    let path = guest.write("talks");
    let lines = |allow: &str| {
        let (_, runs) = once(&format!("groups: [{{probes: [{{probe: '{}'{allow}}}]}}]", Path::new(&path).display()));
        let lines = runs[0]["log"].as_array().expect("a run has a log").clone();
        lines.iter().map(|line| line["message"].as_str().expect("a line is text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lines(""), ["writing to the log is not allowed: add `log: true` to `allow` of this probe"]);
    assert_eq!(lines(", allow: {log: true}"), ["teapot", "teapot"]);
}
