//! A configuration that changes while the program runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, read_to_string, rename, write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::guests::PASSES;
use crate::support::receiver::Receiver;
use crate::support::running::RunningProgram;
use crate::support::target::{Target, status_response};
use crate::support::{empty_folder, eventually, run_command, sentrynet};

/// The program running with a configuration in a folder, where its output and its log are too.
struct Host {
    folder: PathBuf,
    file: PathBuf,
    running: RunningProgram,
}

impl Host {
    /// Starts the program, which reloads only at a signal.
    fn start(name: &str, configuration: &str) -> Self {
        Self::start_with(name, configuration, &["--no-watch"], &[])
    }

    fn start_with(name: &str, configuration: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = empty_folder(&format!("reload-{name}"));
        let file = folder.join("probes.yaml");
        write(&file, configuration).expect("the folder is writable");
        Self::start_in(folder, file, arguments, variables)
    }

    fn start_in(folder: PathBuf, file: PathBuf, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let create = |name: &str| File::create(folder.join(name)).expect("the folder is writable");
        let mut program = sentrynet();
        program.arg("run").arg(&file).args(["--format", "json"]).args(arguments).envs(variables.iter().copied());
        program.stdout(create("output")).stderr(create("log")).stdin(Stdio::null());
        let running = RunningProgram::spawn(&mut program);
        let host = Self { folder, file, running };
        host.wait_for_log("on schedule");
        host
    }

    fn log(&self) -> String {
        read_to_string(self.folder.join("log")).expect("the log is text")
    }

    #[track_caller]
    fn wait_for_log(&self, part: &str) {
        eventually(part, || self.log().contains(part).then_some(()));
    }

    /// Waits until a part is in the log this many times.
    #[track_caller]
    fn wait_for_count(&self, part: &str, count: usize) {
        eventually(part, || (self.log().matches(part).count() >= count).then_some(()));
    }

