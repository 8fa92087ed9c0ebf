//! The ssh probe against OpenSSH, dropbear, and servers that do not speak SSH.

mod addresses;
mod algorithms;
mod commands;
mod host_keys;
mod login;

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::sshd::{Sshd, generate_key};
use crate::support::{assert_delay_in_phase, find_problems, free_port, run_once, span_duration_ms, spans, tcp_server};

pub fn ssh_config(keys: &str) -> String {
    let keys: String = keys.lines().map(|line| format!("        {line}\n")).collect();
    format!("groups:\n  - probes:\n      - probe: ssh\n        host: 127.0.0.1\n{keys}")
}

/// Runs one ssh probe with these keys of its configuration once. Returns its run.
#[track_caller]
fn run_ssh_probe(keys: &str) -> Value {
    let (_, mut runs) = run_once(&ssh_config(keys));
    assert_eq!(runs.len(), 1);
    runs.remove(0)
}

#[track_caller]
fn expect_passed(keys: &str) -> Value {
    let run = run_ssh_probe(keys);
    assert_eq!(run["outcome"], "passed", "{run:#}");
    run
}

/// Asserts that a run fails for this reason in this phase. Returns its message.
#[track_caller]
fn expect_failure_in(keys: &str, reason: &str, phase: &str) -> String {
    let run = run_ssh_probe(keys);
    assert_eq!(run["outcome"], "failed", "{run:#}");
    assert_eq!(run["failure"]["reason"], reason, "{run:#}");
    let at_fault: Vec<_> = run["spans"]
        .as_array()
        .expect("a run has spans")
        .iter()
        .filter(|span| span["data"]["error.type"] == reason)
        .map(|span| span["op"].as_str().expect("an op is text"))
        .collect();
    assert_eq!(at_fault, ["ssh", phase], "{run:#}");
    run["failure"]["message"].as_str().expect("a failure has a message").to_owned()
}

/// Asserts that a run fails for this reason. Returns its message.
#[track_caller]
fn expect_failure(keys: &str, reason: &str) -> String {
    let run = run_ssh_probe(keys);
    assert_eq!((&run["outcome"], &run["failure"]["reason"]), (&json!("failed"), &json!(reason)), "{run:#}");
    run["failure"]["message"].as_str().expect("a failure has a message").to_owned()
}

fn ops(run: &Value) -> Vec<&str> {
    let spans = run["spans"].as_array().expect("a run has spans");
    spans.iter().filter_map(|span| span["op"].as_str()).filter(|op| op.starts_with("ssh")).collect()
}

/// Returns the keys of the configuration of a probe that logs in to a server whose host key is known.
pub fn login_keys(sshd: &Sshd) -> String {
    let known_hosts = sshd.known_hosts(&[&sshd.host_key("ed25519")]);
    let Sshd { port, user, .. } = sshd;
    format!("port: {port}\nusername: {user}\nidentity: {}\nknown_hosts: {known_hosts}\n", sshd.file("id_ed25519"))
}

