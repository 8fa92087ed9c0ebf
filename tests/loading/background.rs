//! `run` beside components that cannot be loaded: they are broken until they can, and other probes do not notice.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::guests::{Guest, PASSES, titled_guest, write_wasm};
use crate::support::receiver::Receiver;
use crate::support::running::RunningProgram;
use crate::support::target::Target;
use crate::support::{absent_path, empty_folder, eventually, run_command, sentrynet};

/// The program on its schedule, with its runs and its log in files.
struct Started {
    program: RunningProgram,
    folder: PathBuf,
}

impl Started {
    /// Starts the program with a configuration. Does not check it first.
    fn new(name: &str, configuration: &str) -> Self {
        let folder = empty_folder(&format!("background-{name}"));
        let file = folder.join("probes.yaml");
        std::fs::write(&file, configuration).expect("the folder is writable");
        let [stdout, stderr] = ["runs", "log"].map(|name| File::create(folder.join(name)).expect("it is writable"));
        let mut program = sentrynet();
        program.arg("run").arg(&file).args(["--format", "json"]).stdout(stdout).stderr(stderr);
        Self { program: RunningProgram::spawn(&mut program), folder }
    }

    /// Returns the runs so far, in the order in which they ended.
    fn runs(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join("runs")).expect("the file exists");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).expect("the file exists")
    }

    /// Waits until there are this many runs of a probe with this outcome. Returns the runs of the probe.
    fn wait_for(&self, title: &str, outcome: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} {outcome} runs of {title}"), || {
            let runs: Vec<_> = self.runs().into_iter().filter(|run| run["title"] == title).collect();
            (runs.iter().filter(|run| run["outcome"] == outcome).count() >= count).then_some(runs)
        })
    }

    fn stop(self) {
        self.program.send_signal("TERM");
        assert_eq!(self.program.wait_for_exit_code(), Some(0), "a component that cannot be loaded delays no stop");
    }
}

/// Returns a built-in probe `Good` in a configuration.
fn good_probe(target: &Target) -> String {
    format!("      - {{probe: http, title: Good, url: 'http://127.0.0.1:{}/', every: 0.5}}\n", target.port)
}

fn third_party_probe(path: &Path, keys: &str) -> String {
    format!("      - {{probe: '{}', {keys}}}\n", path.display())
}

/// Compiles the built-in probes, so that a later start does not compile them.
fn compile_built_in() {
    let checked =
        run_command(sentrynet().args(["check", "-"]), "groups: [{probes: [{probe: http, url: 'http://x/'}]}]");
    assert_eq!(checked.code, 0, "{}", checked.stderr);
}

