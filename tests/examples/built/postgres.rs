//! Postgres: in Python.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use super::servers::Server;
use super::{Built, mismatches, peers, reason, refused, steps};
use crate::support::certificates::Certificates;
use crate::support::{eventually, folder, free_port, passed, problems, spans};

pub static POSTGRES: LazyLock<Built> = LazyLock::new(|| Built::new("postgres"));
const PASS: &str = "password: '${env:PASSWORD}'";

/// Who is let in how, in place of all that there is.
fn let_in(data: &Path, how: &str) {
    fs::write(data.join("pg_hba.conf"), format!("host all all 127.0.0.1/32 {how}\n")).expect("the folder is writable");
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn a_primary() {
    let server = Server::postgres("primary", &[], |_| {});
    let here = |name: &str| format!("{name}\n        port: {}", server.port);
    let example = POSTGRES.example(&[
        ("*.db.example:5432", "localhost"),
        ("orders.db.example", &here("localhost")),
        ("host: shop.db.example", &format!("host: {}", here("localhost"))),
        ("user: shop", "user: postgres"),
    ]);
    assert_eq!(example.len(), 2);
    example.iter().for_each(passed);
    assert_eq!(steps(&example[0]), ["postgres.connect", "postgres.startup"]);
    let logged_in = ["postgres.tls", "postgres.connect", "postgres.startup", "postgres.auth", "postgres.check"];
    assert_eq!(steps(&example[1]), logged_in);
    let connected = spans(&example[1], "tcp").iter().filter(|span| span["status"] == "ok").count();
    assert_eq!(connected, 2, "TLS is asked for on a connection of its own");
    let told = &example[1]["spans"][0]["data"];
    let version = told["postgres.version"].as_str().expect("the version is told");
    assert!(version.starts_with(|first: char| first.is_ascii_digit()) && version.contains('.'), "{version}");
    assert_eq!((&told["postgres.role"], &told["postgres.tls"]), (&"primary".into(), &false.into()));

    let all = format!("host: 127.0.0.1, port: {}", server.port);
    let [stranger, standby, wrong, nowhere, tls] = POSTGRES.runs(
        &all,
        [
            "user: nobody, database: nothing",
            &format!("{PASS}, role: standby"),
            "password: not-it",
            &format!("{PASS}, database: nothing"),
            "tls: true",
        ],
    );
    passed(&stranger);
    assert_eq!(reason(&standby), ("role", "the server is no standby"));
    assert_eq!(mismatches(&standby), ["role: standby, not primary"]);
    let (why, message) = reason(&wrong);
    assert!(
        why == "auth" && message.starts_with("the server says: FATAL: ") && message.ends_with("(28P01)"),
        "{message}"
    );
    assert_eq!(spans(&wrong, "postgres.auth")[0]["status"], "internal_error");
    let (why, message) = reason(&nowhere);
    assert!(why == "rejecting" && message.ends_with("\"nothing\" does not exist (3D000)"), "{message}");
    assert_eq!(reason(&tls), ("tls", "TLS is not offered"));
    assert_eq!(mismatches(&tls), ["tls: offered, not not offered"]);
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn a_standby_and_one_that_lets_nobody_in() {
    let standby = |data: &Path| fs::write(data.join("standby.signal"), "").expect("the folder is writable");
    let open = Server::postgres("standby", &[], standby);
    let shut = Server::postgres("standby-shut", &["hot_standby=off"], standby);
    let [ready, not_ready, not_primary] = eventually("the standby being ready", || {
        let runs = POSTGRES.runs(
            &format!("host: localhost, {PASS}"),
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
    let [unasked] = POSTGRES.runs("host: localhost", [&format!("port: {}", shut.port)]);
    for run in [&not_ready, &unasked] {
        let (why, message) = reason(run);
        assert!(why == "rejecting" && message.ends_with("(57P03)"), "{message}");
        assert_eq!(steps(run), ["postgres.connect", "postgres.startup"]);
    }
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn ways_to_log_in() {
    let trusting = Server::postgres("trust", &[], |data| let_in(data, "trust"));
    let strict = Server::postgres("strict", &[], |data| let_in(data, "reject"));
    let clear = Server::postgres("clear", &[], |data| let_in(data, "password"));
    let old = Server::postgres("md5", &["password_encryption=md5"], |data| let_in(data, "md5"));
    let ports = [&trusting, &strict, &strict, &clear, &clear, &old].map(|server| format!("port: {}", server.port));
    let with = [false, false, true, false, true, true];
    let settings: [String; 6] = std::array::from_fn(|at| {
        format!("{}{}", ports[at], if with[at] { format!(", {PASS}") } else { String::new() })
    });
    let [trusted, unlisted, rejected, asked, told, scram] =
        POSTGRES.runs("host: 127.0.0.1", settings.each_ref().map(String::as_str));
    passed(&trusted);
    assert!(trusted["spans"][0]["data"]["postgres.version"].is_string(), "{trusted:#}");
    passed(&unlisted);
    let (why, message) = reason(&rejected);
    assert!(why == "auth" && message.ends_with("(28000)"), "{message}");
    passed(&asked);
    assert_eq!(told["outcome"], "broken");
    assert_eq!(
        told["failure"]["message"],
        "the server wants the password in clear text: this probe logs in by SCRAM-SHA-256 alone"
    );
    // A password that is kept for SCRAM is asked for by it, whatever else is allowed.
    passed(&scram);

    let certificates = Certificates::new(&folder("examples-postgres-certificates"));
    certificates.certify("good", &["localhost"], 2100);
    let secure = Server::postgres("tls", &["ssl=on"], |data| {
        for (from, to) in [("good.pem", "server.crt"), ("good.key", "server.key")] {
            let bytes = fs::read(certificates.folder.join(from)).expect("it has been made");
            fs::write(data.join(to), bytes).expect("the folder is writable");
        }
        owners_alone(&data.join("server.key"));
    });
    let [offered, unwanted] = POSTGRES
        .runs(&format!("host: 127.0.0.1, port: {}, {PASS}", secure.port), ["tls: true, role: primary", "tls: false"]);
    passed(&offered);
    assert_eq!(reason(&unwanted), ("tls", "TLS is offered"));
}

fn owners_alone(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("the file is ours");
}

/// What asks for a login by SCRAM, and goes on with this, where `NONCE` is the client's.
fn scram(challenge: &'static str) -> u16 {
    peers::answers(move |asked| {
        let message = |method: u8, body: &[u8]| {
            let length = u8::try_from(body.len() + 8).expect("it is short");
            [b"R\0\0\0".as_slice(), &[length, 0, 0, 0, method], body].concat()
        };
        if asked.first() == Some(&0) {
            return message(10, b"SCRAM-SHA-256\0\0");
        }
        let said = String::from_utf8_lossy(asked);
        match said.split_once("n,,n=,r=") {
            Some((_, nonce)) => message(11, challenge.replace("NONCE", nonce).as_bytes()),
            // To the proof of it: as if this one had the password.
            None => message(12, b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        }
    })
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn peers_that_are_none() {
    let impostor = "the server cannot be trusted: ";
    let expected = [
        (free_port(), "connect", "connection refused"),
        (peers::silent(), "timeout", "the time was over while waiting for the answer"),
        (peers::hangs_up(), "closed", "the server "),
        (peers::says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "protocol", "does not speak PostgreSQL"),
        (peers::says(b"R\x7f\xff\xff\xff"), "protocol", "does not speak PostgreSQL"),
        (peers::says(b"R\0\0\0\x04"), "protocol", "where a login is due"),
        (peers::says(b"R\0\0\0\x09\0\0"), "timeout", "waiting for the answer"),
        (peers::says(b"E\0\0\0\x09\xff\xfe\0\xff\0"), "rejecting", "the server says: ERROR: nothing more ()"),
        (peers::says(b"E\0\0\0\x04"), "rejecting", "the server says: ERROR: nothing more ()"),
        (peers::drips(b"N\0\0\0\x04"), "timeout", "waiting for the answer"),
        (peers::floods(b"N\0\0\0\x04"), "protocol", "and was not ready then"),
        (peers::floods(b"R\0\0\0\x08\0\0\0\0"), "protocol", "and was not ready then"),
        (peers::floods(b"x"), "protocol", "does not speak PostgreSQL"),
        (peers::floods(b"\0"), "protocol", "does not speak PostgreSQL"),
        (scram("r=NONCEmore,s=c2FsdA==,i=4096"), "auth", "it does not know the password itself"),
        (scram("r=NONCEmore,s=c2FsdA==,i=2000000000"), "auth", "its challenge wants 2000000000 iterations"),
        (scram("r=NONCEmore,s=c2FsdA==,i=-1"), "auth", "its challenge wants -1 iterations"),
        (scram("r=another,s=c2FsdA==,i=4096"), "auth", "its challenge is not for us"),
        (scram("r=NONCEmore,s=!,i=4096"), "auth", "its challenge has no salt"),
        (scram("r=NONCEmore,i=x\u{e9}"), "auth", "its part of SCRAM cannot be read"),
    ];
    let settings = expected.map(|(port, ..)| format!("port: {port}, timeout: 3, {PASS}"));
    let runs = POSTGRES.runs("host: 127.0.0.1", settings.each_ref().map(String::as_str));
    for (run, (_, why, what)) in runs.iter().zip(expected) {
        let (reason, message) = reason(run);
        assert!(reason == why && message.contains(what), "expected {why}: {what}, got {reason}: {message}");
        assert!(why != "auth" || message.starts_with(impostor), "{message}");
    }
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn what_is_refused_and_what_is_mistaken() {
    let [elsewhere, unresolved] = POSTGRES.runs("port: 5432", ["host: 127.0.0.3", "host: nowhere.invalid"]);
    refused(&elsewhere, "127.0.0.3:5432");
    assert_eq!(reason(&unresolved), ("dns", "nowhere.invalid does not resolve"));

    let component = POSTGRES.component().display().to_string();
    let check = |settings: &str| problems(&format!("groups:\n- probes:\n  - probe: '{component}'\n{settings}"));
    assert_eq!(
        check("    host: h\n    role: standby"),
        ["5:11 to know it takes a login: add `password`, or leave this out"]
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