#[test]
fn a_probe_without_a_login_checks_banner_key_exchange_and_methods() {
    let sshd = Sshd::openssh("up", "");
    let known_hosts = sshd.known_hosts(&[&sshd.host_key("ed25519")]);
    let keys = format!("port: {}\nknown_hosts: {known_hosts}", sshd.port);
    let run = expect_passed(&keys);
    assert_eq!(ops(&run), ["ssh", "ssh.connect", "ssh.banner", "ssh.kex", "ssh.auth"]);
    let span = spans(&run, "ssh")[0];
    assert_eq!(span["description"], format!("SSH 127.0.0.1:{}", sshd.port));
    let data = &span["data"];
    assert_eq!(data["server.address"], "127.0.0.1");
    assert_eq!(data["server.port"], sshd.port);
    assert_eq!(data["network.peer.address"], "127.0.0.1");
    assert!(data["ssh.server.version"].as_str().is_some_and(|text| text.starts_with("SSH-2.0-OpenSSH_")), "{data:#}");
    assert_eq!(data["ssh.host_key.type"], "ssh-ed25519");
    assert_eq!(data["ssh.host_key.fingerprint"], sshd.fingerprint("ed25519"));
    assert!(data["ssh.kex.algorithm"].as_str().is_some_and(|text| text.contains("25519")), "{data:#}");
    assert_eq!(data["ssh.cipher"], "chacha20-poly1305@openssh.com");
    assert_eq!(data["ssh.auth.methods"], "publickey");
    for op in ["ssh", "ssh.connect", "ssh.banner", "ssh.kex", "ssh.auth"] {
        assert_eq!(spans(&run, op)[0]["status"], "ok");
    }
    let total: f64 =
        ["ssh.connect", "ssh.banner", "ssh.kex", "ssh.auth"].map(|op| span_duration_ms(&run, op)).iter().sum();
    assert!(total <= span_duration_ms(&run, "ssh"), "{run:#}");
}

#[test]
fn a_name_is_resolved() {
    let sshd = Sshd::openssh("name", "");
    let keys = format!("port: {}\nhost_key: {}", sshd.port, sshd.fingerprint("ed25519"));
    let configuration = ssh_config(&keys).replace("127.0.0.1", "localhost");
    let (_, runs) = run_once(&configuration);
    assert_eq!(runs[0]["outcome"], "passed", "{:#}", runs[0]);
    assert_eq!(ops(&runs[0])[1], "ssh.dns");
    let (_, runs) = run_once(&ssh_config(&keys).replace("127.0.0.1", "no-such-host.invalid"));
    assert_eq!(runs[0]["failure"]["reason"], "dns", "{:#}", runs[0]);
    let message = runs[0]["failure"]["message"].as_str().expect("a failure has a message");
    assert!(message.starts_with("`no-such-host.invalid` does not resolve: "), "{message}");
}

#[test]
fn dropbear_is_supported() {
    let Some(dropbear) = Sshd::dropbear("up", &[]) else { return };
    let known_hosts = dropbear.known_hosts(&[&dropbear.host_key("ed25519")]);
    let run = expect_passed(&format!("port: {}\nknown_hosts: {known_hosts}", dropbear.port));
    assert_eq!(ops(&run), ["ssh", "ssh.connect", "ssh.banner", "ssh.kex", "ssh.auth"]);
    let data = &spans(&run, "ssh")[0]["data"];
    assert!(data["ssh.server.version"].as_str().is_some_and(|text| text.starts_with("SSH-2.0-dropbear")), "{data:#}");
    assert_eq!(data["ssh.host_key.fingerprint"], dropbear.fingerprint("ed25519"));
    assert_eq!(data["ssh.auth.methods"], "publickey,password");
    expect_passed(&login_keys(&dropbear));
    generate_key(&dropbear.home, "another", &["-t", "ed25519"], "");
    let message = expect_failure_in(&login_keys(&dropbear).replace("id_ed25519", "another"), "auth", "ssh.auth");
    assert!(message.ends_with("for `probe`; it offers publickey, password"), "{message}");
    let unknown = dropbear.known_hosts(&[]);
    let message = expect_failure_in(&format!("port: {}\nknown_hosts: {unknown}", dropbear.port), "host-key", "ssh.kex");
    assert!(message.ends_with(&dropbear.host_key("ed25519")), "{message}");
}

#[test]
fn a_refused_connection_is_reported() {
    let port = free_port();
    let message = expect_failure_in(&format!("port: {port}"), "connect", "ssh.connect");
    assert_eq!(message, format!("connection refused by 127.0.0.1:{port}: nothing listens there"));
}