#[test]
fn components_that_cannot_be_loaded_are_broken_beside_others() {
    let (receiver, target) = (Receiver::start(), Target::new());
    let passes = PASSES.write("background-passes");
    let silent = Guest { check: "(i32.store8 (i32.const 0) (i32.const 1)) i32.const 0", ..PASSES };
    let bad = [
        ("missing", empty_folder("background-none").join("none.wasm"), "", "cannot read"),
        ("text", write_wasm("background-text", b"#!/bin/sh\n"), "", "is not WebAssembly"),
        ("torn", write_wasm("background-torn", &std::fs::read(&passes).unwrap()[..400]), "", "not a valid component"),
        ("empty", write_wasm("background-empty", &wat::parse_str("(component)").unwrap()), "", "does not export"),
        ("mute", Guest { describe: "unreachable", ..PASSES }.write("background-mute"), "", "`describe` failed"),
        ("blind", Guest { check: "unreachable", ..PASSES }.write("background-blind"), "", "cannot check its settings"),
        ("silent", silent.write("background-silent"), "", "refuses these settings"),
    ];
    let mut configuration = format!("sentry: {{dsn: '{}'}}\n", receiver.dsn());
    let _ = writeln!(configuration, "modules:\n  pinned: {{component: '{}', sha256: '{:064}'}}", passes.display(), 0);
    let _ = write!(configuration, "groups:\n  - probes:\n{}", good_probe(&target));
    configuration.push_str("      - {probe: pinned, check_in: true, every: 600}\n");
    for (title, path, keys, _) in &bad {
        configuration += &third_party_probe(path, &format!("title: {title}, every: 600, {keys} check_in: true"));
    }
    configuration += &third_party_probe(&passes, "title: fits, every: 600");

    let started = Started::new("bad", &configuration);
    started.wait_for("Good", "passed", 2);
    started.wait_for("fits", "passed", 1);
    let bad = bad.iter().map(|(title, _, _, expected)| (*title, *expected)).chain([("pinned", "not the pinned file")]);
    for (title, expected) in bad.clone() {
        let runs = started.wait_for(title, "broken", 1);
        let failure = &runs[0]["failure"];
        assert_eq!((runs.len(), &failure["reason"]), (1, &"load".into()), "{title}: {runs:#?}");
        let message = failure["message"].as_str().expect("a message is text");
        assert!(message.starts_with("the probe could not be loaded: ") && message.contains(expected), "{message}");
    }
    let log = started.log();
    for (title, _) in bad.clone() {
        assert_eq!(log.matches(&format!("`{title}` could not be loaded")).count(), 1, "{log}");
    }
    assert_eq!(log.matches("error: ").count(), bad.clone().count(), "{log}");

    // Each is reported once, as an error of a broken run. Without a title from the operator there is no check-in.
    let events = receiver.wait_for_payloads(bad.clone().count(), "event");
    for (title, _) in bad.clone() {
        let is_of_probe = |event: &&Value| event["fingerprint"][2] == title;
        assert_eq!(events.iter().filter(is_of_probe).count(), 1, "{title}: {events:#?}");
    }
    assert!(events.iter().all(|event| event["fingerprint"][0] == "probe-broken" && event["fingerprint"][3] == "load"));
    let check_ins = receiver.wait_for_payloads(bad.clone().count() - 1, "check_in");
    assert!(check_ins.iter().all(|it| it["status"] == "error" && it["monitor_slug"] != "pinned"), "{check_ins:#?}");
    started.stop();
}

#[test]
fn a_built_in_probe_runs_before_slow_components_are_loaded() {
    compile_built_in();
    let target = Target::new();
    let mut configuration = format!("groups:\n  - probes:\n{}", good_probe(&target));
    for number in 0..8 {
        let spins = if number % 2 == 0 {
            Guest { describe: "(loop br 0) i32.const 64", ..PASSES }
        } else {
            Guest { check: "(loop br 0) i32.const 0", ..PASSES }
        };
        let path = spins.write(&format!("background-spins-{number}"));
        configuration += &third_party_probe(&path, &format!("title: spins-{number}, every: 600"));
    }
    // Compiling this takes seconds.
    let body = "(local.set $x (i32.add (i32.mul (local.get $x) (local.get $x)) (i32.const 7)))".repeat(2000);
    let mut large = String::new();
    for number in 0..40 {
        let _ = write!(large, "(func $large{number} (param $x i32) {body})");
    }
    let large = Guest { define: large.leak(), ..PASSES }.write("background-large");
    configuration += &third_party_probe(&large, "title: large, every: 600");
    let modest = PASSES.write("background-modest");
    configuration += &third_party_probe(&modest, "title: modest, every: 600");

    let started = Started::new("slow", &configuration);
    started.wait_for("modest", "passed", 1);
    started.wait_for("Good", "passed", 1);
    let runs = started.runs();
    // A component that spins does not keep others from loading until it reaches its limit.
    assert!(!runs.iter().any(|run| run["outcome"] == "broken"), "{runs:#?}");
    for number in 0..8 {
        let runs = started.wait_for(&format!("spins-{number}"), "broken", 1);
        let message = runs[0]["failure"]["message"].as_str().expect("a message is text");
        assert!(message.contains("the probe was not done within its deadline of 5 s"), "{message}");
    }
    started.wait_for("large", "passed", 1);
    started.stop();
}

#[test]
fn a_stop_does_not_wait_for_components_that_are_being_loaded() {
    compile_built_in();
    let target = Target::new();
    let spins = Guest { describe: "(loop br 0) i32.const 64", ..PASSES }.write("background-stopped");
    let configuration =
        format!("groups:\n  - probes:\n{}", good_probe(&target)) + &third_party_probe(&spins, "title: spins");
    let started = Started::new("stopped", &configuration);
    started.wait_for("Good", "passed", 1);
    started.program.send_signal("TERM");
    let runs = started.folder.join("runs");
    assert_eq!(started.program.wait_for_exit_code(), Some(0));
    let runs = std::fs::read_to_string(runs).expect("the file exists");
    assert!(!runs.contains("spins"), "the component was still being loaded: {runs}");
}

