//! Redis: in C.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::LazyLock;

use super::servers::Server;
use super::{Built, PASSWORD, mismatches, peers, reason, refused, steps};
use crate::support::{eventually, folder, free_port, passed, problems, spans};

pub static REDIS: LazyLock<Built> = LazyLock::new(|| Built::new("redis"));
const PASS: &str = "password: '${env:PASSWORD}'";

pub fn home(name: &str) -> PathBuf {
    folder(&format!("examples-redis-{name}"))
}

/// A master with one replica, both of which want the password.
fn pair(name: &str) -> (Server, Server) {
    let home = home(name);
    let master = Server::redis(&home, &["--requirepass", PASSWORD]);
    let of = format!("127.0.0.1 {}", master.port);
    let same = ["--requirepass", PASSWORD, "--masterauth", PASSWORD, "--replicaof", &of];
    let replica = Server::redis(&home, &same);
    eventually("the replica being in step", || replica.log().contains("Finished with success").then_some(()));
    (master, replica)
}

/// Has a server that wants no password do something; what it answers at first.
fn tell(port: u16, commands: &str) -> String {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    connection.write_all(commands.as_bytes()).expect("the server reads");
    let mut answer = [0; 4096];
    let count = connection.read(&mut answer).expect("the server answers");
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn a_master_and_its_replica() {
    let (master, replica) = pair("pair");
    let example = REDIS.example(&[
        ("*.cache.example:6379", "localhost"),
        ("a.cache.example", &format!("localhost\n        port: {}", master.port)),
        ("b.cache.example", &format!("localhost\n        port: {}", replica.port)),
    ]);
    assert_eq!(example.len(), 2);
    example.iter().for_each(passed);
    assert_eq!(example[0]["title"], format!("Redis at localhost:{}", master.port));
    assert_eq!(steps(&example[0]), ["redis.auth", "redis.ping", "redis.info", "redis.check"]);
    for op in ["dns", "tcp", "tcp.connect"] {
        assert!(!spans(&example[0], op).is_empty(), "{op} in {:#}", example[0]);
    }
    let told = &example[0]["spans"][0]["data"];
    let version = told["redis.version"].as_str().expect("the version is told");
    assert!(version.split('.').count() == 3 && version.starts_with(|first: char| first.is_ascii_digit()), "{version}");
    assert_eq!((&told["redis.role"], &told["redis.replicas"]), (&"master".into(), &1.into()));
    assert!(told["redis.used_memory"].as_u64().is_some_and(|bytes| bytes > 100_000), "{told}");
    assert_eq!(example[1]["spans"][0]["data"]["redis.role"], "replica");

    let all = format!("host: localhost, port: {}, {PASS}", master.port);
    let [other, lag] = REDIS.runs(
        &all,
        ["role: replica, max_used_memory: 1 KiB, min_replicas: 5", "max_lag: 3600, min_replicas: 0, role: master"],
    );
    assert_eq!(reason(&other), ("check", "the server is not as it should be"));
    let wrong = mismatches(&other);
    assert_eq!(wrong[0], "role: replica, not master");
    assert!(wrong[1].starts_with("used_memory: at most 1 KiB, not ") && wrong[1].ends_with(" bytes"), "{wrong:?}");
    assert_eq!(wrong[2..], ["replicas: at least 5, not 1"]);
    passed(&lag);

    drop(master);
    let all = format!("host: localhost, port: {}, {PASS}", replica.port);
    let [lost] = eventually("the replica noticing", || {
        Some(REDIS.runs(&all, ["max_lag: 3600"])).filter(|[run]| run["outcome"] == "failed")
    });
    assert_eq!(mismatches(&lost), ["master_link_status: up, not down"]);
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn who_is_let_in() {
    let server = Server::redis(&home("auth"), &["--requirepass", PASSWORD]);
    let port = server.port;
    let [right, named, wrong, stranger, none] = REDIS.runs(
        &format!("host: localhost, port: {port}"),
        [
            PASS,
            &format!("username: default, {PASS}"),
            "password: not-it",
            &format!("username: nobody, {PASS}"),
            "timeout: 5",
        ],
    );
    passed(&right);
    passed(&named);
    for run in [&wrong, &stranger] {
        let (reason, message) = reason(run);
        assert_eq!(reason, "auth", "{message}");
        assert!(message.starts_with("the server says: WRONGPASS "), "{message}");
        assert_eq!(steps(run), ["redis.auth"]);
        assert_eq!(spans(run, "redis.auth")[0]["status"], "internal_error");
    }
    assert_eq!(reason(&none), ("auth", "the server says: NOAUTH Authentication required."));

    let open = Server::redis(&home("open"), &[]);
    tell(open.port, "ACL SETUSER looker on >looks -@all +ping\r\n");
    let [needless, looker] = REDIS.runs(
        &format!("host: localhost, port: {}", open.port),
        ["password: needless", "username: looker, password: looks"],
    );
    assert_eq!(reason(&needless).0, "auth");
    // Lets it in, and no further.
    let (why, message) = reason(&looker);
    assert!(why == "auth" && message.starts_with("the server says: NOPERM "), "{message}");
    assert_eq!(steps(&looker), ["redis.auth", "redis.ping", "redis.info"]);
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn a_server_that_still_loads() {
    // First of all: the server would be done with loading before it is built.
    LazyLock::force(&REDIS);
    let home = home("loading");
    let first = Server::redis(&home, &[]);
    let keys: String = (0..300).map(|number| format!("SET key-{number} {}\r\n", "v".repeat(400))).collect();
    tell(first.port, &keys);
    assert!(tell(first.port, "SAVE\r\n").contains("OK"));
    drop(first);
    // Slow by Redis's own means for tests: 100 ms a key, and ears for clients now and then.
    let slow = ["--key-load-delay", "100000", "--loading-process-events-interval-bytes", "1024"];
    let loading = Server::redis(&home, &slow);
    let [run] = REDIS.runs("host: localhost", [&format!("port: {}", loading.port)]);
    assert_eq!(reason(&run), ("loading", "the server says: LOADING Redis is loading the dataset in memory"));
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn peers_that_are_none() {
    let binary: Vec<u8> = (0..=255).collect();
    let long = [b"$2000000000000000000\r\n".as_slice(), b"x"].concat();
    // What claims to be well, and says nothing of itself that could be read.
    let empty = peers::answers(|asked| match asked {
        asked if asked.ends_with(b"PING\r\n") => b"+PONG\r\n".to_vec(),
        _ => b"$35\r\nrole:\xff\r\nused_memory:99x\r\n:::\nslave0\r\n".to_vec(),
    });
    let ports = [
        free_port(),
        peers::silent(),
        peers::hangs_up(),
        peers::says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        peers::says(b"+OK\r\n"),
        peers::says(b"-ERR max number of clients reached\r\n"),
        peers::says(b"$-1\r\n"),
        peers::says(&long),
        peers::says(b"$3\r\nPONG\r\n"),
        peers::drips(b"x"),
        peers::floods(b"x"),
        peers::floods(&binary),
        empty,
    ];
    let settings =
        ports.map(|port| format!("port: {port}, timeout: 1, role: master, max_used_memory: 1 GiB, max_lag: 1"));
    let runs = REDIS.runs("host: 127.0.0.1", settings.each_ref().map(String::as_str));
    let said: Vec<_> = runs.iter().map(reason).collect();
    let late = ("timeout", "not done in time: the time was over while waiting for the answer");
    let no_redis = |said: &str| ("protocol", format!("the server does not speak Redis: {said}"));
    assert_eq!(said[0].0, "connect");
    assert_eq!(said[0].1, format!("no connection to 127.0.0.1:{}: connection refused", ports[0]));
    assert_eq!(said[1], late);
    assert_eq!(said[2].0, "closed", "{said:?}");
    assert_eq!((said[3].0, said[3].1.to_owned()), no_redis("it answered `HTTP/1.1 400 Bad Request`"));
    assert_eq!((said[4].0, said[4].1.to_owned()), no_redis("to PING it answered `OK`"));
    assert_eq!(said[5], ("error", "the server says: ERR max number of clients reached"));
    assert_eq!((said[6].0, said[6].1.to_owned()), no_redis("it answered `$-1`"));
    assert!(said[7].0 == "protocol", "{said:?}");
    assert_eq!(said[8], ("protocol", "the server sent more bytes than it announced"));
    assert_eq!(said[9], late);
    for endless in &said[10..12] {
        assert!(endless.0 == "protocol" && endless.1.contains("a line without an end"), "{said:?}");
    }
    assert_eq!(said[12].0, "check");
    assert_eq!(
        mismatches(&runs[12]),
        ["role: master, not ?", "used_memory: at most 1 GiB, not nothing"],
        "{:#}",
        runs[12]
    );
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn what_is_refused_and_what_is_mistaken() {
    let [elsewhere, unknown, unresolved] =
        REDIS.runs("port: 6379", ["host: 127.0.0.3", "host: other.invalid", "host: nowhere.invalid"]);
    refused(&elsewhere, "127.0.0.3:6379");
    refused(&unknown, "other.invalid");
    assert_eq!(reason(&unresolved), ("dns", "nowhere.invalid does not resolve: it has no address"));

    let component = REDIS.component().display().to_string();
    let check = |settings: &str| problems(&format!("groups:\n- probes:\n  - probe: '{component}'\n{settings}"));
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
