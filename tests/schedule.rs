//! The schedule of runs, and the end of the program.

use std::fs::File;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::receiver::Receiver;
use crate::support::running::RunningProgram;
use crate::support::{empty_folder, eventually, http_config, relay, run_command, sentrynet, tcp_server};

/// Starts the program with its standard output piped.
fn start_program(name: &str, configuration: &str) -> RunningProgram {
    RunningProgram::start_with_config(&format!("schedule-{name}"), configuration, Stdio::piped())
}

/// Starts a target that takes `lasting` for each response. Returns the counter of its requests, the largest number of
/// requests at once, and its port.
fn start_counting_target(lasting: Duration) -> (Arc<AtomicUsize>, Arc<AtomicUsize>, u16) {
    let (count, most, now) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let (counted, peak) = (Arc::clone(&count), Arc::clone(&most));
    let port = tcp_server::listen(move |mut connection| {
        use std::io::Write;
        tcp_server::read_head(&connection);
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(lasting);
        now.fetch_sub(1, Ordering::SeqCst);
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        counted.fetch_add(1, Ordering::SeqCst);
    });
    (count, most, port)
}

/// Starts a server that reads requests and never responds. Returns the counter of its requests, and its port.
fn start_hanging_server() -> (Arc<AtomicUsize>, u16) {
    let requests = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&requests);
    let port = tcp_server::listen(move |connection| {
        tcp_server::read_head(&connection);
        counter.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(60));
    });
    (requests, port)
}

#[test]
fn a_probe_runs_on_schedule_until_a_signal() {
    for signal in ["INT", "TERM"] {
        let (count, _, port) = start_counting_target(Duration::ZERO);
        let running = start_program(signal, &http_config(&format!("url: http://127.0.0.1:{port}/\nevery: 0.1")));
        eventually("three runs", || (count.load(Ordering::SeqCst) >= 3).then_some(()));
        running.send_signal(signal);
        let (code, stdout) = running.wait_for_output();
        assert_eq!(code, Some(0));
        let shown = stdout.lines().filter(|line| line.contains("✓ passed")).count();
        assert_eq!(shown, count.load(Ordering::SeqCst), "{stdout}");
    }
}

/// A container gets SIGKILL ten seconds after SIGTERM. The program takes at most 5 s for runs that have begun and 3.25
/// s for its sinks; this test allows more, for a machine that is loaded.
#[test]
fn neither_a_target_nor_sentry_that_hangs_delays_the_end() {
    let (target, sentry) = (start_hanging_server(), start_hanging_server());
    let configuration = format!(
        "sentry: {{dsn: 'http://key@127.0.0.1:{}/1'}}
groups:
  - probes:
      - probe: http
        url: http://127.0.0.1:{}/
        timeout: 50
      - probe: http
        url: http://127.0.0.1:1/
        every: 0.1
",
        sentry.1, target.1
    );
    let running = start_program("hanging", &configuration);
    eventually("the target and Sentry have got requests", || {
        [&target.0, &sentry.0].into_iter().all(|requests| requests.load(Ordering::SeqCst) > 0).then_some(())
    });
    let stopped = Instant::now();
    running.send_signal("TERM");
    assert_eq!(running.wait_for_exit_code(), Some(0));
    assert!(stopped.elapsed() < Duration::from_secs(20), "it took {:?}", stopped.elapsed());
}

#[test]
fn runs_of_one_probe_never_overlap() {
    let (count, most, port) = start_counting_target(Duration::from_millis(150));
    let keys = format!("url: http://127.0.0.1:{port}/\nevery: 0.05\nburst: 3");
    let running = start_program("overlap", &http_config(&keys));
    eventually("six runs", || (count.load(Ordering::SeqCst) >= 6).then_some(()));
    running.send_signal("TERM");
    assert_eq!(running.wait_for_output().0, Some(0));
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[test]
fn runs_in_flight_are_bounded() {
    let (count, most, port) = start_counting_target(Duration::from_millis(50));
    let probe = format!("{{probe: http, url: 'http://127.0.0.1:{port}/', every: 0.1}}");
    let probes: String =
        (0..8).map(|n| format!("      - {}\n", probe.replace("every", &format!("title: t{n}, every")))).collect();
    let running = start_program("bound", &format!("limits: {{in_flight: 2}}\ngroups:\n  - probes:\n{probes}"));
    eventually("sixteen runs", || (count.load(Ordering::SeqCst) >= 16).then_some(()));
    running.send_signal("TERM");
    assert_eq!(running.wait_for_output().0, Some(0));
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[test]
fn the_limit_on_open_files_bounds_runs_and_is_raised() {
    let probe = "      - {probe: http, title: TITLE, url: 'http://127.0.0.1:9/'}\n";
    let probes: String = (0..30).map(|n| probe.replace("TITLE", &format!("t{n}"))).collect();
    let configuration = format!("groups:\n  - probes:\n{probes}");
    let check = |limit: &str| {
        let program = sentrynet();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit {limit}; exec \"$0\" check -"), env!("CARGO_BIN_EXE_sentrynet")]);
        shell.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ended = run_command(&mut shell, &configuration);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stderr
    };
    let warning = check("-n 630");
    let expected =
        "at most 20 runs at once instead of 30: the hard limit on open files is 630; raise it to 646 (`ulimit";
    assert!(warning.contains(expected), "{warning}");
    let warning = check("-Sn 64");
    assert!(!warning.contains("at most"), "{warning}");
}