#[test]
fn a_component_that_can_be_loaded_later_recovers() {
    let (receiver, target) = (Receiver::start(), Target::new());
    let folder = empty_folder("background-late");
    let path = folder.join("late.wasm");
    let keys = "title: Late, every: 1, check_in: {slug: late}";
    let configuration = format!("sentry: {{dsn: '{}'}}\ngroups:\n  - probes:\n{}", receiver.dsn(), good_probe(&target));
    let started = Started::new("late", &(configuration + &third_party_probe(&path, keys)));
    started.wait_for("Late", "broken", 2);
    std::fs::copy(PASSES.write("background-late-component"), &path).expect("the folder is writable");
    let runs = started.wait_for("Late", "passed", 2);
    let broken = runs.iter().take_while(|run| run["outcome"] == "broken").count();
    assert!(broken >= 2 && runs[broken..].iter().all(|run| run["outcome"] == "passed"), "{runs:#?}");

    let log = started.log();
    assert_eq!(log.matches("`Late` could not be loaded").count(), 1, "the same problem is told once: {log}");
    assert_eq!(log.matches(&format!("`Late` is loaded, after {broken} failed attempts")).count(), 1, "{log}");
    started.stop();
    let events = receiver.wait_for_payloads(broken, "event");
    assert!(events.iter().all(|event| event["fingerprint"] == events[0]["fingerprint"]), "one Issue: {events:#?}");
    let check_ins = receiver.wait_for_payloads(1, "check_in");
    let last = check_ins.last().expect("there is a check-in");
    assert_eq!(last["monitor_slug"], "late", "{last:#}");
}

#[test]
fn a_later_component_takes_neither_a_title_nor_a_monitor() {
    let (receiver, target) = (Receiver::start(), Target::new());
    let first = titled_guest("Redis").write("background-first");
    let path = empty_folder("background-second").join("second.wasm");
    let second = titled_guest("redis!").write("background-second-component");
    let probes = good_probe(&target)
        + &third_party_probe(&first, "every: 0.2, check_in: true")
        + &third_party_probe(&path, "every: 1, check_in: true");
    let configuration = format!("sentry: {{dsn: '{}'}}\ngroups:\n  - probes:\n{probes}", receiver.dsn());
    let started = Started::new("titles", &configuration);
    started.wait_for("Redis", "passed", 1);
    // Until the component is loaded, its probe has the name of the component in the configuration as its title.
    started.wait_for("second", "broken", 1);
    std::fs::copy(&second, &path).expect("the folder is writable");
    // The host cannot know which of the two components took the title of the other, so it changes both.
    started.wait_for("second (groups/0/probes/2)", "passed", 1);
    started.wait_for("background-first (groups/0/probes/1)", "passed", 1);
    started.wait_for("Good", "passed", 1);
    let log = started.log();
    assert_eq!(log.matches("the component calls this probe").count(), 2, "{log}");
    started.stop();
    let slugs = eventually("check-ins of both", || {
        let check_ins = receiver.wait_for_payloads(1, "check_in");
        let slugs: Vec<_> = check_ins.iter().filter_map(|it| it["monitor_slug"].as_str().map(str::to_owned)).collect();
        slugs.iter().any(|slug| slug.starts_with("second-groups")).then_some(slugs)
    });
    assert!(slugs.iter().any(|slug| slug.starts_with("background-first-")), "{slugs:?}");
    assert!(!slugs.iter().any(|slug| slug == "second"), "{slugs:?}");
}

#[test]
fn mistakes_of_the_operator_end_the_start() {
    let target = Target::new();
    let missing = third_party_probe(&absent_path("none.wasm"), "title: missing");
    let good = good_probe(&target);
    for (mistake, expected) in [
        ("      - {probe: http, urk: 'http://127.0.0.1/'}\n", "urk"),
        ("      - {probe: http, url: 'http://127.0.0.1/', every: never}\n", "every"),
    ] {
        let folder = empty_folder("background-mistakes");
        let file = folder.join("probes.yaml");
        std::fs::write(&file, format!("groups:\n  - probes:\n{good}{missing}{mistake}")).expect("it is writable");
        let ended = run_command(sentrynet().arg("run").arg(&file), "");
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
    assert_eq!(target.requests().len(), 0, "nothing runs");
}