#[test]
fn servers_that_do_not_speak_ssh_are_reported() {
    /// Asserts the failure against a server that sends `bytes`, and then keeps the connection open if `waits` is true.
    #[track_caller]
    fn check(bytes: &'static str, waits: bool, reason: &str, phase: &str, expected: &str) {
        let port = tcp_server::listen(move |mut connection| {
            let _ = connection.write_all(bytes.as_bytes());
            // Closing with unread bytes would reset the connection.
            let mut rest = [0; 4096];
            while matches!(connection.read(&mut rest), Ok(1..)) && waits {}
        });
        let message = expect_failure_in(&format!("port: {port}\ntimeout: 0.5"), reason, phase);
        assert_eq!(message.replace(&port.to_string(), "PORT"), expected);
    }
    check("", false, "protocol", "ssh.banner", "127.0.0.1:PORT closed the connection before it sent a banner");
    check("", true, "timeout", "ssh.banner", "timed out after 500 ms, waiting for the server's banner");
    check(
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n",
        false,
        "protocol",
        "ssh.banner",
        "127.0.0.1:PORT sent no SSH banner, but `HTTP/1.1 400 Bad Request`",
    );
    check(
        "220 mail.example.org ESMTP\r\n",
        true,
        "timeout",
        "ssh.banner",
        "timed out after 500 ms, waiting for the server's banner, after it sent `220 mail.example.org ESMTP`",
    );
    check(
        "SSH-1.5-1.2.27\n",
        false,
        "protocol",
        "ssh.banner",
        "the server's version of SSH is too old: `SSH-1.5-1.2.27`",
    );
    check("SSH-2.0-stall\r\n", true, "timeout", "ssh.kex", "timed out after 500 ms, exchanging keys");
    check("SSH-2.0-leave\r\n", false, "protocol", "ssh.kex", "the server closed the connection");
    check(
        "SSH-2.0-garbage\r\nand no packet",
        true,
        "protocol",
        "ssh.kex",
        "the server violated the SSH protocol: bad packet size: 1634624544",
    );
}

#[test]
fn a_delay_shows_in_its_phase() {
    let sshd = Sshd::openssh("slow", "");
    let delay = Duration::from_millis(300);
    let known = format!("host_key: {}", sshd.fingerprint("ed25519"));
    let port = tcp_server::forward_slowly(sshd.port, delay);
    let run = expect_passed(&format!("port: {port}\n{known}"));
    // The server's banner arrives at once; the client's part of the key exchange is delayed.
    assert_delay_in_phase(&run, "ssh", &["connect", "banner", "kex", "auth"], "kex", delay);
    let login = login_keys(&sshd);
    let run = expect_passed(&format!("{login}command: sleep 0.3"));
    assert_delay_in_phase(&run, "ssh", &["connect", "banner", "kex", "auth", "exec"], "exec", delay);
}

/// Returns a configuration with this many ssh probes of one server.
fn many_ssh_probes(count: usize, limits: &str, keys: &str) -> String {
    let probe = |n| format!("      - {{probe: ssh, title: 'Number {n}', host: 127.0.0.1, {keys}}}\n");
    format!("limits: {{{limits}}}\ngroups:\n  - probes:\n{}", (0..count).map(probe).collect::<String>())
}

#[test]
fn many_probes_of_a_server_are_not_too_many_for_it() {
    let sshd = Sshd::openssh("startups", "MaxStartups 10");
    let keys = format!("port: {}, host_key: '{}'", sshd.port, sshd.fingerprint("ed25519"));
    let (_, runs) = run_once(&many_ssh_probes(24, "deadline: 300", &keys));
    assert_eq!(runs.len(), 24);
    assert!(runs.iter().all(|run| run["outcome"] == "passed"), "{runs:#?}");
}

