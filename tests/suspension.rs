//! Runs during which this host does not run itself.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::support::receiver::Receiver;
use crate::support::running::RunningProgram;
use crate::support::target::{Target, ok_response};
use crate::support::{empty_folder, eventually, http_config, sentrynet};

/// The time for which the program is stopped. The shortest one that counts is 2 s.
const STOPPED: Duration = Duration::from_secs(4);

#[test]
fn a_stopped_host_does_not_blame_its_target() {
    let receiver = Receiver::start();
    // The first answer comes while the program is stopped, after the timeout of the run.
    let target = Target::responding(|requests| {
        if requests.len() == 1 {
            sleep(STOPPED / 2);
        }
        ok_response()
    });
    let keys = format!("url: http://127.0.0.1:{}/\ntitle: Shop\ntimeout: 1\nevery: 1\ncheck_in: true", target.port);
    let configuration = format!("sentry: {{dsn: '{}'}}\n{}", receiver.dsn(), http_config(&keys));
    let file = empty_folder("suspension").join("probes.yaml");
    std::fs::write(&file, configuration).expect("the folder is writable");
    let mut program = sentrynet();
    program.arg("run").arg(&file).args(["--format", "json"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let running = RunningProgram::spawn(&mut program);
    eventually("the first request", || (!target.requests().is_empty()).then_some(()));
    running.send_signal("STOP");
    sleep(STOPPED);
    running.send_signal("CONT");
    eventually("the second request", || (target.requests().len() >= 2).then_some(()));
    let transactions = receiver.wait_for_payloads(2, "transaction");
    running.send_signal("TERM");
    let (code, stdout) = running.wait_for_output();
    assert_eq!(code, Some(0));
    let mut runs = stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
    let suspended = runs.next().expect("there is a run");
    assert_eq!((&suspended["outcome"], &suspended["failure"]["reason"]), (&"broken".into(), &"suspended".into()));
    let message = suspended["failure"]["message"].as_str().expect("a fault has a message");
    assert!(message.starts_with("this host was suspended for "), "{message}");
    assert!(suspended["failure"]["evidence"].is_null(), "{suspended:#}");
    for run in runs {
        assert_eq!(run["outcome"], "passed", "{run:#}");
        assert!(run["outage"].is_null(), "{run:#}");
    }
    // The run is an error of the host, and is not among the durations of the target's runs.
    let id = &suspended["trace_id"];
    assert!(transactions.iter().all(|transaction| transaction["contexts"]["trace"]["trace_id"] != *id));
    let errors = receiver.wait_for_payloads(0, "event");
    let [error] = &errors[..] else { panic!("{errors:#?}") };
    assert_eq!(error["contexts"]["trace"]["trace_id"], *id);
    assert_eq!(error["fingerprint"], serde_json::json!(["probe-broken", "probes.http", "Shop", "suspended"]));
    assert!(receiver.wait_for_payloads(0, "check_in").iter().all(|check_in| check_in["status"] == "ok"));
}
