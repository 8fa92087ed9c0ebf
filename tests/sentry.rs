//! What Sentry gets: kent as a receiver, Relay's normaliser as a judge.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::guests::{Guest, PASSES};
use crate::support::nginx::Nginx;
use crate::support::receiver::Receiver;
use crate::support::{eventually, finish, free_port, http, once, once_with, relay, sentrynet, spans, tool};

/// kent, a small fake Sentry; it ends with this value.
struct Kent {
    child: Child,
    port: u16,
}

impl Kent {
    fn start() -> Self {
        let port = free_port();
        let program = tool("python/bin/kent-server").expect("kent is there: run the tests with tests/run");
        let mut command = Command::new(program);
        command.args(["run", "--host", "127.0.0.1", "--port", &port.to_string()]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("kent starts");
        let kent = Self { child, port };
        eventually("kent listening", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        kent
    }

    /// The payloads of a type that it has kept, oldest first.
    fn kept(&self, kind: &str) -> Vec<Value> {
        let list = self.get("eventlist/");
        let ids = list["events"].as_array().expect("kent lists events").iter();
        let items = ids.map(|event| self.get(&format!("event/{}", event["event_id"].as_str().expect("an id is text"))));
        items
            .map(|item| item["payload"].clone())
            .filter(|item| item["header"]["type"] == kind)
            .map(|item| item["body"].clone())
            .collect()
    }

    fn get(&self, path: &str) -> Value {
        use std::io::{Read, Write};
        let mut connection = std::net::TcpStream::connect(("127.0.0.1", self.port)).expect("kent listens");
        write!(connection, "GET /api/{path} HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("kent reads");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("kent answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        serde_json::from_str(body).expect("kent answers with JSON")
    }
}

impl Drop for Kent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A configuration with a probe that passes, one that fails and one that breaks.
fn all_outcomes(dsn: &str, target: u16) -> String {
    let broken =
        Guest { define: "(func $brew unreachable)", run: "call $brew i32.const 0", ..PASSES }.write("sentry-broken");
    format!(
        "sentry: {{dsn: '{dsn}', environment: staging, release: shop@1.2.3, server_name: here, tags: {{a: s, b: s, c: s}}}}
groups:
  - tags: {{b: g, c: g}}
    check_in: {{slug: all-3, failure_issue_threshold: 2, recovery_threshold: 2}}
    probes:
      - {{probe: http, title: Up, check_in: true, url: 'http://localhost:{target}/up', tags: {{c: p}}, set_keys: {{s: $.s}}, assertions: {{s: ok}}}}
      - {{probe: http, title: Down, check_in: {{slug: shop_down, margin: 5, owner: 'user:ops@example.org'}}, url: 'http://localhost:{target}/down', tags: {{c: p}}}}
      - {{probe: '{}', title: Broken}}
",
        broken.display()
    )
}

fn target() -> (Nginx, u16) {
    let name = format!("sentry-{}", free_port());
    Nginx::plain(&name, r#"location = /up { return 200 '{"s": "ok"}'; } location / { return 500; }"#)
}

#[test]
fn a_real_receiver_gets_every_run() {
    let kent = Kent::start();
    let (_nginx, port) = target();
    let (code, runs) = once(&all_outcomes(&format!("http://public@127.0.0.1:{}/1", kent.port), port));
    assert_eq!(code, 3);
    let transactions = kent.kept("transaction");
    let of = |title: &str| {
        let mut found = transactions.iter().filter(|transaction| transaction["transaction"] == title);
        let transaction = found.next().unwrap_or_else(|| panic!("{title} in {transactions:#?}"));
        assert!(found.next().is_none(), "one transaction for each run");
        transaction
    };
    for (run, (title, status)) in runs.iter().zip([("Up", "ok"), ("Down", "internal_error"), ("Broken", "aborted")]) {
        let transaction = of(title);
        let trace = &transaction["contexts"]["trace"];
        assert_eq!(trace["trace_id"], run["trace_id"]);
        assert_eq!(trace["span_id"], run["spans"][0]["span_id"]);
        assert_eq!((&trace["op"], &trace["status"]), (&run["probe"], &json!(status)));
        assert_eq!(transaction["transaction_info"]["source"], "custom");
        assert_eq!(transaction["environment"], "staging");
        assert_eq!(transaction["release"], "shop@1.2.3");
        assert_eq!(transaction["server_name"], "here");
        assert_eq!(transaction["tags"]["probe"], run["probe"]);
        assert_eq!((&transaction["tags"]["a"], &transaction["tags"]["b"]), (&json!("s"), &json!("g")));
        assert_eq!(transaction["tags"]["c"], if title == "Broken" { "g" } else { "p" });
        let sent: Vec<_> =
            transaction["spans"].as_array().expect("spans").iter().map(|span| &span["span_id"]).collect();
        let run: Vec<_> = run["spans"].as_array().expect("spans").iter().skip(1).map(|span| &span["span_id"]).collect();
        assert_eq!(sent, run);
    }

    let errors = kent.kept("event");
    assert_eq!(errors.len(), 2, "an error for each run that did not pass, and none for those that did");
    let of = |run: &Value| {
        let same = |error: &&Value| error["contexts"]["trace"]["trace_id"] == run["trace_id"];
        errors.iter().find(same).expect("the error is on the run's trace")
    };
    let (down, broken) = (of(&runs[1]), of(&runs[2]));
    assert_eq!(down["fingerprint"], json!(["probe-failed", "probes.http", "Down", "status"]));
    assert_eq!(broken["fingerprint"], json!(["probe-broken", "sentry-broken", "Broken", "trap"]));
    assert_eq!(down["exception"]["values"][0]["value"], "expected status 200, got 500");
    assert_eq!(down["tags"]["c"], "p");
    assert!(
        down.to_string().contains("\"200\"") && down.to_string().contains("\"500\""),
        "expected and actual: {down:#}"
    );
    assert!(broken.to_string().contains("brew"), "the guest's backtrace: {broken:#}");
}

#[test]
fn relay_has_no_complaint() {
    let receiver = Receiver::start();
    let (_nginx, port) = target();
    // A receiver behind a path, as self-hosted ones are.
    let dsn = format!("http://public@127.0.0.1:{}/behind/a/path/42", receiver.port);
    once(&all_outcomes(&dsn, port));
    let envelopes = receiver.wait(8);
    for received in &envelopes {
        assert_eq!(received.path, "/behind/a/path/api/42/envelope/");
        let auth = &received.headers["x-sentry-auth"];
        assert!(auth.contains("sentry_key=public") && auth.contains("sentry_version=7"), "{auth}");
        let (header, items) = received.open();
        assert!(header["sent_at"].is_string());
        assert_eq!(items.len(), 1);
        let checks_in = items[0].0["type"] == "check_in";
        assert!(checks_in || header["trace"]["public_key"] == "public");
    }
    relay::has_no_complaint("relay", &envelopes);
}

#[test]
fn the_environment_fills_what_the_file_leaves_out() {
    let receiver = Receiver::start();
    let (_nginx, port) = target();
    let dsn = format!("http://public@127.0.0.1:{}/1", receiver.port);
    let keys = http(&format!("url: http://localhost:{port}/up"));
    let mut program = sentrynet();
    let (code, runs) = once_with(program.env("SENTRY_DSN", dsn).env("SENTRY_ENVIRONMENT", "qa"), &keys);
    assert_eq!(code, 0);
    let (header, items) = receiver.wait(1)[0].open();
    assert_eq!(header["trace"]["trace_id"], runs[0]["trace_id"]);
    assert_eq!(items[0].1["environment"], "qa");
    assert_eq!(spans(&runs[0], "http.client").len(), 1);
}

#[test]
fn a_receiver_that_is_down_changes_no_result_and_shows_no_key() {
    let (_nginx, port) = target();
    let dsn = format!("http://secretkey@127.0.0.1:{}/1", free_port());
    let keys = http(&format!("url: http://localhost:{port}/up"));
    let ended = finish(sentrynet().env("SENTRY_DSN", dsn).args(["once", "-"]), &keys);
    assert_eq!(ended.code, 0);
    assert!(ended.stdout.contains("passed"));
    assert!(ended.stderr.contains("127.0.0.1"), "it is said: {}", ended.stderr);
    assert!(!ended.stderr.contains("secretkey"), "{}", ended.stderr);
}
