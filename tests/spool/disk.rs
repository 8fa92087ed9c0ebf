//! Spool files after kills, with several processes, on full disks, and without a disk.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{
    event_counts, number_from_env, printed_traces, probes_config, run_once_with_spool, spool_files, spooling_program,
    start_program, write_config,
};
use crate::support::receiver::{ACCEPTED_RESPONSE, Receiver};
use crate::support::running::RunningProgram;
use crate::support::target::Target;
use crate::support::{empty_folder, eventually, free_port, run_command};

/// Kills the program at random moments. A run counts as finished once it is printed.
#[test]
fn no_finished_run_is_lost_after_a_kill() {
    let kills = number_from_env("KILLS", 8);
    let home = empty_folder("spool-kill");
    let target = Target::new();
    // Slow enough that envelopes are always queued, and fast enough that some are always sent.
    let receiver = Receiver::responding(|_, _| {
        std::thread::sleep(Duration::from_millis(15));
        ACCEPTED_RESPONSE.to_owned()
    });
    let file = write_config(&home, &probes_config(&receiver.dsn(), target.port, 10, "every: 0.05"));
    let mut finished = HashSet::new();
    for kill in 0..kills {
        let running = start_program(&home, &file, "shown");
        // Every fourth kill comes while the program starts, and sends envelopes of earlier starts.
        if kill % 4 > 0 {
            eventually("the first run", || (!printed_traces(&home, "shown").is_empty()).then_some(()));
        }
        std::thread::sleep(Duration::from_millis(rand::random_range(0..800)));
        running.send_signal("KILL");
        running.wait_for_exit_code();
        finished.extend(printed_traces(&home, "shown"));
    }
    assert!(finished.len() > kills, "{} finished runs are too few for this test", finished.len());
    let waiting = spool_files(&home).len();
    // The last start sends all queued envelopes, and its own.
    let last = run_once_with_spool(&home, &std::fs::read_to_string(&file).expect("the file can be read"));
    assert!(last.stderr.contains("0 waiting"), "{}", last.stderr);
    let mut times = BTreeMap::<String, usize>::new();
    for received in receiver.received() {
        let (header, _) = received.parse_envelope();
        *times.entry(header["trace"]["trace_id"].as_str().expect("an envelope has a trace").to_owned()).or_default() +=
            1;
    }
    let missing: Vec<_> = finished.iter().filter(|trace| !times.contains_key(*trace)).collect();
    assert!(missing.is_empty(), "{} of {} runs are lost", missing.len(), finished.len());
    // There are further runs: those that had ended but were not printed yet at a kill, and those of the last start.
    let beyond = times.len() - finished.len();
    assert!(beyond <= 20 + kills * 40, "{beyond} runs arrived that were not printed");
    let again: usize = times.values().map(|times| times - 1).sum();
    assert!(again <= kills * 32, "{again} envelopes came again, which is more than were in flight at the kills");
    println!(
        "{kills} kills: {} runs finished, {} arrived, {again} again, {waiting} files at the last start",
        finished.len(),
        times.len()
    );
}

#[test]
fn concurrent_processes_have_separate_spools_that_the_next_start_sends() {
    let home = empty_folder("spool-two");
    let (target, port) = (Target::new(), free_port());
    let dsn = format!("http://key@127.0.0.1:{port}/1");
    let file = write_config(&home, &probes_config(&dsn, target.port, 2, "every: 0.1"));
    let both = ["one", "other"].map(|name| (name, start_program(&home, &file, name)));
    std::thread::sleep(Duration::from_millis(1500));
    let third = run_once_with_spool(&home, &probes_config(&dsn, target.port, 1, "every: 300"));
    assert!(third.stderr.contains("another process uses the spool") && third.stderr.contains("/3"), "{}", third.stderr);
    let shown: usize = both
        .into_iter()
        .map(|(name, running)| {
            running.send_signal("KILL");
            running.wait_for_exit_code();
            printed_traces(&home, name).len()
        })
        .sum();
    let receiver = Receiver::responding_at(port, |_, _| ACCEPTED_RESPONSE.to_owned());
    let ended = run_once_with_spool(&home, &probes_config(&dsn, target.port, 2, "every: 300"));
    assert!(ended.stderr.contains("0 waiting"), "{}", ended.stderr);
    let sent = event_counts(&receiver.received()).len();
    assert!((shown + 3..=shown + 7).contains(&sent), "{sent} runs arrived, {shown} were printed");
}

#[test]
fn runs_are_queued_in_memory_without_a_writable_folder() {
    let target = Target::new();
    let receiver = Receiver::start();
    let configuration = probes_config(&receiver.dsn(), target.port, 2, "every: 300");
    let configured = configuration.replace("sentry: {", "sentry: {spool: /proc/none, ");
    let home = empty_folder("spool-nowhere");
    for (program, configuration) in [
        (spooling_program(&home).env_remove("XDG_STATE_HOME").env("HOME", "/proc/none"), &configuration),
        (&mut spooling_program(&home), &configured),
    ] {
        let ended = run_command(program.args(["once", "-"]), configuration);
        assert_eq!(ended.code, 0);
        assert!(ended.stderr.contains("/proc/none") && ended.stderr.contains("in memory"), "{}", ended.stderr);
    }
    assert_eq!(event_counts(&receiver.received()).len(), 4);
    let configured = configuration.replace("sentry: {", "sentry: {spool: false, ");
    let ended = run_command(spooling_program(&home).args(["once", "-"]), &configured);
    assert!(!ended.stderr.contains("in memory"), "a spool that is turned off causes no warning: {}", ended.stderr);
    assert_eq!(spool_files(&home), [] as [PathBuf; 0]);
}