    /// Returns all runs so far.
    fn runs(&self) -> Vec<Value> {
        let output = read_to_string(self.folder.join("output")).expect("the output is text");
        output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn runs_of(&self, title: &str) -> Vec<Value> {
        self.runs().into_iter().filter(|run| run["title"] == title).collect()
    }

    /// Waits for this many further runs of a probe.
    #[track_caller]
    fn wait_for_runs(&self, title: &str, count: usize) {
        let before = self.runs_of(title).len();
        eventually(title, || (self.runs_of(title).len() >= before + count).then_some(()));
    }

    /// Replaces the configuration at once.
    fn replace(&self, configuration: &str) {
        let new = self.folder.join("new");
        write(&new, configuration).expect("the folder is writable");
        rename(new, &self.file).expect("the folder is writable");
    }

    /// Replaces the configuration, and has it reloaded.
    fn reload(&self, configuration: &str) {
        self.replace(configuration);
        self.running.send_signal("HUP");
    }
}

const RELOADED: &str = "the configuration was reloaded";
const REFUSED: &str = "the new configuration was refused, and the previous one goes on";

/// Returns a probe in a list.
fn probe(title: &str, port: u16, keys: &str) -> String {
    format!("      - {{probe: http, title: {title}, url: 'http://127.0.0.1:{port}/{title}', {keys}}}\n")
}

fn config(probes: &[String]) -> String {
    format!("groups:\n  - probes:\n{}", probes.concat())
}

/// Returns the seconds since the beginning of the day at which a run was due.
fn due(run: &Value) -> f64 {
    let started = run["started"].as_str().expect("a time is text");
    let time = started.split_once('T').expect("a time has a date").1.trim_end_matches('Z');
    let parts: Vec<f64> = time.split(':').map(|part| part.parse().expect("a time has numbers")).collect();
    parts[0] * 3600.0 + parts[1] * 60.0 + parts[2] - run["lateness_ms"].as_f64().expect("lateness is a number") / 1e3
}

/// Asserts that each due time of a probe was run once or counted as skipped.
#[track_caller]
fn assert_no_run_is_lost_or_doubled(runs: &[Value], every: f64) {
    for pair in runs.windows(2) {
        let seconds = (due(&pair[1]) - due(&pair[0])).rem_euclid(86_400.0);
        let periods = (seconds / every).round();
        let skipped = pair[1]["skipped"].as_f64().expect("a count is a number");
        assert!((periods - skipped - 1.0).abs() < 0.01, "{periods} periods and {skipped} skipped: {pair:#?}");
        assert!((seconds - periods * every).abs() < every * 0.45, "the phase has changed: {seconds} s: {pair:#?}");
    }
}

#[test]
fn probes_are_added_changed_and_removed_and_others_go_on() {
    let target = Target::responding(|_| status_response("500 No"));
    let [kept, changed, removed] = ["Kept", "Changed", "Removed"].map(|title| probe(title, target.port, "every: 0.3"));
    let host = Host::start("changes", &config(&[kept.clone(), changed, removed]));
    for title in ["Kept", "Changed", "Removed"] {
        host.wait_for_runs(title, 2);
    }
    let [added, changed] = [("Added", "every: 0.3"), ("Changed", "every: 0.3, retries: 1, retry_delay: 0.01")]
        .map(|(title, keys)| probe(title, target.port, keys));
    host.reload(&config(&[added, changed, kept]));
    host.wait_for_log("the configuration was reloaded: 1 added, 1 removed, 1 changed, 1 unchanged");
    let removed = host.runs_of("Removed").len();
    for title in ["Kept", "Changed", "Added"] {
        host.wait_for_runs(title, 3);
    }
    assert!(host.runs_of("Removed").len() <= removed + 1, "a removed probe goes on");
    let outages = |title: &str| -> Vec<u64> {
        host.runs_of(title).iter().map(|run| run["outage"]["runs"].as_u64().expect("the run has failed")).collect()
    };
    let kept = outages("Kept");
    assert_eq!(kept, (1..=kept.len() as u64).collect::<Vec<_>>(), "the outage continues");
    assert_no_run_is_lost_or_doubled(&host.runs_of("Kept"), 0.3);
    assert_eq!(
        outages("Changed").iter().filter(|runs| **runs == 1).count(),
        2,
        "a changed probe starts like a new one"
    );
    let attempts = host.runs_of("Changed").last().map(|run| run["attempts"].clone());
    assert_eq!(attempts, Some(2.into()));
}

#[test]
fn a_configuration_with_errors_is_refused_and_told_everywhere() {
    let (receiver, target) = (Receiver::start(), Target::new());
    let folder = empty_folder("reload-refused-socket");
    let socket = UnixDatagram::bind(folder.join("notify")).expect("the folder is writable");
    socket.set_read_timeout(Some(Duration::from_secs(120))).expect("the socket has a timeout");
    let next = || {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).expect("the program sends its state");
        String::from_utf8(buffer[..length].to_vec()).expect("a state is text")
    };
    let good =
        format!("sentry: {{dsn: '{}'}}\n{}", receiver.dsn(), config(&[probe("Good", target.port, "every: 0.3")]));
    let address = folder.join("notify").display().to_string();
    let variables = [("NOTIFY_SOCKET", address.as_str()), ("SENTRYNET_LOG", "info")];
    let host = Host::start_with("refused", &good, &["--no-watch"], &variables);
    assert_eq!(next(), "READY=1\nSTATUS=1 probe on schedule");
    host.wait_for_runs("Good", 1);