#[test]
fn a_run_that_waits_for_another_is_shown_as_late() {
    let (count, _, port) = start_counting_target(Duration::from_millis(300));
    let probe = |title| format!("      - {{probe: http, title: {title}, url: 'http://127.0.0.1:{port}/'}}\n");
    let probes = [probe("first"), probe("second")].concat();
    let running = start_program("late", &format!("limits: {{in_flight: 1}}\ngroups:\n  - probes:\n{probes}"));
    eventually("two runs", || (count.load(Ordering::SeqCst) >= 2).then_some(()));
    running.send_signal("TERM");
    let (_, stdout) = running.wait_for_output();
    let runs = stdout.lines().filter(|line| line.contains("✓ passed"));
    let late: Vec<_> = runs.map(|line| line.contains(" late)")).collect();
    assert_eq!(late, [false, true], "{stdout}");
}

#[test]
fn runs_in_flight_end_and_are_reported_after_a_signal() {
    let receiver = Receiver::start();
    let (count, _, port) = start_counting_target(Duration::from_millis(700));
    let keys = http_config(&format!("url: http://127.0.0.1:{port}/\nevery: 60"));
    let running =
        start_program("grace", &format!("sentry: {{dsn: 'http://key@127.0.0.1:{}/1'}}\n{keys}", receiver.port));
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(count.load(Ordering::SeqCst), 0, "the run ended before the signal");
    running.send_signal("TERM");
    let (code, stdout) = running.wait_for_output();
    assert_eq!((code, count.load(Ordering::SeqCst)), (Some(0), 1));
    assert!(stdout.contains("passed"), "{stdout}");
    assert_eq!(receiver.wait_for_envelopes(1).len(), 1);
}

/// Returns the number of skipped runs in the log's only line about them, and the rest of the line.
fn parse_skipped_line(log: &str) -> (u64, &str) {
    let lines: Vec<_> = log.lines().filter(|line| line.contains("skipped in the last minute")).collect();
    let [line] = lines[..] else {
        panic!("expected one line about skipped runs, whatever the number of probes: {log}")
    };
    let message = line.split_once("WARN ").expect("the line is a warning").1.trim_start();
    let (number, rest) = message.split_once(' ').expect("the message has several words");
    (number.parse().expect("the message begins with a number"), rest)
}