/// Mounts a disk of 128 KiB below a folder. Returns `None` if that is not permitted.
fn mount_small_disk(home: &Path) -> Option<PathBuf> {
    let disk = home.join("disk");
    std::fs::create_dir_all(&disk).expect("the folder is writable");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"]).arg(&disk).output();
    if mounted.is_ok_and(|mounted| mounted.status.success()) {
        return Some(disk);
    }
    println!("only root may mount a small disk: full disks are not tested");
    None
}

#[test]
fn envelopes_on_a_full_disk_are_sent_at_the_next_start() {
    let home = empty_folder("spool-full-start");
    let Some(disk) = mount_small_disk(&home) else { return };
    let (target, port) = (Target::new(), free_port());
    let configuration = probes_config(&format!("http://key@127.0.0.1:{port}/1"), target.port, 3, "every: 300");
    let configuration = configuration.replace("sentry: {", &format!("sentry: {{spool: '{}', ", disk.display()));
    let first = run_once_with_spool(&home, &configuration);
    let filled = std::fs::write(disk.join("fill"), vec![b'x'; 1 << 20]);
    let receiver = Receiver::responding_at(port, |_, _| ACCEPTED_RESPONSE.to_owned());
    let second = run_once_with_spool(&home, &configuration);
    let unmounted = Command::new("umount").arg(&disk).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    assert!(first.stderr.contains("3 waiting") && filled.is_err(), "{}", first.stderr);
    assert!(second.stderr.contains("cannot write to the spool"), "{}", second.stderr);
    assert_eq!(event_counts(&receiver.received()).len(), 6, "{}", second.stderr);
}

#[test]
fn runs_are_queued_in_memory_while_the_disk_is_full() {
    let home = empty_folder("spool-full");
    let Some(disk) = mount_small_disk(&home) else { return };
    let (target, port) = (Target::new(), free_port());
    let dsn = format!("http://key@127.0.0.1:{port}/1");
    let configuration = probes_config(&dsn, target.port, 100, "every: 100000, burst: 3");
    let configuration = configuration.replace("sentry: {", &format!("sentry: {{spool: '{}', ", disk.display()));
    let file = write_config(&home, &configuration);
    let log_file = home.join("log");
    let log = std::fs::File::create(&log_file).expect("the folder is writable");
    let mut program = spooling_program(&home);
    let running = RunningProgram::spawn(program.arg("run").arg(&file).stdout(Stdio::piped()).stderr(log));
    std::thread::sleep(Duration::from_secs(4));
    let receiver = Receiver::responding_at(port, |_, _| ACCEPTED_RESPONSE.to_owned());
    let arrived = std::panic::catch_unwind(|| {
        eventually("the arrival of all runs", || (event_counts(&receiver.received()).len() >= 300).then_some(()));
    });
    running.send_signal("TERM");
    let (code, shown) = running.wait_for_output();
    let unmounted = Command::new("umount").arg(&disk).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    let log = std::fs::read_to_string(log_file).expect("the log can be read");
    assert!(arrived.is_ok(), "{} arrived: {log}", event_counts(&receiver.received()).len());
    let shown = shown.lines().filter(|line| line.contains("✓ passed")).count();
    assert_eq!((code, shown, event_counts(&receiver.received()).len()), (Some(0), 300, 300));
    assert!(log.contains("cannot write to the spool") && log.contains("No space left"), "{log}");
}

#[test]
fn a_full_spool_drops_the_oldest_passed_runs_first_and_reports_them() {
    let home = empty_folder("spool-size");
    let port = free_port();
    // Every tenth request fails.
    let target = Target::responding(|requests| match requests.len() % 10 {
        0 => "500 Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
        _ => "200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
    });
    let dsn = format!("http://key@127.0.0.1:{port}/1");
    let configuration = probes_config(&dsn, target.port, 20, "every: 100000, burst: 50");
    let configuration = configuration.replace("sentry: {", "sentry: {spool: {size: 1 MiB}, ");
    let file = write_config(&home, &configuration);
    let running = start_program(&home, &file, "shown");
    eventually("a thousand runs", || (printed_traces(&home, "shown").len() >= 1000).then_some(()));
    let size: u64 = spool_files(&home).iter().map(|file| std::fs::metadata(file).map_or(0, |file| file.len())).sum();
    assert!(size <= 1 << 20, "{size} bytes");
    let receiver = Receiver::responding_at(port, |_, _| ACCEPTED_RESPONSE.to_owned());
    receiver.wait_for_envelopes(200);
    running.send_signal("TERM");
    assert_eq!(running.wait_for_exit_code(), Some(0));
    let report = receiver.received().into_iter().find(|received| received.item_type() == "client_report");
    let report = report.expect("a client report was received");
    let (mut passed, mut failed, mut errors) = (0, 0, 0);
    for received in receiver.received() {
        let (_, items) = received.parse_envelope();
        match (received.item_type().as_str(), items[0].1["tags"]["outcome"].as_str()) {
            ("transaction", Some("passed")) => passed += 1,
            ("transaction", _) => failed += 1,
            ("event", _) => errors += 1,
            _ => {}
        }
    }
    assert_eq!((failed, errors), (100, 100), "no failed run is dropped");
    assert!((50..850).contains(&passed), "{passed} passed runs arrived");
    let (_, items) = report.parse_envelope();
    let discarded = items[0].1["discarded_events"].as_array().expect("a client report has a list of discarded events");
    let transactions = discarded.iter().find(|discarded| discarded["category"] == "transaction");
    let transactions = transactions.expect("transactions were dropped");
    assert_eq!(transactions["reason"], "cache_overflow");
    assert_eq!(transactions["quantity"], 900 - passed);
}
