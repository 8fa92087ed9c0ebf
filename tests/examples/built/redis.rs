//! The Redis example, in C.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::LazyLock;

use super::servers::Server;
use super::{Built, PASSWORD, assert_refused, failure_reason, mismatches, peers, probe_ops};
use crate::support::{assert_passed, empty_folder, eventually, find_problems, free_port, spans};

pub static REDIS: LazyLock<Built> = LazyLock::new(|| Built::new("redis"));
const PASSWORD_SETTING: &str = "password: '${env:PASSWORD}'";

pub fn create_home(name: &str) -> PathBuf {
    empty_folder(&format!("examples-redis-{name}"))
}

/// Starts a master with one replica, both of which require the password.
fn start_master_and_replica(name: &str) -> (Server, Server) {
    let home = create_home(name);
    let master = Server::start_redis(&home, &["--requirepass", PASSWORD]);
    let of = format!("127.0.0.1 {}", master.port);
    let same = ["--requirepass", PASSWORD, "--masterauth", PASSWORD, "--replicaof", &of];
    let replica = Server::start_redis(&home, &same);
    eventually("the replica to be in sync", || replica.log().contains("Finished with success").then_some(()));
    (master, replica)
}

/// Sends commands to a server without a password. Returns the first bytes of its reply.
fn send_commands(port: u16, commands: &str) -> String {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    connection.write_all(commands.as_bytes()).expect("the server reads");
    let mut reply = [0; 4096];
    let count = connection.read(&mut reply).expect("the server replies");
    String::from_utf8_lossy(&reply[..count]).into_owned()
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn a_master_and_its_replica_are_checked() {
    let (master, replica) = start_master_and_replica("pair");
    let example = REDIS.run_example(&[
        ("*.cache.example:6379", "localhost"),
        ("a.cache.example", &format!("localhost\n        port: {}", master.port)),
        ("b.cache.example", &format!("localhost\n        port: {}", replica.port)),
    ]);
    assert_eq!(example.len(), 2);
    example.iter().for_each(assert_passed);
    assert_eq!(example[0]["title"], format!("Redis at localhost:{}", master.port));
    assert_eq!(probe_ops(&example[0]), ["redis.auth", "redis.ping", "redis.info", "redis.check"]);
    for op in ["dns", "tcp", "tcp.connect"] {
        assert!(!spans(&example[0], op).is_empty(), "{op} in {:#}", example[0]);
    }
    let data = &example[0]["spans"][0]["data"];
    let version = data["redis.version"].as_str().expect("the version is recorded");
    assert!(version.split('.').count() == 3 && version.starts_with(|first: char| first.is_ascii_digit()), "{version}");
    assert_eq!((&data["redis.role"], &data["redis.replicas"]), (&"master".into(), &1.into()));
    assert!(data["redis.used_memory"].as_u64().is_some_and(|bytes| bytes > 100_000), "{data}");
    assert_eq!(example[1]["spans"][0]["data"]["redis.role"], "replica");

    let all = format!("host: localhost, port: {}, {PASSWORD_SETTING}", master.port);
    let [other, lag] = REDIS.run_with_settings(
        &all,
        ["role: replica, max_used_memory: 1 KiB, min_replicas: 5", "max_lag: 3600, min_replicas: 0, role: master"],
    );
    assert_eq!(failure_reason(&other), ("check", "the server is not as expected"));
    let wrong = mismatches(&other);
    assert_eq!(wrong[0], "role: replica, not master");
    assert!(wrong[1].starts_with("used_memory: at most 1 KiB, not ") && wrong[1].ends_with(" bytes"), "{wrong:?}");
    assert_eq!(wrong[2..], ["replicas: at least 5, not 1"]);
    assert_passed(&lag);

    drop(master);
    let all = format!("host: localhost, port: {}, {PASSWORD_SETTING}", replica.port);
    let [lost] = eventually("the replica to lose its link", || {
        Some(REDIS.run_with_settings(&all, ["max_lag: 3600"])).filter(|[run]| run["outcome"] == "failed")
    });
    assert_eq!(mismatches(&lost), ["master_link_status: up, not down"]);
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn credentials_are_accepted_or_rejected() {
    let server = Server::start_redis(&create_home("auth"), &["--requirepass", PASSWORD]);
    let port = server.port;
    let [right, named, wrong, stranger, none] = REDIS.run_with_settings(
        &format!("host: localhost, port: {port}"),
        [
            PASSWORD_SETTING,
            &format!("username: default, {PASSWORD_SETTING}"),
            "password: not-it",
            &format!("username: nobody, {PASSWORD_SETTING}"),
            "timeout: 5",
        ],
    );
    assert_passed(&right);
    assert_passed(&named);
    for run in [&wrong, &stranger] {
        let (reason, message) = failure_reason(run);
        assert_eq!(reason, "auth", "{message}");
        assert!(message.starts_with("the server says: WRONGPASS "), "{message}");
        assert_eq!(probe_ops(run), ["redis.auth"]);
        assert_eq!(spans(run, "redis.auth")[0]["status"], "internal_error");
    }
    assert_eq!(failure_reason(&none), ("auth", "the server says: NOAUTH Authentication required."));

    let open = Server::start_redis(&create_home("open"), &[]);
    send_commands(open.port, "ACL SETUSER looker on >looks -@all +ping\r\n");
    let [needless, looker] = REDIS.run_with_settings(
        &format!("host: localhost, port: {}", open.port),
        ["password: needless", "username: looker, password: looks"],
    );
    assert_eq!(failure_reason(&needless).0, "auth");
    // This user may log in and use PING, but not INFO.
    let (why, message) = failure_reason(&looker);
    assert!(why == "auth" && message.starts_with("the server says: NOPERM "), "{message}");
    assert_eq!(probe_ops(&looker), ["redis.auth", "redis.ping", "redis.info"]);
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn a_server_that_is_loading_fails_the_run() {
    // The probe is built first, because the build takes longer than the server needs to load its keys.
    LazyLock::force(&REDIS);
    let home = create_home("loading");
    let first = Server::start_redis(&home, &[]);
    let keys: String = (0..300).map(|number| format!("SET key-{number} {}\r\n", "v".repeat(400))).collect();
    send_commands(first.port, &keys);
    assert!(send_commands(first.port, "SAVE\r\n").contains("OK"));
    drop(first);
    // Redis has these options for tests: a pause of 100 ms after each key, and requests served in between.
    let slow = ["--key-load-delay", "100000", "--loading-process-events-interval-bytes", "1024"];
    let loading = Server::start_redis(&home, &slow);
    let [run] = REDIS.run_with_settings("host: localhost", [&format!("port: {}", loading.port)]);
    assert_eq!(failure_reason(&run), ("loading", "the server says: LOADING Redis is loading the dataset in memory"));
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn servers_that_do_not_speak_redis_fail_the_run() {
    let binary: Vec<u8> = (0..=255).collect();
    let long = [b"$2000000000000000000\r\n".as_slice(), b"x"].concat();
    // A server that answers PING, and whose INFO cannot be parsed.
    let empty = peers::start_responding(|command| match command {
        command if command.ends_with(b"PING\r\n") => b"+PONG\r\n".to_vec(),
        _ => b"$35\r\nrole:\xff\r\nused_memory:99x\r\n:::\nslave0\r\n".to_vec(),
    });
    let ports = [
        free_port(),
        peers::start_silent(),
        peers::start_closing(),
        peers::start_sending(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        peers::start_sending(b"+OK\r\n"),
        peers::start_sending(b"-ERR max number of clients reached\r\n"),
        peers::start_sending(b"$-1\r\n"),
        peers::start_sending(&long),
        peers::start_sending(b"$3\r\nPONG\r\n"),
        peers::start_dripping(b"x"),
        peers::start_flooding(b"x"),
        peers::start_flooding(&binary),
        empty,
    ];
    let settings =
        ports.map(|port| format!("port: {port}, timeout: 1, role: master, max_used_memory: 1 GiB, max_lag: 1"));
    let runs = REDIS.run_with_settings("host: 127.0.0.1", settings.each_ref().map(String::as_str));
    let failures: Vec<_> = runs.iter().map(failure_reason).collect();
    let late = ("timeout", "timed out while waiting for the response");
    let not_redis = |why: &str| ("protocol", format!("the server does not speak Redis: {why}"));
    assert_eq!(failures[0].0, "connect");
    assert_eq!(failures[0].1, format!("no connection to 127.0.0.1:{}: connection refused", ports[0]));
    assert_eq!(failures[1], late);
    assert_eq!(failures[2].0, "closed", "{failures:?}");
    assert_eq!((failures[3].0, failures[3].1.to_owned()), not_redis("it answered `HTTP/1.1 400 Bad Request`"));
    assert_eq!((failures[4].0, failures[4].1.to_owned()), not_redis("to PING it answered `OK`"));
    assert_eq!(failures[5], ("error", "the server says: ERR max number of clients reached"));
    assert_eq!((failures[6].0, failures[6].1.to_owned()), not_redis("it answered `$-1`"));
    assert!(failures[7].0 == "protocol", "{failures:?}");
    assert_eq!(failures[8], ("protocol", "the server sent more bytes than it announced"));
    assert_eq!(failures[9], late);
    for endless in &failures[10..12] {
        assert!(endless.0 == "protocol" && endless.1.contains("a line without an end"), "{failures:?}");
    }
    assert_eq!(failures[12].0, "check");
    assert_eq!(
        mismatches(&runs[12]),
        ["role: master, not ?", "used_memory: at most 1 GiB, not nothing"],
        "{:#}",
        runs[12]
    );
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn hosts_are_restricted_and_settings_checked() {
    let [elsewhere, unknown, unresolved] =
        REDIS.run_with_settings("port: 6379", ["host: 127.0.0.3", "host: other.invalid", "host: nowhere.invalid"]);
    assert_refused(&elsewhere, "127.0.0.3:6379");
    assert_refused(&unknown, "other.invalid");
    assert_eq!(failure_reason(&unresolved), ("dns", "nowhere.invalid does not resolve: it has no address"));

    let component = REDIS.component().display().to_string();
    let check = |settings: &str| find_problems(&format!("groups:\n- probes:\n  - probe: '{component}'\n{settings}"));
    assert_eq!(
        check("    host: h\n    username: u"),
        ["5:15 a user logs in with a password: add `password`, or leave this out"]
    );
    for (wrong, place) in [
        ("    host: h\n    port: 70000", "5:11"),
        ("    host: h\n    role: slave", "5:11"),
        ("    host: h\n    max_used_memory: 512", "5:22"),
        ("    host: h\n    max_lag: -1", "5:14"),
        ("    host: h\n    color: red", "5:5"),
        ("    port: 1", "3:5"),
    ] {
        let found = check(wrong);
        assert!(found.len() == 1 && found[0].starts_with(place), "{wrong}: {found:?}");
    }
}