#[test]
fn skipped_runs_are_counted_and_waiting_is_not_part_of_a_run() {
    let lasting = Duration::from_millis(300);
    let (receiver, (_, _, port)) = (Receiver::start(), start_counting_target(lasting));
    let probe =
        |title| format!("      - {{probe: http, title: {title}, url: 'http://127.0.0.1:{port}/', every: 0.2}}\n");
    let probes = ["a", "b", "c"].map(probe).concat();
    let sentry = format!("sentry: {{dsn: '{}'}}\n", receiver.dsn());
    let home = empty_folder("schedule-skipped");
    let (file, log) = (home.join("probes.yaml"), home.join("log"));
    std::fs::write(&file, format!("{sentry}limits: {{in_flight: 1}}\ngroups:\n  - probes:\n{probes}"))
        .expect("the folder is writable");
    let stderr = File::create(&log).expect("the folder is writable");
    let running = RunningProgram::spawn(sentrynet().arg("run").arg(&file).stdout(Stdio::piped()).stderr(stderr));
    receiver.wait_for_envelopes(12);
    running.send_signal("TERM");
    let (code, stdout) = running.wait_for_output();
    assert_eq!(code, Some(0));

    let envelopes = receiver.received();
    relay::assert_accepts("schedule-skipped-relay", &envelopes);
    let runs: Vec<_> =
        envelopes.iter().flat_map(|received| received.parse_envelope().1).map(|(_, payload)| payload).collect();
    let mut all = 0;
    for title in ["a", "b", "c"] {
        let (mut before, mut count) = (None::<f64>, 0);
        for run in runs.iter().filter(|run| run["transaction"] == title) {
            let data = &run["contexts"]["trace"]["data"];
            let number = |value: &serde_json::Value| value.as_f64().expect("times are numbers");
            let (start, end) = (number(&run["start_timestamp"]), number(&run["timestamp"]));
            let late = number(&data["sentrynet.lateness_ms"]) / 1e3;
            let skipped =
                data.get("sentrynet.skipped").map_or(0, |skipped| skipped.as_u64().expect("a count is a number"));
            let tag = run["tags"].get("skipped").and_then(|tag| tag.as_str()).unwrap_or("0");
            assert_eq!(tag, skipped.to_string());
            // Two other runs went before this one, each of which waited for the target.
            assert!(end - start < 2.0 * lasting.as_secs_f64(), "the run includes the time of other runs: {run}");
            for span in run["spans"].as_array().expect("spans are a list") {
                assert!(number(&span["start_timestamp"]) >= start && number(&span["timestamp"]) <= end, "{span}");
            }
            let due = start - late;
            if let Some(before) = before {
                assert!(late > lasting.as_secs_f64(), "the run did not wait for the others: {run}");
                assert!(skipped >= 1, "no run was skipped, although three runs take longer than a period: {run}");
                let passed = Duration::from_secs_f64(due - before + 0.1).as_millis() / 200;
                assert_eq!(passed, u128::from(skipped) + 1, "a start was neither run nor counted as skipped: {run}");
            }
            before = Some(due);
            count += 1;
            all += skipped;
        }
        assert!(count >= 3, "the probe {title} has fewer than three runs: {runs:?}");
    }
    assert!(stdout.lines().any(|line| line.contains(" late, ") && line.contains(" skipped)")), "{stdout}");

    let log = std::fs::read_to_string(&log).expect("the log is UTF-8");
    let (reported, rest) = parse_skipped_line(&log);
    // The runs that were skipped last are in the log, but in no later run.
    assert!(reported >= all, "{all} of {log}");
    assert!(rest.starts_with("runs of 3 probes, `"), "{log}");
    assert!(rest.contains("(raise `limits.in_flight`)"), "{log}");
}

#[test]
fn runs_are_skipped_while_one_is_longer_than_its_period() {
    let (count, _, port) = start_counting_target(Duration::from_millis(250));
    let home = empty_folder("schedule-long");
    let (file, log) = (home.join("probes.yaml"), home.join("log"));
    let keys = format!("url: http://127.0.0.1:{port}/\nevery: 0.1\ntitle: Slow\nburst: 2");
    std::fs::write(&file, http_config(&keys)).expect("the folder is writable");
    let stderr = File::create(&log).expect("the folder is writable");
    let mut program = sentrynet();
    let program = program.args(["run", "--format", "json"]).arg(&file).stdout(Stdio::piped()).stderr(stderr);
    let running = RunningProgram::spawn(program);
    eventually("six runs", || (count.load(Ordering::SeqCst) >= 6).then_some(()));
    running.send_signal("TERM");
    let (code, stdout) = running.wait_for_output();
    assert_eq!(code, Some(0));
    let runs = stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a run is JSON"));
    let skipped: Vec<_> = runs.map(|run| run["skipped"].as_u64().expect("a count is a number")).collect();
    // A burst of two runs takes half a second, or five periods, so that four starts of two runs each are skipped.
    for (index, skipped) in skipped.iter().enumerate() {
        let first_of_burst = index > 0 && index % 2 == 0;
        assert!(if first_of_burst { *skipped >= 8 && *skipped % 2 == 0 } else { *skipped == 0 }, "{stdout}");
    }
    let log = std::fs::read_to_string(&log).expect("the log is UTF-8");
    let (reported, rest) = parse_skipped_line(&log);
    assert!(reported >= skipped.iter().sum(), "{log}");
    assert!(rest.starts_with("runs of `Slow` were skipped in the last minute: "), "{log}");
    assert!(rest.contains("(raise its `every`)"), "{log}");
}