    let bad = good.replace("every: 0.3", "every: 0.3, tiemout: 3")
        + &probe("Bad", target.port, "expected: never, auth: {bearer: hunter2}");
    for count in 1..=2 {
        host.reload(&bad);
        host.wait_for_count(REFUSED, count);
        assert!(next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        let ready = next();
        assert!(ready.starts_with("READY=1\nSTATUS=the configuration of "), "{ready}");
        assert!(ready.contains(" was refused: 2 errors, the first: "), "{ready}");
        assert!(!ready.contains("hunter2"), "{ready}");
    }
    // `check` says the same.
    let checked = run_command(sentrynet().arg("check").arg(&host.file), "");
    assert_eq!(checked.code, 2);
    assert!(host.log().contains(&checked.stderr), "{}\n{}", host.log(), checked.stderr);
    host.wait_for_runs("Good", 2);
    assert_eq!(host.runs_of("Bad").len(), 0);

    host.running.send_signal("HUP");
    host.wait_for_count(REFUSED, 3);
    host.reload(&good);
    host.wait_for_log("the configuration was reloaded: 0 added, 0 removed, 0 changed, 1 unchanged");
    let states: Vec<_> = (0..4).map(|_| next()).collect();
    assert!(states[3].starts_with("READY=1\nSTATUS=1 probe, configuration of "), "{states:?}");
    assert_no_run_is_lost_or_doubled(&host.runs_of("Good"), 0.3);
    host.running.send_signal("TERM");
    assert_eq!(next(), "STOPPING=1");
    assert_eq!(host.running.wait_for_exit_code(), Some(0));

    let items = receiver.received().into_iter().flat_map(|received| received.parse_envelope().1);
    let events: Vec<_> = items.filter(|(header, _)| header["type"] == "event").map(|(_, payload)| payload).collect();
    let [event] = &events[..] else { panic!("the refusal is reported once: {events:#?}") };
    assert_eq!((&event["level"], &event["fingerprint"][1]), (&"error".into(), &"configuration".into()));
    assert_eq!(event["exception"]["values"][0]["type"], "RefusedConfiguration");
    let errors = event["contexts"]["configuration"]["errors"].as_str().expect("the context has the errors");
    assert!(errors.contains("unknown key `tiemout`") && !errors.contains("hunter2"), "{errors}");
}

#[test]
fn a_change_on_disk_is_noticed_unless_it_is_not_watched() {
    let target = Target::new();
    let named = |title: &str| config(&[probe(title, target.port, "every: 0.2")]);
    let host = Host::start_with("watched", &named("First"), &[], &[]);
    host.replace(&named("Renamed"));
    host.wait_for_runs("Renamed", 1);
    write(&host.file, named("Written")).expect("the folder is writable");
    host.wait_for_runs("Written", 1);
    std::fs::remove_file(&host.file).expect("the folder is writable");
    host.wait_for_log("no file `");
    host.wait_for_runs("Written", 1);
    host.replace(&named("Back"));
    host.wait_for_runs("Back", 1);

    let host = Host::start("unwatched", &named("First"));
    host.replace(&named("Second"));
    host.wait_for_runs("First", 10);
    assert!(!host.log().contains(RELOADED), "{}", host.log());
    host.running.send_signal("HUP");
    host.wait_for_runs("Second", 1);
}

#[test]
fn the_folder_of_a_config_map_is_watched() {
    let target = Target::new();
    let named = |title: &str| config(&[probe(title, target.port, "every: 0.2")]);
    for (name, is_folder) in [("config-map-file", false), ("config-map-folder", true)] {
        let folder = empty_folder(&format!("reload-{name}"));
        let mount = folder.join("mount");
        for (version, title) in [("..1", "First"), ("..2", "Second")] {
            std::fs::create_dir_all(mount.join(version)).expect("the folder is writable");
            write(mount.join(version).join("probes.yaml"), named(title)).expect("the folder is writable");
        }
        // The file is a link into a folder that is itself a link, and that is replaced.
        symlink("..1", mount.join("..data")).expect("the folder is writable");
        symlink("..data/probes.yaml", mount.join("probes.yaml")).expect("the folder is writable");
        let path = if is_folder { mount.clone() } else { mount.join("probes.yaml") };
        let host = Host::start_in(folder, path, &[], &[]);
        host.wait_for_runs("First", 1);
        symlink("..2", mount.join("..new")).expect("the folder is writable");
        rename(mount.join("..new"), mount.join("..data")).expect("the folder is writable");
        host.wait_for_runs("Second", 1);
    }
}

#[test]
fn keys_that_need_a_restart_are_named_and_others_take_over() {
    let target = Target::new();
    let probes = config(&[probe("Shop", target.port, "every: 0.3")]);
    let host = Host::start("restart", &probes);
    host.wait_for_runs("Shop", 1);
    host.reload(&format!(
        "sentry: {{environment: test, spool: false}}\nlimits: {{in_flight: 7, per_host: 3}}\n{probes}"
    ));
    host.wait_for_log("0 added, 0 removed, 0 changed, 1 unchanged");
    for key in ["sentry.environment", "sentry.spool", "limits.in_flight"] {
        host.wait_for_log(&format!("`{key}` has changed and needs a restart: the previous value stays in use"));
    }
    assert!(!host.log().contains("limits.per_host"), "{}", host.log());
    // A tag of `sentry` is one of every probe.
    host.reload(&format!("sentry: {{tags: {{region: eu}}}}\n{probes}"));
    host.wait_for_log("0 added, 0 removed, 1 changed, 0 unchanged");
    eventually("a run with the tag", || {
        host.runs().last().is_some_and(|run| run["tags"]["region"] == "eu").then_some(())
    });
}

#[test]
fn probes_of_third_parties_take_part() {
    let target = Target::new();
    let component = empty_folder("reload-third-party-component").join("late.wasm");
    let third = |keys: &str| format!("      - {{probe: '{}', title: Third, {keys}}}\n", component.display());
    let shop = |keys: &str| probe("Shop", target.port, keys);
    let host = Host::start("third-party", &config(&[third("every: 0.3"), shop("every: 0.3")]));
    eventually("a broken run", || host.runs_of("Third").first().map(|run| assert_eq!(run["outcome"], "broken")));

    // It stays as it is, so that nothing about it is an error.
    host.reload(&config(&[shop("every: 0.2"), third("every: 0.3")]));
    host.wait_for_log("0 added, 0 removed, 1 changed, 1 unchanged");
    // With other settings it has to be loaded before it takes over.
    host.reload(&config(&[shop("every: 0.2"), third("every: 0.4")]));
    host.wait_for_log(REFUSED);
    std::fs::copy(PASSES.write("reload-third-party"), &component).expect("the folder is writable");
    let passes = |run: &Value| run["outcome"] == "passed";
    eventually("a run that passes", || host.runs_of("Third").iter().any(passes).then_some(()));
    host.running.send_signal("HUP");
    host.wait_for_count(RELOADED, 2);
    host.wait_for_runs("Third", 2);

    // Another component at the same place is another probe.
    let fails = crate::guests::Guest { run: "unreachable", ..PASSES }.write("reload-third-party-fails");
    std::fs::copy(fails, component.with_extension("new")).expect("the folder is writable");
    rename(component.with_extension("new"), &component).expect("the folder is writable");
    host.running.send_signal("HUP");
    host.wait_for_count(RELOADED, 3);
    eventually("a run of the new component", || {
        host.runs_of("Third").last().is_some_and(|run| run["failure"]["reason"] == "trap").then_some(())
    });
    assert_eq!(host.log().matches("0 added, 0 removed, 1 changed, 1 unchanged").count(), 3, "{}", host.log());
}

#[test]
fn files_that_change_with_the_configuration_are_taken_up() {
    let target = Target::responding(|_| status_response("500 No"));
    let folder = empty_folder("reload-rotated-token");
    let token = folder.join("token");
    let rotate = |text: &str| {
        write(folder.join("new-token"), text).expect("the folder is writable");
        crate::support::restrict_to_owner(&folder.join("new-token"));
        rename(folder.join("new-token"), &token).expect("the folder is writable");
    };
    rotate("first-secret");
    let keys = format!("every: 0.3, auth: {{bearer: '${{file:{}}}'}}", token.display());
    let [shop, other] = [probe("Shop", target.port, &keys), probe("Other", target.port, "every: 0.3")];
    let host = Host::start("rotated", &config(std::slice::from_ref(&shop)));
    host.wait_for_runs("Shop", 2);
    rotate("second-secret");
    host.reload(&config(&[other, shop]));
    host.wait_for_log("1 added, 0 removed, 0 changed, 1 unchanged");
    eventually("the new secret", || {
        let has_secret =
            |request: &crate::support::target::Request| request.header("authorization") == Some("Bearer second-secret");
        target.requests().iter().any(has_secret).then_some(())
    });
    host.wait_for_runs("Shop", 2);
    let outages: Vec<_> = host.runs_of("Shop").iter().map(|run| run["outage"]["runs"].as_u64()).collect();
    assert_eq!(outages, (1..=outages.len() as u64).map(Some).collect::<Vec<_>>(), "the outage continues");
    let written = host.log() + &read_to_string(host.folder.join("output")).expect("the output is text");
    assert!(!written.contains("-secret"), "{written}");
}

#[test]
fn the_watchdog_is_told_while_the_schedule_goes_on() {
    let folder = empty_folder("reload-watchdog-socket");
    let socket = UnixDatagram::bind(folder.join("notify")).expect("the folder is writable");
    socket.set_read_timeout(Some(Duration::from_secs(120))).expect("the socket has a timeout");
    let address = folder.join("notify").display().to_string();
    let variables = [("NOTIFY_SOCKET", address.as_str()), ("WATCHDOG_USEC", "100000")];
    let host = Host::start_with("watchdog", &config(&[probe("Shop", 9, "every: 60")]), &[], &variables);
    let mut buffer = [0; 4096];
    let mut count = 0;
    while count < 5 {
        let length = socket.recv(&mut buffer).expect("the program shows its progress");
        count += usize::from(&buffer[..length] == b"WATCHDOG=1");
    }
    drop(host);
}

/// Reloads at a higher rate than anyone would, half of them broken on purpose.
#[test]
fn no_run_is_lost_or_doubled_while_configurations_come_and_go() {
    const PROBES: usize = 100;
    const EVERY: f64 = 0.2;
    let target = Target::new();
    let configuration = |reload: usize| {
        let mut text = String::from("groups:\n  - probes:\n");
        for number in 0..PROBES {
            let _ = write!(text, "{}", probe(&format!("p{number}"), target.port, &format!("every: {EVERY}")));
        }
        let _ = write!(text, "{}", probe(&format!("changed{reload}"), target.port, "every: 0.2"));
        if reload % 2 == 1 {
            text.push_str("      - {probe: http, url: 7}\n");
        }
        text
    };
    let host = Host::start("under-load", &configuration(0));
    host.wait_for_runs("p0", 1);
    for reload in 1..=20 {
        host.reload(&configuration(reload));
        let (part, count) = if reload % 2 == 1 { (REFUSED, reload.div_ceil(2)) } else { (RELOADED, reload / 2) };
        host.wait_for_count(part, count);
    }
    host.wait_for_runs("p0", 3);
    host.running.send_signal("TERM");
    eventually("the end", || host.log().contains("stopping").then_some(()));
    let mut runs: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for run in host.runs() {
        runs.entry(run["title"].as_str().expect("a title is text").to_owned()).or_default().push(run);
    }
    for number in 0..PROBES {
        let of_probe = &runs[&format!("p{number}")];
        assert!(of_probe.len() > 2, "{of_probe:#?}");
        assert_no_run_is_lost_or_doubled(of_probe, EVERY);
    }
    let of_changed = |reload: usize| runs.contains_key(&format!("changed{reload}"));
    assert!((1..=20).filter(|reload| reload % 2 == 1).all(|reload| !of_changed(reload)), "a refused probe has run");
    assert_eq!(host.running.wait_for_exit_code(), Some(0));
}

#[test]
fn standard_input_is_not_read_again() {
    let folder = empty_folder("reload-stdin");
    let text = config(&[probe("Shop", 9, "every: 60")]);
    let input = folder.join("input");
    write(&input, text).expect("the folder is writable");
    let log = folder.join("log");
    let mut program = sentrynet();
    program.args(["run", "-"]).stdin(File::open(&input).expect("the file exists")).stdout(Stdio::null());
    let running = RunningProgram::spawn(program.stderr(File::create(&log).expect("the folder is writable")));
    let wait_for = |part: &str| {
        let path: &Path = &log;
        eventually(part, || read_to_string(path).is_ok_and(|log| log.contains(part)).then_some(()));
    };
    wait_for("on schedule");
    running.send_signal("HUP");
    wait_for("standard input cannot be read again");
}
