//! Delivery to Sentry: the log of a host, the exit code of `once`, and `check --online`.

use std::fs::{File, read_to_string};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::support::certificates::Certificates;
use crate::support::kent::Kent;
use crate::support::nginx::Nginx;
use crate::support::receiver::{ACCEPTED_RESPONSE, Receiver};
use crate::support::running::RunningProgram;
use crate::support::target::Target;
use crate::support::{CommandOutput, empty_folder, eventually, free_port, http_config, run_command, sentrynet};

const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nx-sentry-error: bad key\r\ncontent-length: 0\r\n\r\n";

/// Runs `check --online` with this DSN.
fn check_online(dsn: &str) -> CommandOutput {
    let keys = http_config("url: http://127.0.0.1:9/");
    run_command(sentrynet().env("SENTRY_DSN", dsn).args(["check", "--online", "-"]), &keys)
}

#[test]
fn a_harmless_event_is_accepted() {
    let (kent, spotlight) = (Kent::start(), Receiver::start());
    let keys = http_config("url: http://127.0.0.1:9/");
    let mut program = sentrynet();
    program
        .env("SENTRY_DSN", format!("http://public@127.0.0.1:{}/1", kent.port))
        .env("SENTRY_SPOTLIGHT", format!("http://127.0.0.1:{}/stream", spotlight.port));
    let ended = run_command(program.args(["check", "--online", "-"]), &keys);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let events = kent.payloads("event");
    let [event] = &events[..] else { panic!("{events:#?}") };
    assert_eq!(event["level"], "info");
    assert_eq!(event["fingerprint"], serde_json::json!(["sentrynet-host", "online-check"]));
    assert_eq!(event["exception"]["values"][0]["type"], "OnlineCheck");
    let id = event["event_id"].as_str().expect("an event has an id");
    assert_eq!(spotlight.wait_for_envelopes(1)[0].event_id().as_deref(), Some(id));
    for destination in ["Sentry", "Spotlight"] {
        let line = format!("{destination} at 127.0.0.1: accepted the event {id}");
        assert!(ended.stdout.contains(&line), "{}", ended.stdout);
    }
}

#[test]
fn what_is_wrong_with_a_dsn_is_said_in_a_sentence() {
    let check = |response: &'static str, code: i32, expected: &str| {
        let receiver = Receiver::responding(move |_, _| response.to_owned());
        let ended = check_online(&receiver.dsn());
        assert_eq!(ended.code, code, "{}", ended.stderr);
        let line = format!("error: Sentry at 127.0.0.1: {expected}");
        assert!(ended.stderr.contains(&line), "no `{line}` in {}", ended.stderr);
        assert_eq!(receiver.count(), 1);
    };
    check(FORBIDDEN, 2, "wrong key or project (403 Forbidden bad key);");
    check("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", 2, "rejected the event (404 Not Found);");
    let limited = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n";
    check(limited, 3, "rate-limited, and takes no errors at present (429 Too Many Requests);");
    let header = "HTTP/1.1 200 OK\r\nx-sentry-rate-limits: 60:error:key\r\ncontent-length: 0\r\n\r\n";
    check(header, 3, "rate-limited, and takes no errors at present (200 OK);");
    check("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", 3, "failing (502 Bad Gateway);");

    let ended = check_online(&format!("http://key@127.0.0.1:{}/1", free_port()));
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.contains("Sentry at 127.0.0.1: unreachable ("), "{}", ended.stderr);
    assert!(!ended.stderr.contains("key@"), "{}", ended.stderr);
    let ended = check_online("");
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("there is nothing to try"), "{}", ended.stderr);
}

#[test]
fn a_receiver_with_an_unknown_certificate_is_no_tls_connection() {
    let certificates = Certificates::new(&empty_folder("delivery-tls"));
    certificates.certify("sentry", &["localhost"], 2100);
    let (port, home) = (free_port(), certificates.folder.display().to_string());
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {home}/sentry.pem;
           ssl_certificate_key {home}/sentry.key; location / {{ return 200; }} }}"
    );
    let _nginx = Nginx::start("delivery-tls", &[port], &server);
    let ended = check_online(&format!("https://key@localhost:{port}/1"));
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.contains("Sentry at localhost: no TLS connection ("), "{}", ended.stderr);
}

#[test]
fn once_fails_if_its_results_are_not_accepted() {
    let target = Target::new();
    let once = |dsn: &str| {
        let keys = http_config(&format!("url: http://127.0.0.1:{}/", target.port));
        run_command(sentrynet().env("SENTRY_DSN", dsn).args(["once", "-"]), &keys)
    };
    let rejecting = Receiver::responding(|_, _| FORBIDDEN.to_owned());
    let ended = once(&rejecting.dsn());
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    let reason = "error: Sentry has not accepted everything: 0 envelopes waiting, 1 dropped; the latest cause: 403 \
                  Forbidden bad key\n";
    assert!(ended.stderr.contains(reason), "{}", ended.stderr);
    let ended = once(&format!("http://key@127.0.0.1:{}/1", free_port()));
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("error: Sentry has not accepted everything: 1 envelopes waiting"),
        "{}",
        ended.stderr
    );
    assert_eq!(once(&Receiver::start().dsn()).code, 0);
}

#[test]
fn the_log_says_that_nothing_gets_through_and_when_it_does_again() {
    let (target, is_wrong) = (Target::new(), Arc::new(AtomicBool::new(true)));
    let receiver = {
        let is_wrong = Arc::clone(&is_wrong);
        let respond = move |_, _: &_| if is_wrong.load(SeqCst) { FORBIDDEN } else { ACCEPTED_RESPONSE }.to_owned();
        Receiver::responding(respond)
    };
    let folder = empty_folder("delivery-log");
    let (file, log) = (folder.join("probes.yaml"), folder.join("log"));
    let keys = http_config(&format!("url: http://127.0.0.1:{}/\nevery: 0.5", target.port));
    std::fs::write(&file, format!("sentry: {{dsn: '{}'}}\n{keys}", receiver.dsn())).expect("the folder is writable");
    let mut program = sentrynet();
    program.arg("run").arg(&file).args(["--log-format", "json"]).stdout(std::process::Stdio::null());
    program.stderr(File::create(&log).expect("the folder is writable"));
    let _running = RunningProgram::spawn(&mut program);
    let find_line = |part: &str| {
        eventually(part, || read_to_string(&log).ok()?.lines().find(|line| line.contains(part)).map(str::to_owned))
    };
    let line: serde_json::Value =
        serde_json::from_str(&find_line("nothing gets through since")).expect("a line is JSON");
    assert_eq!((&line["level"], &line["cause"]), (&"WARN".into(), &"403 Forbidden bad key".into()));
    assert!(line["rejected"].as_u64() >= Some(2), "{line:#}");
    is_wrong.store(false, SeqCst);
    find_line("envelopes are accepted again");
}
