//! Nothing is lost on the way to Sentry: slow, down, limiting and rude receivers, kills, full disks. What takes long is
//! short here unless the environment says otherwise; the whole proof:
//!
//!     BURST=20000 DOWN=60 KILLS=50 tests/run spool

mod disk;

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::receiver::{Received, Receiver, TAKEN};
use crate::support::running::Running;
use crate::support::slow::answer;
use crate::support::target::Target;
use crate::support::{Ended, eventually, finish, folder, free_port, sentrynet};

/// The number that a variable of the environment gives, or a small one.
fn number(name: &str, small: usize) -> usize {
    std::env::var(name).map_or(small, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Probes of a target at a port; `more` are further keys of each.
fn probes(dsn: &str, target: u16, count: usize, more: &str) -> String {
    let probe =
        |index| format!("      - {{probe: http, title: probe {index}, url: 'http://127.0.0.1:{target}/', {more}}}\n");
    let probes: String = (0..count).map(probe).collect();
    format!("sentry: {{dsn: '{dsn}'}}\ngroups:\n  - probes:\n{probes}")
}

/// The program, with a spool that is found again by whoever names the same home.
fn program(home: &Path) -> Command {
    let mut program = sentrynet();
    program.env("XDG_STATE_HOME", home.join("state"));
    program
}

fn write(home: &Path, configuration: &str) -> PathBuf {
    let file = home.join("probes.yaml");
    std::fs::write(&file, configuration).expect("the folder is writable");
    file
}

fn once(home: &Path, configuration: &str) -> Ended {
    finish(program(home).args(["once", "-"]), configuration)
}

/// The program on its schedule, which writes what it shows to a file of this name.
fn start(home: &Path, configuration: &Path, shown: &str) -> Running {
    let shown = std::fs::File::create(home.join(shown)).expect("the folder is writable");
    let mut program = program(home);
    program.arg("run").args(["--format", "json"]).arg(configuration);
    Running::spawn(program.stdout(shown).stderr(Stdio::null()))
}

/// The traces of the runs that were shown.
fn shown(home: &Path, file: &str) -> HashSet<String> {
    let text = std::fs::read_to_string(home.join(file)).expect("it has shown something");
    // A kill may come in the middle of a line.
    let runs = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    runs.map(|run| run["trace_id"].as_str().expect("a run has a trace").to_owned()).collect()
}

/// How often each event came.
fn ids(received: &[Received]) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for id in received.iter().filter_map(Received::event_id) {
        *ids.entry(id).or_default() += 1;
    }
    ids
}

/// The spool's files with something in them.
fn spooled(home: &Path) -> Vec<PathBuf> {
    let mut folders = vec![home.join("state")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type().expect("a file has a type").is_dir() {
                true => folders.push(entry.path()),
                false if entry.path().extension().is_some_and(|suffix| suffix == "spool") => files.push(entry.path()),
                false => {}
            }
        }
    }
    files
}

#[test]
fn a_burst_into_a_slow_receiver_arrives_whole() {
    let burst = number("BURST", 1000);
    let home = folder("spool-burst");
    let target = answer(Duration::ZERO, Duration::ZERO);
    let receiver = Receiver::saying(|_, _| {
        std::thread::sleep(Duration::from_millis(20));
        TAKEN.to_owned()
    });
    let each = burst.div_ceil(100);
    let configuration = probes(&receiver.dsn(), target, 100, &format!("burst: {each}, every: 100000"));
    let running = start(&home, &write(&home, &configuration), "shown");
    let wanted = each * 100;
    let began = Instant::now();
    while receiver.count() < wanted {
        assert!(began.elapsed() < Duration::from_secs(60 + wanted as u64 / 50), "{}", receiver.count());
        std::thread::sleep(Duration::from_millis(100));
    }
    running.signal("TERM");
    assert_eq!(running.code(), Some(0));
    let ids = ids(&receiver.received());
    assert_eq!(ids.len(), wanted);
    assert!(ids.values().all(|times| *times == 1), "each came once");
}

#[test]
fn a_receiver_that_was_down_gets_everything() {
    let down = number("DOWN", 3);
    let home = folder("spool-down");
    let (target, port) = (Target::new(), free_port());
    let dsn = format!("http://key@127.0.0.1:{port}/1");
    let running = start(&home, &write(&home, &probes(&dsn, target.port, 10, "every: 0.25")), "shown");
    std::thread::sleep(Duration::from_secs(down as u64));
    let receiver = Receiver::at(port, |_, _| TAKEN.to_owned());
    // Until what it pauses for is over.
    let began = Instant::now();
    while receiver.count() < 10 * down {
        assert!(began.elapsed() < Duration::from_secs(60), "{} of {}", receiver.count(), 10 * down);
        std::thread::sleep(Duration::from_millis(100));
    }
    running.signal("TERM");
    assert_eq!(running.code(), Some(0));
    assert_eq!(ids(&receiver.received()).len(), shown(&home, "shown").len());
    assert_eq!(spooled(&home), [] as [PathBuf; 0]);
}

