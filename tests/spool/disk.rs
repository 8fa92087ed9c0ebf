//! What is on disk: after kills, for several processes, where there is no room or no disk at all.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{ids, number, once, probes, program, shown, spooled, start, write};
use crate::support::receiver::{Receiver, TAKEN};
use crate::support::running::Running;
use crate::support::target::Target;
use crate::support::{eventually, finish, folder, free_port};

/// Kills the program at random moments. A run counts as finished once it is shown.
#[test]
fn no_kill_loses_a_run_that_has_finished() {
    let kills = number("KILLS", 8);
    let home = folder("spool-kill");
    let target = Target::new();
    // Slow enough that some always waits, and fast enough that some always goes.
    let receiver = Receiver::saying(|_, _| {
        std::thread::sleep(Duration::from_millis(15));
        TAKEN.to_owned()
    });
    let file = write(&home, &probes(&receiver.dsn(), target.port, 20, "every: 0.05"));
    let mut finished = HashSet::new();
    for kill in 0..kills {
        let running = start(&home, &file, "shown");
        // Now and then while it starts, and sends what others have left.
        if kill % 4 > 0 {
            eventually("the first run", || (!shown(&home, "shown").is_empty()).then_some(()));
        }
        std::thread::sleep(Duration::from_millis(rand::random_range(0..800)));
        running.signal("KILL");
        running.code();
        finished.extend(shown(&home, "shown"));
    }
    assert!(finished.len() > kills, "{} runs are too few to tell", finished.len());
    let waiting = spooled(&home).len();
    // The last start sends what waits, and its own.
    let last = once(&home, &std::fs::read_to_string(&file).expect("it is there"));
    assert!(last.stderr.contains("0 waiting"), "{}", last.stderr);
    let mut times = BTreeMap::<String, usize>::new();
    for received in receiver.received() {
        let (header, _) = received.open();
        *times.entry(header["trace"]["trace_id"].as_str().expect("it has one").to_owned()).or_default() += 1;
    }
    let missing: Vec<_> = finished.iter().filter(|trace| !times.contains_key(*trace)).collect();
    assert!(missing.is_empty(), "{} of {} runs are lost", missing.len(), finished.len());
    // What is beyond was on the point of being shown, or is the last start's.
    let beyond = times.len() - finished.len();
    assert!(beyond <= 20 + kills * 40, "{beyond} runs that were never shown");
    let again: usize = times.values().map(|times| times - 1).sum();
    assert!(again <= kills * 32, "{again} came again: more than were in flight at a kill");
    println!(
        "{kills} kills: {} runs finished, {} arrived, {again} again, {waiting} files at the last start",
        finished.len(),
        times.len()
    );
}

#[test]
fn two_at_once_have_a_part_each_and_the_next_takes_what_both_left() {
    let home = folder("spool-two");
    let (target, port) = (Target::new(), free_port());
    let dsn = format!("http://key@127.0.0.1:{port}/1");
    let file = write(&home, &probes(&dsn, target.port, 2, "every: 0.1"));
    let both = ["one", "other"].map(|name| (name, start(&home, &file, name)));
    std::thread::sleep(Duration::from_millis(1500));
    let third = once(&home, &probes(&dsn, target.port, 1, "every: 300"));
    assert!(third.stderr.contains("another process has") && third.stderr.contains("/3"), "{}", third.stderr);
    let shown: usize = both
        .into_iter()
        .map(|(name, running)| {
            running.signal("KILL");
            running.code();
            shown(&home, name).len()
        })
        .sum();
    let receiver = Receiver::at(port, |_, _| TAKEN.to_owned());
    let ended = once(&home, &probes(&dsn, target.port, 2, "every: 300"));
    assert!(ended.stderr.contains("0 waiting"), "{}", ended.stderr);
    let sent = ids(&receiver.received()).len();
    assert!((shown + 3..=shown + 7).contains(&sent), "{sent} arrived, {shown} were shown");
}

#[test]
fn without_a_place_for_it_runs_wait_in_memory_and_it_is_said() {
    let target = Target::new();
    let receiver = Receiver::start();
    let configuration = probes(&receiver.dsn(), target.port, 2, "every: 300");
    let configured = configuration.replace("sentry: {", "sentry: {spool: /proc/none, ");
    let home = folder("spool-nowhere");
    for (program, configuration) in [
        (program(&home).env_remove("XDG_STATE_HOME").env("HOME", "/proc/none"), &configuration),
        (&mut program(&home), &configured),
    ] {
        let ended = finish(program.args(["once", "-"]), configuration);
        assert_eq!(ended.code, 0);
        assert!(ended.stderr.contains("/proc/none") && ended.stderr.contains("in memory"), "{}", ended.stderr);
    }
    assert_eq!(ids(&receiver.received()).len(), 4);
    let configured = configuration.replace("sentry: {", "sentry: {spool: false, ");
    let ended = finish(program(&home).args(["once", "-"]), &configured);
    assert!(!ended.stderr.contains("in memory"), "who wants it so is not warned: {}", ended.stderr);
    assert_eq!(spooled(&home), [] as [PathBuf; 0]);
}

