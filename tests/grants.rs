//! Permissions of third-party probes (`allow`), and the messages about refusals. The built-in components, loaded from
//! files, stand for third-party probes here, since they connect to whatever their settings name.

use std::net::IpAddr;
use std::path::Path;

use serde_json::Value;

use crate::guests::{Guest, PASSES};
use crate::support::dns::{DnsAnswer, DnsServer};
use crate::support::proxy::Proxy;
use crate::support::sshd::Sshd;
use crate::support::target::Target;
use crate::support::{run_command, run_once, sentrynet};

fn component(name: &str) -> String {
    format!("{}/../probes-wasm/built/{name}.wasm", env!("CARGO_MANIFEST_DIR"))
}

/// Runs a component from a file once, with these keys in YAML's flow style.
#[track_caller]
fn run_component(name: &str, keys: &str) -> Value {
    let (_, mut runs) =
        run_once(&format!("groups: [{{probes: [{{probe: '{}', title: t, {keys}}}]}}]", component(name)));
    assert_eq!(runs.len(), 1);
    runs.remove(0)
}

#[track_caller]
fn assert_passes(name: &str, keys: &str) {
    let run = run_component(name, keys);
    assert_eq!(run["outcome"], "passed", "{run:#}");
}

/// Asserts that the run breaks with this refusal, which the failure and the log have.
#[track_caller]
fn assert_refused(name: &str, keys: &str, expected: &str) {
    let run = run_component(name, keys);
    assert_eq!((&run["outcome"], &run["failure"]["reason"]), (&"broken".into(), &"gave-up".into()), "{run:#}");
    let message = run["failure"]["message"].as_str().expect("a fault has a message");
    assert!(message.contains(expected), "{message}");
    let lines = run["log"].as_array().expect("a run has a log");
    let is_refusal =
        |line: &Value| line["level"] == "warn" && line["message"].as_str().is_some_and(|it| it.contains(expected));
    assert!(lines.iter().any(is_refusal), "{run:#}");
}

#[test]
fn only_listed_hosts_are_allowed() {
    let target = Target::new();
    let port = target.port;
    let url = format!("url: 'http://127.0.0.1:{port}/'");
    let expected = format!(
        "`127.0.0.1:{port}`, a loopback address, is not allowed: add `127.0.0.1:{port}` to `allow.hosts` of this probe"
    );
    assert_refused("http", &url, &expected);
    assert_refused("http", &format!("{url}, allow: {{}}"), &expected);
    assert_refused("http", &format!("{url}, allow: {{hosts: ['*', '127.0.0.1:1', 10.0.0.0/8], log: true}}"), &expected);
    assert_eq!(target.requests().len(), 0);
    assert_passes("http", &format!("{url}, allow: {{hosts: ['127.0.0.1:{port}']}}"));
    assert_passes("http", &format!("{url}, allow: {{hosts: [127.0.0.0/8]}}"));
    assert_passes("http", &format!("url: 'http://localhost:{port}/', allow: {{hosts: [localhost]}}"));
    assert_passes("http", &format!("url: 'http://2130706433:{port}/', allow: {{hosts: [127.0.0.1]}}"));
    assert_eq!(target.requests().len(), 4);
}

