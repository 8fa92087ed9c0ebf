//! Memory, limits and outcomes with a hundred hostile guests beside a well-behaved one.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::guests::hostile::COMPUTING;
use crate::guests::{Guest, PASSES};
use crate::support::running::RunningProgram;
use crate::support::{empty_folder, eventually, run_once, sentrynet};

/// The number of probes with hostile guests.
const HOSTILE_PROBES: usize = 100;

/// Returns a configuration of [`HOSTILE_PROBES`] hostile guests, and one that passes, which is last.
fn hostile_config(limits: &str) -> String {
    let files: Vec<_> = COMPUTING.iter().map(|(name, guest, _)| guest.write(&format!("hostile-{name}"))).collect();
    let mut text = format!("limits: {{{limits}}}\ngroups:\n  - probes:\n");
    for index in 0..HOSTILE_PROBES {
        let kind = index % COMPUTING.len();
        let (name, file) = (COMPUTING[kind].0, files[kind].display());
        let keys = format!("probe: '{file}', title: '{name} {index}', every: 3600, allow: {{log: true}}");
        let _ = writeln!(text, "      - {{{keys}}}");
    }
    let good = PASSES.write("hostile-beside");
    let _ = writeln!(text, "      - {{probe: '{}', title: good, every: 0.05}}", good.display());
    text
}

fn is_hostile(run: &Value) -> bool {
    run["title"] != "good"
}

/// Runs the configuration until `count` hostile runs have ended. Returns all runs, and the peak resident memory in KiB.
pub fn run_until_hostile_end(name: &str, text: &str, count: usize) -> (Vec<Value>, u64) {
    run_program_until_hostile_end(sentrynet(), name, text, count)
}

/// Like [`run_until_hostile_end`], with a command that starts the program.
pub fn run_program_until_hostile_end(mut program: Command, name: &str, text: &str, count: usize) -> (Vec<Value>, u64) {
    let folder = empty_folder(name);
    let (file, out) = (folder.join("probes.yaml"), folder.join("runs"));
    std::fs::write(&file, text).expect("the folder is writable");
    let stdout = std::fs::File::create(&out).expect("the folder is writable");
    program.arg("run").arg(&file).args(["--format", "json"]).stdout(stdout).stderr(Stdio::null());
    let running = RunningProgram::spawn(&mut program);
    let runs = || -> Vec<Value> {
        let text = std::fs::read_to_string(&out).expect("the file was created above");
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect("each line is a run")).collect()
    };
    let all = eventually("the end of all hostile runs", || {
        let runs = runs();
        (runs.iter().filter(|run| is_hostile(run)).count() == count).then_some(runs)
    });
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).expect("the host is still running");
    drop(running);
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux reports the peak");
    (all, peak.trim().trim_end_matches(" kB").parse().expect("the peak is a number of kB"))
}

#[test]
fn a_good_guest_passes_beside_a_hundred_hostile_ones() {
    const LIMITS: &str = "memory: 2 MiB, table: 5000, handles: 200, cpu: 0.05, deadline: 300";
    /// The runs together take far less within their limits, and would take more without limits.
    const MAX_PEAK_MIB: u64 = 700;
    let (all, peak) = run_until_hostile_end("hostile", &hostile_config(LIMITS), HOSTILE_PROBES);
    assert!(peak < MAX_PEAK_MIB << 10, "the peak is {} MiB", peak >> 10);
    for run in all.iter().filter(|run| is_hostile(run)) {
        let title = run["title"].as_str().expect("a title is text");
        let (_, _, expected) = COMPUTING.iter().find(|(name, ..)| title.starts_with(&format!("{name} "))).expect(title);
        assert_eq!(run["outcome"], "broken", "{run:#}");
        assert_eq!(run["failure"]["reason"], *expected, "{run:#}");
    }
    let good: Vec<_> = all.iter().filter(|run| run["title"] == "good").collect();
    assert!(good.len() > 1, "the good guest ran {} times", good.len());
    assert!(good.iter().all(|run| run["outcome"] == "passed"), "{good:#?}");
}

/// The number of runs at once. Each is within its own limits; together they allocate four times `total_memory`.
const RUNS_AT_ONCE: usize = 8;
const HOLDS_AND_SPINS: Guest = Guest {
    define: "(func $on (drop (memory.grow (i32.const 956)))
      (loop (memory.fill (i32.const 2048) (i32.const 1) (i32.const 62000000)) br 0))",
    run: "call $on i32.const 0",
    ..PASSES
};

#[test]
fn total_memory_limits_all_runs_together() {
    /// `total_memory` and the host's own memory. If each run could use its own limit, the peak would be twice as much.
    const MAX_PEAK_MIB: u64 = 350;
    let (hogs, good) = (HOLDS_AND_SPINS.write("together-hogs"), PASSES.write("together-good"));
    let hogs = format!("      - {{probe: '{}', every: 3600}}\n", hogs.display()).repeat(RUNS_AT_ONCE);
    let limits = "limits: {total_memory: 128 MiB, cpu: 0.5, deadline: 300}";
    let text = format!(
        "{limits}\ngroups:\n  - probes:\n{hogs}      - {{probe: '{}', title: good, every: 0.05}}\n",
        good.display()
    );
    let (all, peak) = run_until_hostile_end("together", &text, RUNS_AT_ONCE);
    assert!(peak < MAX_PEAK_MIB << 10, "the peak is {} MiB", peak >> 10);
    let (good, hogs): (Vec<_>, Vec<_>) = all.iter().partition(|run| run["title"] == "good");
    let reasons: Vec<_> =
        hogs.iter().map(|run| run["failure"]["reason"].as_str().expect("each of these runs is broken")).collect();
    let refused =
        hogs.iter().find(|run| run["failure"]["reason"] == "total_memory").expect("some run reached `total_memory`");
    let message = "the probe asked for more memory than is left of the total for all runs; raise \
                   `limits.total_memory` if they may have more";
    assert_eq!(refused["failure"]["message"], message, "{refused:#}");
    assert!(reasons.contains(&"cpu"), "no run got memory: {reasons:?}");
    assert!(reasons.iter().all(|reason| ["cpu", "total_memory"].contains(reason)), "{reasons:?}");
    assert!(good.len() > 1 && good.iter().all(|run| run["outcome"] == "passed"), "{good:#?}");
}

#[test]
fn memory_of_an_ended_run_is_free_for_the_next() {
    let guest =
        Guest { define: "(func $grow (drop (memory.grow (i32.const 956))))", run: "call $grow i32.const 0", ..PASSES };
    let path = guest.write("one-after-the-other");
    let probes = format!("      - {{probe: '{}'}}\n", path.display()).repeat(RUNS_AT_ONCE);
    let (code, runs) =
        run_once(&format!("limits: {{total_memory: 128 MiB, in_flight: 1}}\ngroups:\n  - probes:\n{probes}"));
    assert_eq!((code, runs.len()), (0, RUNS_AT_ONCE), "{runs:#?}");
}
