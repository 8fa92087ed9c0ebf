//! The spool: no envelope is lost with slow, unreachable, rate-limiting and failing receivers, after kills, and on full
//! disks. Long tests are shortened, unless variables of the environment set their length. The full tests are:
//!
//!     BURST=20000 DOWN=60 KILLS=50 tests/run spool

mod disk;
mod rate_limits;
mod third_party;

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::receiver::{ACCEPTED_RESPONSE, ReceivedEnvelope, Receiver};
use crate::support::running::RunningProgram;
use crate::support::target::Target;
use crate::support::tcp_server::respond_slowly;
use crate::support::{CommandOutput, empty_folder, eventually, free_port, run_command, sentrynet, write_code_key};

/// Returns the number in an environment variable, or a small default.
fn number_from_env(name: &str, small: usize) -> usize {
    std::env::var(name).map_or(small, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Returns a configuration of `count` probes of a target at a port, with further keys for each.
fn probes_config(dsn: &str, target: u16, count: usize, more: &str) -> String {
    let probe =
        |index| format!("      - {{probe: http, title: probe {index}, url: 'http://127.0.0.1:{target}/', {more}}}\n");
    let probes: String = (0..count).map(probe).collect();
    format!("sentry: {{dsn: '{dsn}'}}\ngroups:\n  - probes:\n{probes}")
}

/// Returns a command whose spool is below `home`.
fn spooling_program(home: &Path) -> Command {
    let mut program = sentrynet();
    write_code_key(&home.join("state"));
    program.env("XDG_STATE_HOME", home.join("state"));
    program
}

fn write_config(home: &Path, configuration: &str) -> PathBuf {
    let file = home.join("probes.yaml");
    std::fs::write(&file, configuration).expect("the folder is writable");
    file
}

fn run_once_with_spool(home: &Path, configuration: &str) -> CommandOutput {
    run_command(spooling_program(home).args(["once", "-"]), configuration)
}

/// Starts the program on its schedule, with its output in a file of this name.
fn start_program(home: &Path, configuration: &Path, shown: &str) -> RunningProgram {
    let shown = std::fs::File::create(home.join(shown)).expect("the folder is writable");
    let mut program = spooling_program(home);
    program.arg("run").args(["--format", "json"]).arg(configuration);
    RunningProgram::spawn(program.stdout(shown).stderr(Stdio::null()))
}

/// Returns the trace ids of the runs that were printed.
fn printed_traces(home: &Path, file: &str) -> HashSet<String> {
    let text = std::fs::read_to_string(home.join(file)).expect("the program has written output");
    // The last line may be incomplete after a kill.
    let runs = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    runs.map(|run| run["trace_id"].as_str().expect("a run has a trace").to_owned()).collect()
}

/// Returns how often each event was received, by its id.
fn event_counts(received: &[ReceivedEnvelope]) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for id in received.iter().filter_map(ReceivedEnvelope::event_id) {
        *ids.entry(id).or_default() += 1;
    }
    ids
}

/// Returns the paths of the spool's segments, which are deleted once all their envelopes are sent.
fn spool_files(home: &Path) -> Vec<PathBuf> {
    let mut folders = vec![home.join("state")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().expect("a file has a type").is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|suffix| suffix == "spool") {
                files.push(entry.path());
            }
        }
    }
    files
}

#[test]
fn every_run_of_a_burst_reaches_a_slow_receiver() {
    let burst = number_from_env("BURST", 1000);
    let home = empty_folder("spool-burst");
    let target = respond_slowly(Duration::ZERO, Duration::ZERO);
    let receiver = Receiver::responding(|_, _| {
        std::thread::sleep(Duration::from_millis(20));
        ACCEPTED_RESPONSE.to_owned()
    });
    let each = burst.div_ceil(100);
    let configuration = probes_config(&receiver.dsn(), target, 100, &format!("burst: {each}, every: 100000"));
    let running = start_program(&home, &write_config(&home, &configuration), "shown");
    let expected = each * 100;
    let began = Instant::now();
    while receiver.count() < expected {
        assert!(began.elapsed() < Duration::from_secs(60 + expected as u64 / 50), "{} arrived", receiver.count());
        std::thread::sleep(Duration::from_millis(100));
    }
    running.send_signal("TERM");
    assert_eq!(running.wait_for_exit_code(), Some(0));
    let ids = event_counts(&receiver.received());
    assert_eq!(ids.len(), expected);
    assert!(ids.values().all(|times| *times == 1), "an envelope came twice");
}