#[test]
fn connections_to_a_host_are_opened_a_few_at_once() {
    let peak_of = |per_host: usize| {
        let (open, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let most = Arc::clone(&peak);
        let port = tcp_server::listen(move |mut connection| {
            most.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
            let _ = connection.read(&mut [0; 100]);
            std::thread::sleep(Duration::from_millis(200));
            open.fetch_sub(1, SeqCst);
        });
        let (_, runs) = run_once(&many_ssh_probes(8, &format!("per_host: {per_host}"), &format!("port: {port}")));
        assert!(runs.iter().all(|run| run["failure"]["reason"] == "protocol"), "{runs:#?}");
        peak.load(SeqCst)
    };
    assert_eq!(peak_of(1), 1);
    assert!(peak_of(3) <= 3);
}

#[test]
fn mistakes_in_settings_of_ssh_are_found() {
    let found = find_problems(
        "groups:
  - probes:
      - {probe: ssh, host: h, checks: {status: 200}}
      - {probe: ssh, host: h, checks: {exit-code: 0, time: {less: 1}}}
      - {probe: ssh, host: h, title: a, checks: {exit status: 0}}
      - {probe: ssh, host: h, title: b, command: uptime}
      - {probe: ssh, host: h, title: c, auth: agent, command: true}
      - {probe: ssh, host: h, title: d, auth: password, username: u, passphrase: x}
      - {probe: ssh, host: h, title: e, auth: none, username: u, password: x}
      - {probe: ssh, host: h, title: f, password: x}
      - {probe: ssh, host: h, title: g, host_key: 5, timeout: 0}
      - {probe: ssh, host: h, title: h, port: 0, timeout: 0}
      - {probe: ssh, host: a b, title: i, timeout: 0}
      - {probe: ssh, host: 127.0.0.1:12222, title: m}
      - {probe: ssh, host: '[::1]:22', title: n}
      - {probe: ssh, host: 'fe80::1%eth0', title: o}
      - {probe: ssh, host: h, title: p, algorithms: {kex: [+a, b], cipher: +arcfour, key: x}}
      - {probe: ssh, host: h, title: j, max_output: 1 MiB}
      - {probe: ssh, host: h, title: k, auth: none, command: uptime, max_output: 17 MiB}
      - {probe: ssh, host: h, title: l, auth: none, command: uptime, max_output: 2 miles}
",
    );
    let expected = [
        "3:48 unknown subject `status`, expected one of `exit status`, `stdout`, `stdout size`, `stderr`, \
         `stderr size`, `time`, `server version`, `remote address` or a JSONPath such as `$.status`",
        "4:51 unknown subject `exit-code`, did you mean `exit status`?",
        "5:41 without `command` there is no exit status and no output to check",
        "6:50 a command needs a login: give `identity` or `password`, or say `auth: agent`, or `auth: none` \
         where anyone is let in",
        "7:9 the key `username` is missing: the user to log in as",
        "7:47 there is no agent: SSH_AUTH_SOCK is not set",
        "7:63 expected text, got true: put it in quotes",
        "8:47 `auth: password` needs a password: `password: ${env:NAME}`",
        "8:82 a passphrase needs a key: name its file under `identity`",
        "9:47 `auth: none` does not log in, and credentials are given: leave out one of them",
        "10:9 the key `username` is missing: the user to log in as",
        "11:51 expected text or a list, got 5",
        "11:63 expected a time such as `5s`, or seconds from 0.001 to 3600, got 0",
        "12:47 expected a whole number from 1 to 65535, got 0",
        "12:59 expected a time such as `5s`, or seconds from 0.001 to 3600, got 0",
        "13:28 `a b` is not a host: expected a name or an IP address",
        "13:52 expected a time such as `5s`, or seconds from 0.001 to 3600, got 0",
        "14:28 `127.0.0.1:12222` is a host with a port: write `host: 127.0.0.1` and `port: 12222`",
        "15:28 `[::1]:22` is a host with a port: write `host: ::1` and `port: 22`",
        "17:54 expected the same prefix before each name: `+` adds it to the default ones",
        "17:86 unknown key `key`, did you mean `kex`?",
        "18:53 without `command` there is no output to check",
        "19:82 expected a size such as `2 MiB`, from 1 byte to 16 MiB, got 17 MiB",
        "20:82 expected a size such as `2 MiB`, or a number of bytes",
    ];
    assert_eq!(found, expected, "{found:#?}");
}
