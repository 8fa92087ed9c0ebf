//! Runs of the examples that are recorded against the real servers, and replayed when these have stopped.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::dns::{DNS, ZONE};
use super::postgres::POSTGRES;
use super::redis::{REDIS, create_home};
use super::servers::Server;
use super::{Built, PASSWORD, failure_reason, peers};
use crate::support::{CommandOutput, assert_passed, empty_folder, free_port, run_command, sentrynet};

/// A recorded run, with its output.
struct Recorded {
    built: &'static Built,
    settings: String,
    file: PathBuf,
    printed: CommandOutput,
}

impl Recorded {
    #[track_caller]
    fn record(built: &'static Built, name: &str, settings: &str) -> Self {
        let file = empty_folder(&format!("examples-recorded-{}-{name}", built.name)).join("run.jsonl");
        let settings = format!("title: t\nallow: {{hosts: [localhost, 127.0.0.1], log: true}}\n{settings}");
        let recorded = Self { built, settings, file, printed: CommandOutput::default() };
        let printed = recorded.run_test(&["--settings", "-", "--record"], &recorded.settings);
        Self { printed, ..recorded }
    }

    fn run_test(&self, arguments: &[&str], settings: &str) -> CommandOutput {
        let mut program = sentrynet();
        program.args(["test", "--format", "json"]).arg(self.built.component()).env("PASSWORD", PASSWORD);
        run_command(program.args(arguments).arg(&self.file), settings)
    }

    /// Asserts that a replay without secrets prints the same. Returns the run.
    #[track_caller]
    fn assert_replay_is_same(&self) -> Value {
        let replayed = self.run_test(&["--replay"], "");
        assert_eq!(replayed.stdout, self.printed.stdout, "{}: {}", self.built.name, replayed.stderr);
        self.parse_run(&replayed)
    }

    /// Asserts that a replay with secrets prints the same, for a probe that computes with its secrets. Returns the run.
    #[track_caller]
    fn assert_replay_with_secrets_is_same(&self) -> Value {
        let replayed = self.run_test(&["--settings", "-", "--replay"], &self.settings);
        assert_eq!(replayed.stdout, self.printed.stdout, "{}: {}", self.built.name, replayed.stderr);
        self.parse_run(&replayed)
    }

    #[track_caller]
    fn parse_run(&self, replayed: &CommandOutput) -> Value {
        assert_eq!((replayed.code, replayed.stderr.as_str()), (self.printed.code, ""));
        assert!(
            !fs::read_to_string(&self.file).expect("the file can be read").contains("sesame"),
            "the recording has a password"
        );
        let runs: Vec<Value> = serde_json::from_str(&replayed.stdout).expect("the output is JSON");
        runs.into_iter().next().expect("there is a run")
    }
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn redis_runs_replay_without_the_server() {
    let server = Server::start_redis(&create_home("recorded"), &["--requirepass", PASSWORD]);
    let all = format!("host: localhost\nport: {}\n", server.port);
    let passes = Recorded::record(&REDIS, "passes", &format!("{all}password: '${{env:PASSWORD}}'"));
    let wrong = Recorded::record(&REDIS, "wrong", &format!("{all}password: not-it"));
    let dripping = Recorded::record(
        &REDIS,
        "drips",
        &format!("host: 127.0.0.1\nport: {}\ntimeout: 5", peers::start_dripping(b"x")),
    );
    let refused = Recorded::record(&REDIS, "refused", &format!("host: localhost\nport: {}", free_port()));
    drop(server);
    assert_passed(&passes.assert_replay_is_same());
    assert_eq!(failure_reason(&wrong.assert_replay_is_same()).0, "auth");
    let started = Instant::now();
    assert_eq!(failure_reason(&refused.assert_replay_is_same()).0, "connect");
    let without_timeout = started.elapsed();
    let started = Instant::now();
    assert_eq!(failure_reason(&dripping.assert_replay_is_same()).0, "timeout");
    assert!(started.elapsed() < without_timeout + Duration::from_secs(5), "the replay waited for the recorded timeout");
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn postgres_runs_replay_without_the_server() {
    let server = Server::start_postgres("recorded", &[], |_| {});
    let all = format!("host: localhost\nport: {}\n", server.port);
    let without_login = Recorded::record(&POSTGRES, "without-login", &format!("{all}tls: false"));
    let logged_in =
        Recorded::record(&POSTGRES, "logged-in", &format!("{all}password: '${{env:PASSWORD}}'\nrole: primary"));
    drop(server);
    assert_passed(&without_login.assert_replay_is_same());
    assert_passed(&logged_in.assert_replay_with_secrets_is_same());
    // Without the password, the probe computes another proof.
    let without = logged_in.run_test(&["--replay"], "");
    assert!(without.code == 3 && without.stdout.contains("diverges from the recording"), "{}", without.stdout);
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn dns_runs_replay_without_the_server() {
    let server = Server::start_nsd("shop.example", ZONE);
    let all = format!("server: localhost\nport: {}\nname: shop.example\n", server.port);
    let passes = Recorded::record(&DNS, "passes", &format!("{all}values: [192.0.2.7]"));
    let fails = Recorded::record(&DNS, "fails", &format!("{all}values: [192.0.2.8]"));
    drop(server);
    assert_passed(&passes.assert_replay_is_same());
    assert_eq!(fails.assert_replay_is_same()["outcome"], "failed");
}