#[test]
fn a_redirect_to_a_host_that_is_not_allowed_is_refused() {
    let forbidden = Target::new();
    let elsewhere = forbidden.port;
    let target = Target::responding(move |_| {
        format!(
            "302 Found\r\nlocation: http://127.0.0.1:{elsewhere}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    });
    let port = target.port;
    let keys = format!("url: 'http://127.0.0.1:{port}/', allow: {{hosts: ['127.0.0.1:{port}']}}");
    assert_refused("http", &keys, &format!("add `127.0.0.1:{elsewhere}` to `allow.hosts`"));
    assert_eq!((target.requests().len(), forbidden.requests().len()), (1, 0));
}

#[test]
fn a_name_that_resolves_to_loopback_is_refused() {
    let target = Target::new();
    let dns = DnsServer::start(|_| DnsAnswer::Addresses(vec![IpAddr::from([127, 0, 0, 1])]));
    let (port, server) = (target.port, dns.port);
    let url = format!("url: 'http://shop.test:{port}/', dns_server: '127.0.0.1:{server}'");
    let hosts = |more: &str| format!("{url}, allow: {{hosts: [{more}]}}");
    // A host that is not allowed is not looked up, and a DNS server that is not allowed is not queried.
    assert_refused(
        "http",
        &hosts(&format!("'127.0.0.1:{server}'")),
        &format!("add `shop.test:{port}` to `allow.hosts`"),
    );
    assert_refused("http", &hosts("shop.test"), &format!("add `127.0.0.1:{server}` to `allow.hosts`"));
    assert_eq!(dns.queries().len(), 0);
    // The component does not get to know the address.
    let run = run_component("http", &hosts(&format!("shop.test, '127.0.0.1:{server}'")));
    let masked = "`shop.test` leads to a loopback address, which is not allowed: the run's log has the address";
    assert_eq!(run["failure"]["message"], masked, "{run:#}");
    let logged = format!(
        "`shop.test` leads to `127.0.0.1:{port}`, a loopback address, which is not allowed: add `127.0.0.1:{port}` to"
    );
    assert!(run["log"].to_string().contains(&logged), "{run:#}");
    assert_eq!(target.requests().len(), 0);
    assert_passes("http", &hosts(&format!("shop.test, '127.0.0.1:{server}', '127.0.0.1:{port}'")));
}

#[test]
fn connect_to_and_proxies_must_be_allowed_too() {
    let target = Target::new();
    let port = target.port;
    let url = "url: 'http://shop.test/', allow: {hosts: [shop.test]}";
    assert_refused("http", &format!("{url}, connect_to: '127.0.0.1:{port}'"), &format!("add `127.0.0.1:{port}` to"));
    let url = format!("url: 'http://other.test/', connect_to: '127.0.0.1:{port}'");
    assert_refused("http", &format!("{url}, allow: {{hosts: [127.0.0.1]}}"), "add `other.test:80` to");
    assert_passes("http", &format!("{url}, allow: {{hosts: [127.0.0.1, 'other.test:80']}}"));

    let proxy = Proxy::start_http(None);
    let url = format!("url: 'http://shop.test:{port}/', proxy: 'http://127.0.0.1:{}'", proxy.port);
    assert_refused(
        "http",
        &format!("{url}, allow: {{hosts: [shop.test]}}"),
        &format!("add `127.0.0.1:{}` to", proxy.port),
    );
    assert_refused("http", &format!("{url}, allow: {{hosts: [127.0.0.1]}}"), &format!("add `shop.test:{port}` to"));
    assert_eq!(proxy.requests().len(), 0);
    assert_passes("http", &format!("{url}, allow: {{hosts: [127.0.0.1, shop.test]}}"));
    // With `socks5` the host resolves names itself.
    let proxy = Proxy::start_socks(None);
    let url = format!("url: 'http://localhost:{port}/', proxy: 'socks5://127.0.0.1:{}'", proxy.port);
    let hosts = format!("allow: {{hosts: ['127.0.0.1:{}', 'localhost.']}}", proxy.port);
    assert_passes("http", &format!("{url}, {hosts}"));
}

#[test]
fn a_name_behind_a_proxy_must_be_listed_itself() {
    let target = Target::new();
    let port = target.port;
    let (http, socks) = (Proxy::start_http(None), Proxy::start_socks(None));
    let proxies = [("http", http.port), ("socks5", socks.port), ("socks5h", socks.port)];
    // Through a proxy, every spelling of loopback is refused, as without one.
    let loopback = ["localhost", "LOCALHOST.", "a.localhost", "127.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]"];
    for ((scheme, proxy), name) in proxies.into_iter().flat_map(|proxy| loopback.map(|name| (proxy, name))) {
        let keys = format!(
            "url: 'http://{name}:{port}/', proxy: '{scheme}://127.0.0.1:{proxy}',
             allow: {{hosts: ['*', '127.0.0.1:{proxy}'], log: true}}"
        );
        let run = run_component("http", &keys);
        // With `socks5`, a spelling that the system does not resolve is no refusal.
        assert_ne!(run["outcome"], "passed", "{scheme} {name}: {run:#}");
    }
    assert_eq!((target.requests().len(), http.requests().len(), socks.requests().len()), (0, 0, 0));
    // A proxy resolves every name, so that `*` lists none.
    for (scheme, proxy) in [("http", http.port), ("socks5h", socks.port)] {
        let keys = format!("url: 'http://shop.test:{port}/', proxy: '{scheme}://127.0.0.1:{proxy}'");
        let hosts = |more: &str| format!("{keys}, allow: {{hosts: ['127.0.0.1:{proxy}', {more}]}}");
        let expected = format!(
            "`shop.test:{port}`, a name that this host does not resolve, is not allowed: add `shop.test:{port}` to"
        );
        assert_refused("http", &hosts("'*'"), &expected);
        assert_passes("http", &hosts("'*.test'"));
        assert_passes("http", &hosts("shop.test"));
    }
    assert_eq!(target.requests().len(), 4);
    assert_eq!((http.requests().len(), socks.requests().len()), (2, 2));
    let tls = format!("url: 'https://localhost:{port}/', proxy: 'http://127.0.0.1:{}'", http.port);
    assert_refused("http", &format!("{tls}, allow: {{hosts: ['*', '127.0.0.1:{}']}}", http.port), "add `localhost:");
    assert_eq!(http.requests().len(), 2);
}

#[test]
fn the_host_of_a_host_header_must_be_allowed_too() {
    let target = Target::new();
    let port = target.port;
    let request = |host: &str, hosts: &str| {
        format!(
            "url: 'http://127.0.0.1:{port}/', headers: {{host: '{host}'}}, allow: {{hosts: ['127.0.0.1:{port}', {hosts}]}}"
        )
    };
    assert_refused("http", &request("internal.test", "'*'"), &format!("add `internal.test:{port}` to `allow.hosts`"));
    assert_refused("http", &request("internal.test:80", "shop.test"), "add `internal.test:80` to `allow.hosts`");
    for loopback in ["localhost", "169.254.169.254", "0xa.1", "[::1]"] {
        let refused = "is not allowed: add `";
        assert_refused("http", &request(loopback, "'*'"), refused);
    }
    assert_refused("http", &request("a@b", "'*'"), "is not a host: `allow` of this probe cannot list it");
    assert_eq!(target.requests().len(), 0);
    assert_passes("http", &request("shop.test", "shop.test"));
    assert_passes("http", &request(&format!("127.0.0.1:{port}"), "shop.test"));
    assert_eq!(target.requests()[0].header("host"), Some("shop.test"));
}

#[test]
fn ssh_has_its_own_hosts_and_permissions() {
    let server = Sshd::openssh("grants", "");
    let (port, user, home) = (server.port, &server.user, server.home.display());
    let keys = format!(
        "host: 127.0.0.1, port: {port}, username: {user}, identity: '{home}/id_ed25519', known_hosts: '{home}/known'"
    );
    assert_refused("ssh", &keys, &format!("add `127.0.0.1:{port}` to `allow.ssh.hosts` of this probe"));
    assert_refused("ssh", &format!("{keys}, allow: {{hosts: [127.0.0.1]}}"), "to `allow.ssh.hosts` of this probe");
    let without_file = keys.replace(&format!(", known_hosts: '{home}/known'"), "");
    let keys = format!("{keys}, host_key: accept-new");
    let accepting =
        "accepting new SSH host keys is not allowed: add `ssh: {accept_new: true}` to `allow` of this probe";
    assert_refused("ssh", &format!("{keys}, allow: {{ssh: {{hosts: [127.0.0.1]}}}}"), accepting);
    let accept_new = "allow: {ssh: {hosts: [127.0.0.1], accept_new: true}}";
    let no_file = "a new SSH host key is not accepted without a file of known hosts";
    assert_refused("ssh", &format!("{without_file}, host_key: accept-new, {accept_new}"), no_file);
    assert!(!server.home.join("known").exists());
    assert_passes("ssh", &format!("{keys}, {accept_new}"));
    assert!(server.home.join("known").exists());
    let keys = format!("{keys}, command: 'true'").replace(", host_key: accept-new", "");
    let commands = "running a command over SSH is not allowed: add `ssh: {commands: true}` to `allow` of this probe";
    assert_refused("ssh", &format!("{keys}, allow: {{ssh: {{hosts: [127.0.0.1]}}}}"), commands);
    assert_passes("ssh", &format!("{keys}, allow: {{ssh: {{hosts: [127.0.0.1], commands: true}}}}"));
}

#[test]
fn built_in_probes_are_unrestricted_without_an_allow_block() {
    let target = Target::new();
    let (_, runs) = run_once(&format!(
        "groups: [{{probes: [{{probe: http, url: 'http://127.0.0.1:{0}/'}},
         {{probe: http, url: 'http://127.0.0.1:{0}/', allow: {{hosts: [shop.test]}}}}]}}]",
        target.port
    ));
    assert_eq!((&runs[0]["outcome"], &runs[1]["outcome"]), (&"passed".into(), &"broken".into()), "{runs:#?}");
}

