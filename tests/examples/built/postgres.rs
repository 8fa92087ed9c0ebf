//! The Postgres example, in Python.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use super::servers::Server;
use super::{Built, assert_refused, failure_reason, mismatches, peers, probe_ops};
use crate::support::certificates::Certificates;
use crate::support::{assert_passed, empty_folder, eventually, find_problems, free_port, restrict_to_owner, spans};

pub static POSTGRES: LazyLock<Built> = LazyLock::new(|| Built::new("postgres"));
const PASSWORD_SETTING: &str = "password: '${env:PASSWORD}'";

/// Replaces `pg_hba.conf` by one line with this method of authentication.
fn set_auth_method(data: &Path, method: &str) {
    fs::write(data.join("pg_hba.conf"), format!("host all all 127.0.0.1/32 {method}\n"))
        .expect("the folder is writable");
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn a_primary_is_checked() {
    let server = Server::start_postgres("primary", &[], |_| {});
    let here = |name: &str| format!("{name}\n        port: {}", server.port);
    let example = POSTGRES.run_example(&[
        ("*.db.example:5432", "localhost"),
        ("orders.db.example", &here("localhost")),
        ("host: shop.db.example", &format!("host: {}", here("localhost"))),
        ("user: shop", "user: postgres"),
    ]);
    assert_eq!(example.len(), 2);
    example.iter().for_each(assert_passed);
    assert_eq!(probe_ops(&example[0]), ["postgres.connect", "postgres.startup"]);
    let logged_in = ["postgres.tls", "postgres.connect", "postgres.startup", "postgres.auth", "postgres.check"];
    assert_eq!(probe_ops(&example[1]), logged_in);
    let connected = spans(&example[1], "tcp").iter().filter(|span| span["status"] == "ok").count();
    assert_eq!(connected, 2, "the support for TLS is queried over a separate connection");
    let data = &example[1]["spans"][0]["data"];
    let version = data["postgres.version"].as_str().expect("the version is recorded");
    assert!(version.starts_with(|first: char| first.is_ascii_digit()) && version.contains('.'), "{version}");
    assert_eq!((&data["postgres.role"], &data["postgres.tls"]), (&"primary".into(), &false.into()));

    let all = format!("host: 127.0.0.1, port: {}", server.port);
    let [stranger, standby, wrong, nowhere, tls] = POSTGRES.run_with_settings(
        &all,
        [
            "user: nobody, database: nothing",
            &format!("{PASSWORD_SETTING}, role: standby"),
            "password: not-it",
            &format!("{PASSWORD_SETTING}, database: nothing"),
            "tls: true",
        ],
    );
    assert_passed(&stranger);
    assert_eq!(failure_reason(&standby), ("role", "the server is no standby"));
    assert_eq!(mismatches(&standby), ["role: standby, not primary"]);
    let (why, message) = failure_reason(&wrong);
    assert!(
        why == "auth" && message.starts_with("the server says: FATAL: ") && message.ends_with("(28P01)"),
        "{message}"
    );
    assert_eq!(spans(&wrong, "postgres.auth")[0]["status"], "internal_error");
    let (why, message) = failure_reason(&nowhere);
    assert!(why == "rejecting" && message.ends_with("\"nothing\" does not exist (3D000)"), "{message}");
    assert_eq!(failure_reason(&tls), ("tls", "TLS is not offered"));
    assert_eq!(mismatches(&tls), ["tls: offered, not not offered"]);
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn a_standby_is_distinguished_from_one_that_rejects_connections() {
    let standby = |data: &Path| fs::write(data.join("standby.signal"), "").expect("the folder is writable");
    let open = Server::start_postgres("standby", &[], standby);
    let shut = Server::start_postgres("standby-shut", &["hot_standby=off"], standby);
    let [ready, not_ready, not_primary] = eventually("the standby to be ready", || {
        let runs = POSTGRES.run_with_settings(
            &format!("host: localhost, {PASSWORD_SETTING}"),
            [
                &format!("port: {}, role: standby", open.port),
                &format!("port: {}", shut.port),
                &format!("port: {}, role: primary", open.port),
            ],
        );
        Some(runs).filter(|runs| runs[0]["outcome"] == "passed" && runs[2]["failure"]["reason"] == "role")
    });
    assert_eq!(ready["spans"][0]["data"]["postgres.role"], "standby");
    assert_eq!(mismatches(&not_primary), ["role: primary, not standby"]);
    let [without_role] = POSTGRES.run_with_settings("host: localhost", [&format!("port: {}", shut.port)]);
    for run in [&not_ready, &without_role] {
        let (why, message) = failure_reason(run);
        assert!(why == "rejecting" && message.ends_with("(57P03)"), "{message}");
        assert_eq!(probe_ops(run), ["postgres.connect", "postgres.startup"]);
    }
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn methods_of_authentication_are_supported_or_reported() {
    let trusting = Server::start_postgres("trust", &[], |data| set_auth_method(data, "trust"));
    let strict = Server::start_postgres("strict", &[], |data| set_auth_method(data, "reject"));
    let clear = Server::start_postgres("clear", &[], |data| set_auth_method(data, "password"));
    let old = Server::start_postgres("md5", &["password_encryption=md5"], |data| set_auth_method(data, "md5"));
    let ports = [&trusting, &strict, &strict, &clear, &clear, &old].map(|server| format!("port: {}", server.port));
    let with = [false, false, true, false, true, true];
    let settings: [String; 6] = std::array::from_fn(|at| {
        format!("{}{}", ports[at], if with[at] { format!(", {PASSWORD_SETTING}") } else { String::new() })
    });
    let [trusted, unlisted, rejected, without_login, in_clear_text, scram] =
        POSTGRES.run_with_settings("host: 127.0.0.1", settings.each_ref().map(String::as_str));
    assert_passed(&trusted);
    assert!(trusted["spans"][0]["data"]["postgres.version"].is_string(), "{trusted:#}");
    assert_passed(&unlisted);
    let (why, message) = failure_reason(&rejected);
    assert!(why == "auth" && message.ends_with("(28000)"), "{message}");
    assert_passed(&without_login);
    assert_eq!(in_clear_text["outcome"], "broken");
    assert_eq!(
        in_clear_text["failure"]["message"],
        "the server demands the password in clear text: this probe supports only SCRAM-SHA-256"
    );
    // A password that is stored for SCRAM is requested by SCRAM, although md5 is configured.
    assert_passed(&scram);

    let certificates = Certificates::new(&empty_folder("examples-postgres-certificates"));
    certificates.certify("good", &["localhost"], 2100);
    let secure = Server::start_postgres("tls", &["ssl=on"], |data| {
        for (from, to) in [("good.pem", "server.crt"), ("good.key", "server.key")] {
            let bytes = fs::read(certificates.folder.join(from)).expect("the certificate was created");
            fs::write(data.join(to), bytes).expect("the folder is writable");
        }
        restrict_to_owner(&data.join("server.key"));
    });
    let [offered, unwanted] = POSTGRES.run_with_settings(
        &format!("host: 127.0.0.1, port: {}, {PASSWORD_SETTING}", secure.port),
        ["tls: true, role: primary", "tls: false"],
    );
    assert_passed(&offered);
    assert_eq!(failure_reason(&unwanted), ("tls", "TLS is offered"));
}

/// Starts a server that requires SCRAM, and sends this challenge, in which `NONCE` stands for the client's nonce.
fn start_scram_server(challenge: &'static str) -> u16 {
    peers::start_responding(move |received| {
        let message = |method: u8, body: &[u8]| {
            let length = u8::try_from(body.len() + 8).expect("the length fits");
            [b"R\0\0\0".as_slice(), &[length, 0, 0, 0, method], body].concat()
        };
        if received.first() == Some(&0) {
            return message(10, b"SCRAM-SHA-256\0\0");
        }
        let text = String::from_utf8_lossy(received);
        match text.split_once("n,,n=,r=") {
            Some((_, nonce)) => message(11, challenge.replace("NONCE", nonce).as_bytes()),
            // Responds to the client's proof with an invalid proof of its own.
            None => message(12, b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        }
    })
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn servers_that_do_not_speak_postgres_fail_the_run() {
    let impostor = "the server cannot be trusted: ";
    let expected = [
        (free_port(), "connect", "connection refused"),
        (peers::start_silent(), "timeout", "timed out while waiting for the response"),
        (peers::start_closing(), "closed", "the server "),
        (peers::start_sending(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "protocol", "does not speak PostgreSQL"),
        (peers::start_sending(b"R\x7f\xff\xff\xff"), "protocol", "does not speak PostgreSQL"),
        (peers::start_sending(b"R\0\0\0\x04"), "protocol", "instead of a request for authentication"),
        (peers::start_sending(b"R\0\0\0\x09\0\0"), "timeout", "waiting for the response"),
        (peers::start_sending(b"E\0\0\0\x09\xff\xfe\0\xff\0"), "rejecting", "the server says: ERROR: no message ()"),
        (peers::start_sending(b"E\0\0\0\x04"), "rejecting", "the server says: ERROR: no message ()"),
        (peers::start_dripping(b"N\0\0\0\x04"), "timeout", "waiting for the response"),
        (peers::start_flooding(b"N\0\0\0\x04"), "protocol", "and is not ready yet"),
        (peers::start_flooding(b"R\0\0\0\x08\0\0\0\0"), "protocol", "and is not ready yet"),
        (peers::start_flooding(b"x"), "protocol", "does not speak PostgreSQL"),
        (peers::start_flooding(b"\0"), "protocol", "does not speak PostgreSQL"),
        (start_scram_server("r=NONCEmore,s=c2FsdA==,i=4096"), "auth", "it does not prove that it knows the password"),
        (
            start_scram_server("r=NONCEmore,s=c2FsdA==,i=2000000000"),
            "auth",
            "its challenge demands 2000000000 iterations",
        ),
        (start_scram_server("r=NONCEmore,s=c2FsdA==,i=-1"), "auth", "its challenge demands -1 iterations"),
        (start_scram_server("r=another,s=c2FsdA==,i=4096"), "auth", "its challenge does not continue the nonce"),
        (start_scram_server("r=NONCEmore,s=!,i=4096"), "auth", "its challenge has no salt"),
        (start_scram_server("r=NONCEmore,i=x\u{e9}"), "auth", "its SCRAM message is malformed"),
    ];
    let settings = expected.map(|(port, ..)| format!("port: {port}, timeout: 3, {PASSWORD_SETTING}"));
    let runs = POSTGRES.run_with_settings("host: 127.0.0.1", settings.each_ref().map(String::as_str));
    for (run, (_, why, what)) in runs.iter().zip(expected) {
        let (reason, message) = failure_reason(run);
        assert!(reason == why && message.contains(what), "expected {why}: {what}, got {reason}: {message}");
        assert!(why != "auth" || message.starts_with(impostor), "{message}");
    }
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn hosts_are_restricted_and_settings_checked() {
    let [elsewhere, unresolved] =
        POSTGRES.run_with_settings("port: 5432", ["host: 127.0.0.3", "host: nowhere.invalid"]);
    assert_refused(&elsewhere, "127.0.0.3:5432");
    assert_eq!(failure_reason(&unresolved), ("dns", "nowhere.invalid does not resolve"));

    let component = POSTGRES.component().display().to_string();
    let check = |settings: &str| find_problems(&format!("groups:\n- probes:\n  - probe: '{component}'\n{settings}"));
    assert_eq!(
        check("    host: h\n    role: standby"),
        ["5:11 the role is known only after a login: add `password`, or leave this out"]
    );
    for (wrong, place) in [
        ("    host: h\n    port: 0", "5:11"),
        ("    host: h\n    tls: perhaps", "5:10"),
        ("    host: h\n    timeout: 0", "5:14"),
        ("    host: h\n    query: SELECT 1", "5:5"),
        ("    user: u", "3:5"),
    ] {
        let found = check(wrong);
        assert!(found.len() == 1 && found[0].starts_with(place), "{wrong}: {found:?}");
    }
}