#[test]
fn what_one_start_could_not_send_the_next_one_does() {
    let home = folder("spool-next");
    let (target, port) = (Target::new(), free_port());
    let configuration = probes(&format!("http://key@127.0.0.1:{port}/1"), target.port, 3, "every: 300");
    let ended = once(&home, &configuration);
    assert_eq!(ended.code, 0);
    assert!(ended.stderr.contains("3 waiting") && ended.stderr.contains("in the spool"), "{}", ended.stderr);
    let receiver = Receiver::at(port, |_, _| TAKEN.to_owned());
    let ended = once(&home, &configuration);
    assert!(ended.stderr.contains("3 envelopes wait"), "{}", ended.stderr);
    assert_eq!(ids(&receiver.received()).len(), 6);
    // Another DSN has a spool of its own.
    let other = Receiver::start();
    assert_eq!(once(&home, &probes(&other.dsn(), target.port, 1, "every: 300")).code, 0);
    assert_eq!(other.received().len(), 1);
}

#[test]
fn a_limit_is_waited_for_and_holds_nothing_else_up() {
    let soon = |header: &str| format!("HTTP/1.1 429 Too Many Requests\r\n{header}content-length: 0\r\n\r\n");
    let date = || httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(4));
    // The answer to the first transaction, and whether errors go on meanwhile.
    for (index, (header, errors)) in [
        ("x-sentry-rate-limits: 3:transaction:organization:quota\r\n".to_owned(), true),
        ("x-sentry-rate-limits: 2.5:transaction;span:key, 99999:replay:key\r\nretry-after: 99999\r\n".to_owned(), true),
        ("x-sentry-rate-limits: 3:transaction:key\r\nx-sentry-rate-limits: 1:transaction:key\r\n".to_owned(), true),
        ("x-sentry-rate-limits: 3::organization\r\n".to_owned(), false),
        ("retry-after: 3\r\n".to_owned(), false),
        ("retry-after: DATE\r\n".to_owned(), false),
    ]
    .into_iter()
    .enumerate()
    {
        let first = AtomicUsize::new(0);
        let answer = soon(&header.replace("DATE", &date()));
        let receiver = Receiver::saying(move |_, received| {
            match received.kind() == "transaction" && first.fetch_add(1, Ordering::SeqCst) == 0 {
                true => answer.clone(),
                false => TAKEN.to_owned(),
            }
        });
        let home = folder(&format!("spool-limit-{index}"));
        let target = Target::answering(|_| "500 Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned());
        let began = Instant::now();
        let ended = once(&home, &probes(&receiver.dsn(), target.port, 3, "every: 300"));
        assert_eq!(ended.code, 1);
        let all = receiver.received();
        let ids = ids(&all);
        assert_eq!(ids.len(), 6, "{header}: a transaction and an error for each: {}", ended.stderr);
        assert_eq!(ids.values().sum::<usize>(), 7, "{header}: the one that was limited came twice");
        assert!(began.elapsed() > Duration::from_secs(2), "{header}");
        let limited = all.iter().find(|received| received.kind() == "transaction").expect("there are some").at;
        let later = all.iter().filter(|received| received.kind() == "event").map(|error| error.at - limited);
        // Where errors are limited too, they may have been faster than the limit.
        assert!(!errors || later.max() < Some(Duration::from_secs(1)), "{header}");
    }
}