#[test]
fn modules_share_settings_pins_and_permissions() {
    let target = Target::new();
    let (port, http) = (target.port, component("http"));
    let sum = |path: &str| {
        let ended = run_command(std::process::Command::new("sha256sum").arg(path), "");
        ended.stdout.split(' ').next().expect("`sha256sum` prints the digest first").to_owned()
    };
    let module = |pin: &str| {
        format!(
            "modules:\n  shop:\n    component: '{http}'\n    sha256: {pin}\n    allow: {{hosts: ['127.0.0.1:{port}']}}\n    \
             settings: {{expected: 200, url: 'http://127.0.0.1:{port}/shared'}}\ngroups:\n  - probes:\n      - {{probe: shop}}\n      \
             - {{probe: shop, url: 'http://127.0.0.1:{port}/own', allow: {{hosts: [127.0.0.2]}}}}\n"
        )
    };
    let (_, runs) = run_once(&module(&sum(&http)));
    assert_eq!((&runs[0]["outcome"], &runs[0]["probe"]), (&"passed".into(), &"shop".into()), "{runs:#?}");
    assert_eq!(target.requests()[0].line, "GET /shared HTTP/1.1");
    let message = runs[1]["failure"]["message"].as_str().expect("a fault has a message");
    assert!(message.contains(&format!("add `127.0.0.1:{port}` to `allow.hosts` of this probe")), "{message}");

    let ended = run_command(sentrynet().args(["check", "-"]), &module(&"0".repeat(64)));
    assert_eq!(ended.code, 2);
    let expected = format!("is not the pinned file: its sha256 is {}", sum(&http));
    assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
}

