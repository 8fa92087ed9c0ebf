//! Runs of the examples that are recorded against the real servers, and replayed when these are gone.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::dns::{DNS, ZONE};
use super::postgres::POSTGRES;
use super::redis::{REDIS, home};
use super::servers::Server;
use super::{Built, PASSWORD, peers, reason};
use crate::support::{Ended, finish, folder, free_port, passed, sentrynet};

/// A run that was recorded, and what it printed.
struct Recorded {
    built: &'static Built,
    settings: String,
    file: PathBuf,
    printed: Ended,
}

impl Recorded {
    #[track_caller]
    fn new(built: &'static Built, name: &str, settings: &str) -> Self {
        let file = folder(&format!("examples-recorded-{}-{name}", built.name)).join("run.jsonl");
        let settings = format!("title: t\nallow: {{hosts: [localhost, 127.0.0.1], log: true}}\n{settings}");
        let recorded = Self { built, settings, file, printed: Ended::default() };
        let printed = recorded.test(&["--settings", "-", "--record"], &recorded.settings);
        Self { printed, ..recorded }
    }

    fn test(&self, arguments: &[&str], settings: &str) -> Ended {
        let mut program = sentrynet();
        program.args(["test", "--format", "json"]).arg(self.built.component()).env("PASSWORD", PASSWORD);
        finish(program.args(arguments).arg(&self.file), settings)
    }

    /// The run, which a replay comes to again.
    #[track_caller]
    fn same(&self) -> Value {
        let replayed = self.test(&["--replay"], "");
        assert_eq!(replayed.stdout, self.printed.stdout, "{}: {}", self.built.name, replayed.stderr);
        self.run(&replayed)
    }

    /// The same for a probe that makes something of its secrets: it needs them.
    #[track_caller]
    fn same_with_secrets(&self) -> Value {
        let replayed = self.test(&["--settings", "-", "--replay"], &self.settings);
        assert_eq!(replayed.stdout, self.printed.stdout, "{}: {}", self.built.name, replayed.stderr);
        self.run(&replayed)
    }

    #[track_caller]
    fn run(&self, replayed: &Ended) -> Value {
        assert_eq!((replayed.code, replayed.stderr.as_str()), (self.printed.code, ""));
        assert!(!fs::read_to_string(&self.file).expect("it is there").contains("sesame"), "a password is to be seen");
        let runs: Vec<Value> = serde_json::from_str(&replayed.stdout).expect("it is JSON");
        runs.into_iter().next().expect("there is a run")
    }
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn redis() {
    let server = Server::redis(&home("recorded"), &["--requirepass", PASSWORD]);
    let all = format!("host: localhost\nport: {}\n", server.port);
    let passes = Recorded::new(&REDIS, "passes", &format!("{all}password: '${{env:PASSWORD}}'"));
    let wrong = Recorded::new(&REDIS, "wrong", &format!("{all}password: not-it"));
    let dripping =
        Recorded::new(&REDIS, "drips", &format!("host: 127.0.0.1\nport: {}\ntimeout: 1", peers::drips(b"x")));
    let nobody = Recorded::new(&REDIS, "nobody", &format!("host: localhost\nport: {}", free_port()));
    drop(server);
    passed(&passes.same());
    assert_eq!(reason(&wrong.same()).0, "auth");
    assert_eq!(reason(&nobody.same()).0, "connect");
    let started = std::time::Instant::now();
    assert_eq!(reason(&dripping.same()).0, "timeout");
    assert!(started.elapsed().as_millis() < 900, "nothing is waited for");
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn postgres() {
    let server = Server::postgres("recorded", &[], |_| {});
    let all = format!("host: localhost\nport: {}\n", server.port);
    let asked = Recorded::new(&POSTGRES, "asked", &format!("{all}tls: false"));
    let logged_in =
        Recorded::new(&POSTGRES, "logged-in", &format!("{all}password: '${{env:PASSWORD}}'\nrole: primary"));
    drop(server);
    passed(&asked.same());
    passed(&logged_in.same_with_secrets());
    // What it proves with the password is not what it was.
    let without = logged_in.test(&["--replay"], "");
    assert!(without.code == 3 && without.stdout.contains("departs from the recording"), "{}", without.stdout);
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn dns() {
    let server = Server::nsd("shop.example", ZONE);
    let all = format!("server: localhost\nport: {}\nname: shop.example\n", server.port);
    let passes = Recorded::new(&DNS, "passes", &format!("{all}values: [192.0.2.7]"));
    let fails = Recorded::new(&DNS, "fails", &format!("{all}values: [192.0.2.8]"));
    drop(server);
    passed(&passes.same());
    assert_eq!(fails.same()["outcome"], "failed");
}