/// A disk of 128 KiB, below a folder. None where there can be none.
fn small_disk(home: &Path) -> Option<PathBuf> {
    let disk = home.join("disk");
    std::fs::create_dir_all(&disk).expect("the folder is writable");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"]).arg(&disk).output();
    if mounted.is_ok_and(|mounted| mounted.status.success()) {
        return Some(disk);
    }
    println!("not shown here: only root may mount a small disk");
    None
}

#[test]
fn what_waits_on_a_full_disk_is_sent_all_the_same() {
    let home = folder("spool-full-start");
    let Some(disk) = small_disk(&home) else { return };
    let (target, port) = (Target::new(), free_port());
    let configuration = probes(&format!("http://key@127.0.0.1:{port}/1"), target.port, 3, "every: 300");
    let configuration = configuration.replace("sentry: {", &format!("sentry: {{spool: '{}', ", disk.display()));
    let first = once(&home, &configuration);
    let filled = std::fs::write(disk.join("fill"), vec![b'x'; 1 << 20]);
    let receiver = Receiver::at(port, |_, _| TAKEN.to_owned());
    let second = once(&home, &configuration);
    let unmounted = Command::new("umount").arg(&disk).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    assert!(first.stderr.contains("3 waiting") && filled.is_err(), "{}", first.stderr);
    assert!(second.stderr.contains("cannot write to the spool"), "{}", second.stderr);
    assert_eq!(ids(&receiver.received()).len(), 6, "{}", second.stderr);
}

#[test]
fn a_full_disk_costs_nothing_while_there_is_memory() {
    let home = folder("spool-full");
    let Some(disk) = small_disk(&home) else { return };
    let (target, port) = (Target::new(), free_port());
    let dsn = format!("http://key@127.0.0.1:{port}/1");
    let configuration = probes(&dsn, target.port, 100, "every: 100000, burst: 3");
    let configuration = configuration.replace("sentry: {", &format!("sentry: {{spool: '{}', ", disk.display()));
    let file = write(&home, &configuration);
    let said = home.join("said");
    let log = std::fs::File::create(&said).expect("the folder is writable");
    let mut program = program(&home);
    let running = Running::spawn(program.arg("run").arg(&file).stdout(Stdio::piped()).stderr(log));
    std::thread::sleep(Duration::from_secs(4));
    let receiver = Receiver::at(port, |_, _| TAKEN.to_owned());
    let arrived = std::panic::catch_unwind(|| {
        eventually("all arrive", || (ids(&receiver.received()).len() >= 300).then_some(()));
    });
    running.signal("TERM");
    let (code, shown) = running.end();
    let unmounted = Command::new("umount").arg(&disk).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    let said = std::fs::read_to_string(said).expect("it has a log");
    assert!(arrived.is_ok(), "{} arrived: {said}", ids(&receiver.received()).len());
    assert_eq!((code, shown.lines().count(), ids(&receiver.received()).len()), (Some(0), 300, 300));
    assert!(said.contains("cannot write to the spool") && said.contains("No space left"), "{said}");
}

#[test]
fn where_there_is_no_room_the_oldest_that_passed_go_first_and_sentry_is_told() {
    let home = folder("spool-room");
    let port = free_port();
    // One in ten fails.
    let target = Target::answering(|asked| match asked.len() % 10 {
        0 => "500 Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
        _ => "200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
    });
    let dsn = format!("http://key@127.0.0.1:{port}/1");
    let configuration = probes(&dsn, target.port, 20, "every: 100000, burst: 50");
    let configuration = configuration.replace("sentry: {", "sentry: {spool: {size: 1 MiB}, ");
    let file = write(&home, &configuration);
    let running = start(&home, &file, "shown");
    eventually("a thousand runs", || (shown(&home, "shown").len() >= 1000).then_some(()));
    let size: u64 = spooled(&home).iter().map(|file| std::fs::metadata(file).map_or(0, |file| file.len())).sum();
    assert!(size <= 1 << 20, "{size} bytes");
    let receiver = Receiver::at(port, |_, _| TAKEN.to_owned());
    receiver.wait(200);
    running.signal("TERM");
    assert_eq!(running.code(), Some(0));
    let told = receiver.received().into_iter().find(|received| received.kind() == "client_report");
    let told = told.expect("a client report");
    let (mut passed, mut failed, mut errors) = (0, 0, 0);
    for received in receiver.received() {
        let (_, items) = received.open();
        match (received.kind().as_str(), items[0].1["tags"]["outcome"].as_str()) {
            ("transaction", Some("passed")) => passed += 1,
            ("transaction", _) => failed += 1,
            ("event", _) => errors += 1,
            _ => {}
        }
    }
    assert_eq!((failed, errors), (100, 100), "of those that failed none is lost");
    assert!((50..850).contains(&passed), "{passed} that passed");
    let (_, items) = told.open();
    let discarded = items[0].1["discarded_events"].as_array().expect("it is a list");
    let transactions = discarded.iter().find(|discarded| discarded["category"] == "transaction");
    let transactions = transactions.expect("transactions were dropped");
    assert_eq!(transactions["reason"], "cache_overflow");
    assert_eq!(transactions["quantity"], 900 - passed);
}