#[test]
fn a_limit_of_a_day_keeps_transactions_and_lets_errors_through() {
    let receiver = Receiver::saying(|_, received| match received.kind().as_str() {
        "transaction" => {
            "HTTP/1.1 429 No\r\nx-sentry-rate-limits: 86400:transaction:key\r\ncontent-length: 0\r\n\r\n".to_owned()
        }
        _ => TAKEN.to_owned(),
    });
    let home = folder("spool-day");
    let target = Target::answering(|_| "500 Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned());
    let began = Instant::now();
    let ended = once(&home, &probes(&receiver.dsn(), target.port, 5, "every: 300"));
    assert!(began.elapsed() < Duration::from_secs(10), "a day is not waited for");
    assert_eq!(receiver.received().iter().filter(|received| received.kind() == "event").count(), 5);
    assert!(ended.stderr.contains("5 sent, 5 waiting"), "{}", ended.stderr);
    let said = ended.stderr.matches("86400 s, a rate limit: transaction").count();
    assert_eq!(said, 1, "it is said once: {}", ended.stderr);
}

#[test]
fn a_connection_that_is_cut_costs_nothing() {
    let home = folder("spool-cut");
    let target = Target::new();
    let receiver = Receiver::saying(|number, _| match number {
        // No answer, half an answer's head, half its body.
        0 | 3 => String::new(),
        1 => "HTTP/1.1 200 OK\r\ncontent-le".to_owned(),
        2 => "HTTP/1.1 503 Unavailable\r\ncontent-length: 100\r\n\r\nhalf".to_owned(),
        _ => TAKEN.to_owned(),
    });
    // In the middle of the request, the first two times.
    let times = AtomicUsize::new(0);
    let port = free_port();
    let behind = receiver.port;
    crate::support::slow::listen_at(port, {
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
    let configuration = probes(&format!("http://key@127.0.0.1:{port}/1"), target.port, 6, "every: 300");
    // As often as it takes: what is left is in the spool.
    eventually("all arrive", || {
        once(&home, &configuration);
        (spooled(&home).is_empty()).then_some(())
    });
    let sent = ids(&receiver.received());
    assert_eq!(sent.len() % 6, 0, "each `once` is six runs: {sent:?}");
    assert!(sent.values().all(|times| *times <= 6), "{sent:?}");
}

#[test]
fn the_stop_waits_for_its_time_and_leaves_the_rest() {
    let home = folder("spool-stop");
    let target = Target::new();
    let hangs = Arc::new(AtomicBool::new(true));
    let receiver = Receiver::saying({
        let hangs = Arc::clone(&hangs);
        move |_, _| {
            if hangs.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_secs(30));
                return String::new();
            }
            TAKEN.to_owned()
        }
    });
    let configuration = probes(&receiver.dsn(), target.port, 5, "every: 0.2");
    let running = start(&home, &write(&home, &configuration), "shown");
    receiver.wait(4);
    let began = Instant::now();
    running.signal("TERM");
    assert_eq!(running.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "a container is killed then");
    hangs.store(false, Ordering::SeqCst);
    assert!(once(&home, &configuration).stderr.contains("0 waiting"));
    let ids = ids(&receiver.received());
    assert_eq!(ids.len(), shown(&home, "shown").len() + 5);
}

#[test]
fn a_server_that_fails_at_errors_gets_all_else_at_once() {
    let home = folder("spool-part");
    let target = Target::answering(|_| "500 Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned());
    let receiver = Receiver::saying(|_, received| match received.kind().as_str() {
        "event" => "HTTP/1.1 500 Down\r\ncontent-length: 0\r\n\r\n".to_owned(),
        _ => TAKEN.to_owned(),
    });
    let running = start(&home, &write(&home, &probes(&receiver.dsn(), target.port, 4, "every: 0.1")), "shown");
    std::thread::sleep(Duration::from_secs(3));
    let came = receiver.received();
    let runs = shown(&home, "shown").len();
    running.signal("TERM");
    assert_eq!(running.code(), Some(0));
    let (errors, transactions): (Vec<_>, Vec<_>) = came.iter().partition(|received| received.kind() == "event");
    assert!(transactions.len() + 20 > runs, "{} of {runs}", transactions.len());
    assert!(errors.len() < 10, "{} times it was asked", errors.len());
}

#[test]
fn what_sentry_refuses_is_counted_and_reported() {
    let home = folder("spool-refused");
    let target = Target::new();
    let receiver = Receiver::saying(|_, received| match received.kind().as_str() {
        "client_report" => TAKEN.to_owned(),
        _ => "HTTP/1.1 403 Forbidden\r\nx-sentry-error: no such project\r\ncontent-length: 0\r\n\r\n".to_owned(),
    });
    let configuration = probes(&receiver.dsn(), target.port, 3, "every: 0.2");
    let running = start(&home, &write(&home, &configuration), "shown");
    receiver.wait(3);
    running.signal("TERM");
    let report = eventually("a client report", || {
        receiver.received().into_iter().find(|received| received.kind() == "client_report")
    });
    let (header, items) = report.open();
    assert!(header["sent_at"].is_string() && header.get("event_id").is_none(), "{header}");
    let discarded = items[0].1["discarded_events"].as_array().expect("it is a list");
    let quantity = |category: &str| {
        let found = discarded.iter().find(|discarded| discarded["category"] == category);
        found.inspect(|found| assert_eq!(found["reason"], "send_error")).expect("it is there")["quantity"].as_u64()
    };
    assert!(quantity("transaction") >= Some(3) && quantity("span") >= quantity("transaction").map(|it| it * 4));
}