#[test]
fn check_warns_of_hosts_that_a_run_will_be_refused() {
    let configuration = format!(
        "groups:\n  - probes:\n      - probe: '{}'\n        url: http://shop.test/\n        allow: {{hosts: ['shop.test:443']}}\n",
        component("http")
    );
    let ended = run_command(sentrynet().args(["check", "-"]), &configuration);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let expected = "warning: the component may not connect to this host: `shop.test:80` is not allowed: add \
                    `shop.test:80` to `allow.hosts` of this probe\n  --> <stdin>:4:14\n";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

#[test]
fn writing_to_the_log_must_be_allowed() {
    let guest = Guest {
        imports: r#"(import "sentrynet:probe/log@0.1.0" "write" (func $write (param i32 i32 i32)))"#,
        run: "(call $write (i32.const 1) (i32.const 512) (i32.const 6))
              (call $write (i32.const 1) (i32.const 512) (i32.const 6)) i32.const 128",
        ..PASSES
    };
    let path = guest.write("talks");
    let lines = |allow: &str| {
        let (_, runs) =
            run_once(&format!("groups: [{{probes: [{{probe: '{}'{allow}}}]}}]", Path::new(&path).display()));
        let lines = runs[0]["log"].as_array().expect("a run has a log").clone();
        lines.iter().map(|line| line["message"].as_str().expect("a line is text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lines(""), ["writing to the log is not allowed: add `log: true` to `allow` of this probe"]);
    assert_eq!(lines(", allow: {log: true}"), ["teapot", "teapot"]);
}
