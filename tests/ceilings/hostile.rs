//! A hundred guests that want all there is, and one that wants little.

use std::fmt::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::guests::{Guest, LOG, PASSES, SPAN};
use crate::support::running::Running;
use crate::support::{eventually, folder, sentrynet};

/// What each of them does, and what it breaks at.
const HOSTILE: &[(&str, Guest, &str)] = &[
    ("spins", Guest { define: "(func $on (loop br 0))", run: "call $on i32.const 0", ..PASSES }, "cpu"),
    (
        "hogs",
        Guest {
            define: "(func $on (local $at i32)
              (loop (local.set $at (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))
                (memory.fill (local.get $at) (i32.const 1) (i32.const 65536)) br 0))",
            run: "call $on i32.const 0",
            ..PASSES
        },
        "memory",
    ),
    (
        "holds-and-spins",
        Guest {
            define: "(func $on (drop (memory.grow (i32.const 20)))
              (loop (memory.fill (i32.const 2048) (i32.const 1) (i32.const 1300000)) br 0))",
            run: "call $on i32.const 0",
            ..PASSES
        },
        "cpu",
    ),
    (
        "tables",
        Guest {
            define: "(table $t 0 funcref)
              (func $on (loop (drop (table.grow $t (ref.null func) (i32.const 1000))) br 0))",
            run: "call $on i32.const 0",
            ..PASSES
        },
        "table",
    ),
    ("recurses", Guest { define: "(func $on call $on)", run: "call $on i32.const 0", ..PASSES }, "trap"),
    (
        "logs",
        Guest {
            imports: LOG,
            run: "(loop (call $write (i32.const 1) (i32.const 0) (i32.const 60000)) br 0) i32.const 0",
            ..PASSES
        },
        "cpu",
    ),
    (
        "spans",
        Guest {
            imports: SPAN,
            run: "(loop (call $drop (call $span (i32.const 256) (i32.const 5) (i32.const 512) (i32.const 6))) br 0)
              i32.const 0",
            ..PASSES
        },
        "cpu",
    ),
    (
        "leaks",
        Guest {
            imports: SPAN,
            run: "(loop (drop (call $span (i32.const 256) (i32.const 5) (i32.const 512) (i32.const 6))) br 0)
              i32.const 0",
            ..PASSES
        },
        "handles",
    ),
];

const COUNT: usize = 100;

/// A configuration of them all beside a good one, which is last.
fn beside(limits: &str) -> String {
    let files: Vec<_> = HOSTILE.iter().map(|(what, guest, _)| guest.write(&format!("hostile-{what}"))).collect();
    let mut text = format!("limits: {{{limits}}}\ngroups:\n  - probes:\n");
    for index in 0..COUNT {
        let kind = index % HOSTILE.len();
        let (what, file) = (HOSTILE[kind].0, files[kind].display());
        let keys = format!("probe: '{file}', title: '{what} {index}', every: 3600, allow: {{log: true}}");
        let _ = writeln!(text, "      - {{{keys}}}");
    }
    let good = PASSES.write("hostile-beside");
    let _ = writeln!(text, "      - {{probe: '{}', title: good, every: 0.05}}", good.display());
    text
}

#[test]
fn a_good_guest_beside_a_hundred_hostile_ones() {
    const LIMITS: &str = "memory: 2 MiB, table: 5000, handles: 200, cpu: 0.05, deadline: 300";
    /// Far from what they take together within their limits, and less than they would take without.
    const MOST_MIB: u64 = 700;
    let folder = folder("hostile");
    let (file, out) = (folder.join("probes.yaml"), folder.join("runs"));
    std::fs::write(&file, beside(LIMITS)).expect("the folder is writable");
    let stdout = std::fs::File::create(&out).expect("the folder is writable");
    let mut program = sentrynet();
    program.arg("run").arg(&file).args(["--format", "json"]).stdout(stdout).stderr(Stdio::null());
    let running = Running::spawn(&mut program);
    let runs = || -> Vec<Value> {
        let text = std::fs::read_to_string(&out).expect("it was created");
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect("each line is a run")).collect()
    };
    let hostile = |run: &&Value| run["title"] != "good";
    let all = eventually("an end of all hostile ones", || {
        let runs = runs();
        (runs.iter().filter(hostile).count() == COUNT).then_some(runs)
    });
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).expect("it runs still");
    drop(running);

    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says what it had at most");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("it is a number");
    assert!(peak < MOST_MIB << 10, "{} MiB", peak >> 10);
    for run in all.iter().filter(hostile) {
        let title = run["title"].as_str().expect("a title is text");
        let (_, _, expected) = HOSTILE.iter().find(|(what, ..)| title.starts_with(&format!("{what} "))).expect(title);
        assert_eq!(run["outcome"], "broken", "{run:#}");
        assert_eq!(run["failure"]["reason"], *expected, "{run:#}");
    }
    let good: Vec<_> = all.iter().filter(|run| run["title"] == "good").collect();
    assert!(good.len() > 1, "it ran {} times", good.len());
    assert!(good.iter().all(|run| run["outcome"] == "passed"), "{good:#?}");
}
