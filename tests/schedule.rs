//! The program on its schedule, and how it stops.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::receiver::Receiver;
use crate::support::running::Running;
use crate::support::{eventually, finish, http, sentrynet, slow};

/// The program, whose standard output is read at its end.
fn start(name: &str, configuration: &str) -> Running {
    Running::with(&format!("schedule-{name}"), configuration, Stdio::piped())
}

/// A target that counts its requests, and how many it had at once.
fn counting(lasting: Duration) -> (Arc<AtomicUsize>, Arc<AtomicUsize>, u16) {
    let (count, most, now) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let (counted, peak) = (Arc::clone(&count), Arc::clone(&most));
    let port = slow::listen(move |mut connection| {
        use std::io::Write;
        slow::head(&connection);
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(lasting);
        now.fetch_sub(1, Ordering::SeqCst);
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        counted.fetch_add(1, Ordering::SeqCst);
    });
    (count, most, port)
}

#[test]
fn a_probe_runs_again_and_again_and_stops_when_told() {
    for signal in ["INT", "TERM"] {
        let (count, _, port) = counting(Duration::ZERO);
        let running = start(signal, &http(&format!("url: http://127.0.0.1:{port}/\nevery: 0.1")));
        eventually("three runs", || (count.load(Ordering::SeqCst) >= 3).then_some(()));
        running.signal(signal);
        let (code, stdout) = running.end();
        assert_eq!(code, Some(0));
        assert_eq!(stdout.lines().count(), count.load(Ordering::SeqCst), "{stdout}");
    }
}

#[test]
fn runs_of_one_probe_never_overlap() {
    let (count, most, port) = counting(Duration::from_millis(150));
    let keys = format!("url: http://127.0.0.1:{port}/\nevery: 0.05\nburst: 3");
    let running = start("overlap", &http(&keys));
    eventually("six runs", || (count.load(Ordering::SeqCst) >= 6).then_some(()));
    running.signal("TERM");
    assert_eq!(running.end().0, Some(0));
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[test]
fn runs_in_flight_are_bounded() {
    let (count, most, port) = counting(Duration::from_millis(50));
    let probe = format!("{{probe: http, url: 'http://127.0.0.1:{port}/', every: 0.1}}");
    let probes: String =
        (0..8).map(|n| format!("      - {}\n", probe.replace("every", &format!("title: t{n}, every")))).collect();
    let running = start("bound", &format!("limits: {{in_flight: 2}}\ngroups:\n  - probes:\n{probes}"));
    eventually("sixteen runs", || (count.load(Ordering::SeqCst) >= 16).then_some(()));
    running.signal("TERM");
    assert_eq!(running.end().0, Some(0));
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[test]
fn open_files_bound_runs_and_are_asked_for() {
    let probe = "      - {probe: http, title: TITLE, url: 'http://127.0.0.1:9/'}\n";
    let probes: String = (0..30).map(|n| probe.replace("TITLE", &format!("t{n}"))).collect();
    let configuration = format!("groups:\n  - probes:\n{probes}");
    let check = |limit: &str| {
        let program = sentrynet();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit {limit}; exec \"$0\" check -"), env!("CARGO_BIN_EXE_sentrynet")]);
        shell.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ended = finish(&mut shell, &configuration);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stderr
    };
    let told = check("-n 630");
    let expected =
        "at most 20 runs at once instead of 30: raise the limit on open files (`ulimit -n`), now 630, for more";
    assert!(told.contains(expected), "{told}");
    let told = check("-Sn 64");
    assert!(!told.contains("at most"), "{told}");
}

#[test]
fn what_waits_for_its_place_is_late_and_says_so() {
    let (count, _, port) = counting(Duration::from_millis(300));
    let probe = |title| format!("      - {{probe: http, title: {title}, url: 'http://127.0.0.1:{port}/'}}\n");
    let probes = [probe("first"), probe("second")].concat();
    let running = start("late", &format!("limits: {{in_flight: 1}}\ngroups:\n  - probes:\n{probes}"));
    eventually("two runs", || (count.load(Ordering::SeqCst) >= 2).then_some(()));
    running.signal("TERM");
    let (_, stdout) = running.end();
    let late: Vec<_> = stdout.lines().map(|line| line.contains(" late)")).collect();
    assert_eq!(late, [false, true], "{stdout}");
}

#[test]
fn what_has_begun_may_end_and_is_reported() {
    let receiver = Receiver::start();
    let (count, _, port) = counting(Duration::from_millis(700));
    let keys = http(&format!("url: http://127.0.0.1:{port}/\nevery: 60"));
    let running = start("grace", &format!("sentry: {{dsn: 'http://key@127.0.0.1:{}/1'}}\n{keys}", receiver.port));
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(count.load(Ordering::SeqCst), 0, "the run is still going on");
    running.signal("TERM");
    let (code, stdout) = running.end();
    assert_eq!((code, count.load(Ordering::SeqCst)), (Some(0), 1));
    assert!(stdout.contains("passed"), "{stdout}");
    assert_eq!(receiver.wait(1).len(), 1);
}