#[test]
fn a_receiver_that_was_down_gets_all_runs() {
    let down = number_from_env("DOWN", 3);
    let home = empty_folder("spool-down");
    let (target, port) = (Target::new(), free_port());
    let dsn = format!("http://key@127.0.0.1:{port}/1");
    let running =
        start_program(&home, &write_config(&home, &probes_config(&dsn, target.port, 10, "every: 0.25")), "shown");
    std::thread::sleep(Duration::from_secs(down as u64));
    let receiver = Receiver::responding_at(port, |_, _| ACCEPTED_RESPONSE.to_owned());
    // The program sends again when its backoff has ended.
    let began = Instant::now();
    while receiver.count() < 10 * down {
        assert!(began.elapsed() < Duration::from_secs(60), "{} of {} arrived", receiver.count(), 10 * down);
        std::thread::sleep(Duration::from_millis(100));
    }
    running.send_signal("TERM");
    assert_eq!(running.wait_for_exit_code(), Some(0));
    assert_eq!(event_counts(&receiver.received()).len(), printed_traces(&home, "shown").len());
    assert_eq!(spool_files(&home), [] as [PathBuf; 0]);
}

#[test]
fn envelopes_left_in_the_spool_are_sent_at_the_next_start() {
    let home = empty_folder("spool-next");
    let (target, port) = (Target::new(), free_port());
    let configuration = probes_config(&format!("http://key@127.0.0.1:{port}/1"), target.port, 3, "every: 300");
    let ended = run_once_with_spool(&home, &configuration);
    assert_eq!(ended.code, 3, "the results are not in Sentry");
    assert!(ended.stderr.contains("3 waiting") && ended.stderr.contains("in the spool"), "{}", ended.stderr);
    let receiver = Receiver::responding_at(port, |_, _| ACCEPTED_RESPONSE.to_owned());
    let ended = run_once_with_spool(&home, &configuration);
    assert!(ended.stderr.contains("envelopes=3"), "{}", ended.stderr);
    assert_eq!(event_counts(&receiver.received()).len(), 6);
    // Another DSN has another spool.
    let other = Receiver::start();
    assert_eq!(run_once_with_spool(&home, &probes_config(&other.dsn(), target.port, 1, "every: 300")).code, 0);
    assert_eq!(other.received().len(), 1);
}

#[test]
fn no_envelope_is_lost_with_a_closed_connection() {
    let home = empty_folder("spool-cut");
    let target = Target::new();
    let receiver = Receiver::responding(|number, _| match number {
        // No response, half of a head, half of a body.
        0 | 3 => String::new(),
        1 => "HTTP/1.1 200 OK\r\ncontent-le".to_owned(),
        2 => "HTTP/1.1 503 Unavailable\r\ncontent-length: 100\r\n\r\nhalf".to_owned(),
        _ => ACCEPTED_RESPONSE.to_owned(),
    });
    // A forwarder that closes its first two connections in the middle of the request.
    let times = AtomicUsize::new(0);
    let port = free_port();
    let behind = receiver.port;
    crate::support::tcp_server::listen_on(port, {
        let times = Arc::new(times);
        move |mut connection| {
            if times.fetch_add(1, Ordering::SeqCst) < 2 {
                let mut some = [0; 300];
                _ = connection.read_exact(&mut some);
                return;
            }
            let Ok(mut to) = std::net::TcpStream::connect(("127.0.0.1", behind)) else { return };
            let (Ok(mut back), Ok(mut from)) = (connection.try_clone(), to.try_clone()) else { return };
            std::thread::spawn(move || {
                _ = std::io::copy(&mut from, &mut back);
                _ = back.shutdown(std::net::Shutdown::Both);
            });
            _ = std::io::copy(&mut connection, &mut to);
        }
    });
    let configuration = probes_config(&format!("http://key@127.0.0.1:{port}/1"), target.port, 6, "every: 300");
    // `once` is repeated until the spool is empty.
    eventually("an empty spool", || {
        run_once_with_spool(&home, &configuration);
        (spool_files(&home).is_empty()).then_some(())
    });
    let sent = event_counts(&receiver.received());
    assert_eq!(sent.len() % 6, 0, "each `once` sends six runs: {sent:?}");
    assert!(sent.values().all(|times| *times <= 6), "{sent:?}");
}

#[test]
fn the_program_ends_in_time_and_leaves_the_rest_in_the_spool() {
    let home = empty_folder("spool-stop");
    let target = Target::new();
    let hangs = Arc::new(AtomicBool::new(true));
    let receiver = Receiver::responding({
        let hangs = Arc::clone(&hangs);
        move |_, _| {
            if hangs.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_secs(30));
                return String::new();
            }
            ACCEPTED_RESPONSE.to_owned()
        }
    });
    let configuration = probes_config(&receiver.dsn(), target.port, 5, "every: 0.2");
    let running = start_program(&home, &write_config(&home, &configuration), "shown");
    receiver.wait_for_envelopes(4);
    let began = Instant::now();
    running.send_signal("TERM");
    assert_eq!(running.wait_for_exit_code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "the program takes longer than a container is given to stop");
    hangs.store(false, Ordering::SeqCst);
    assert!(run_once_with_spool(&home, &configuration).stderr.contains("0 waiting"));
    let ids = event_counts(&receiver.received());
    assert_eq!(ids.len(), printed_traces(&home, "shown").len() + 5);
}
