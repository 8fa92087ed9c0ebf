//! Instructions of a run, counted by callgrind. The count does not depend on other load, and stays the same from day to
//! day on one kind of machine. `once` is counted with few and with many copies of a probe, each time less `check` with
//! the same configuration; the difference is the cost of the further runs, without start and configuration. It includes
//! a line of output for each run, and no work of the kernel. Instructions are attributed to owners by function names; a
//! generic function belongs to the first crate in its name.

use std::collections::{BTreeMap, HashMap};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::host::{Config, PROGRAM};
use crate::measure::{Bench, median};
use crate::servers::Servers;
use crate::table::Figure;

const FEW_RUNS: usize = 20;
const MANY_RUNS: usize = 120;

pub fn measure_instructions(bench: &mut Bench) -> Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("  valgrind is not installed: apt-get install valgrind");
        return Ok(());
    }
    let servers = &mut Servers::start(&bench.folder)?;
    let probe = format!("probe: http, title: '{{n}}', url: 'http://localhost:{}/t/{{n}}'", servers.ports.plain);
    // Valgrind's virtual processor differs from the machine's, so that the probes are compiled again.
    count_instructions(bench, "check", &Config::with_probes(1, &probe))?;
    for (label, reported) in [("a check, plain", false), ("a check, delivered", true)] {
        let count_runs = |copies| {
            let config = Config::with_probes(copies, &probe);
            let config = if reported { config.reporting_to(servers) } else { config };
            anyhow::Ok(subtract(
                count_instructions(bench, "once", &config)?,
                &count_instructions(bench, "check", &config)?,
            ))
        };
        let mut figures = Vec::new();
        let mut counts = CountsByOwner::new();
        for _ in 0..bench.reps {
            counts = subtract(count_runs(MANY_RUNS)?, &count_runs(FEW_RUNS)?);
            for count in counts.values_mut() {
                *count /= (MANY_RUNS - FEW_RUNS) as f64 * 1e3;
            }
            figures.push(counts.values().sum());
        }
        let each = figures.iter().map(|figure| format!("{figure:.0}")).collect::<Vec<_>>().join(" ");
        let figure = Figure::new("instructions", label, median(&figures), "thousand").note(each);
        bench.report(figure.note(format_counts(&counts)));
    }
    Ok(())
}

/// Instructions by owner.
type CountsByOwner = BTreeMap<&'static str, f64>;

fn subtract(mut counts: CountsByOwner, others: &CountsByOwner) -> CountsByOwner {
    for (owner, count) in others {
        *counts.entry(owner).or_default() -= count;
    }
    counts
}

/// Formats the counts, the largest first.
fn format_counts(counts: &CountsByOwner) -> String {
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_by(|one, other| other.1.total_cmp(one.1));
    sorted.iter().map(|(owner, count)| format!("{owner} {count:.0}")).collect::<Vec<_>>().join(", ")
}

/// Returns the owner of a function.
fn owner_of(function: &str) -> &'static str {
    /// Owners with the patterns of their function names. The pattern that is found first in a name decides.
    const OWNERS: [(&str, &[&str]); 6] = [
        ("sandbox (wasmtime)", &["wasmtime", "cranelift"]),
        (
            "client (reqwest, hyper, rustls)",
            &["reqwest", "hyper", "http::", "http_", "tower", "rustls", "url::", "h2::"],
        ),
        ("event loop (tokio)", &["tokio", "mio::"]),
        ("the host", &["sentrynet"]),
        ("memory (mimalloc)", &["mi_"]),
        ("the C library", &["getaddrinfo", "pthread", "GLIBC", "libc_"]),
    ];
    // A function of a component has no name, because it was compiled at run time.
    if function.starts_with("0x") {
        return "the guest's";
    }
    // Valgrind counts an instruction for each byte that these copy. A processor copies many bytes with one instruction.
    if ["__memcpy", "__memset", "__memmove"].iter().any(|name| function.starts_with(name)) {
        return "copying";
    }
    let position = |patterns: &[&str]| patterns.iter().filter_map(|pattern| function.find(pattern)).min();
    let owners = OWNERS.iter().filter_map(|(owner, patterns)| Some((position(patterns)?, *owner)));
    owners.min().map_or("the rest", |(_, owner)| owner)
}

/// Parses callgrind's output format. A function's name stands in full at its first mention, and as a number later. The
/// line after `calls=` has the inclusive count of the called function, which is left out.
fn count_by_owner(profile: &str) -> CountsByOwner {
    let mut names = HashMap::new();
    let (mut current, mut is_call) = ("", false);
    let mut counts = CountsByOwner::new();
    for line in profile.lines() {
        if let Some((kind, id_and_name)) = line.split_once("fn=") {
            let (id, name) = id_and_name.split_once(' ').unwrap_or((id_and_name, ""));
            if !name.is_empty() {
                names.insert(id, name);
            }
            if kind.is_empty() {
                current = names.get(id).copied().unwrap_or_default();
            }
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let count = line.split(' ').nth(1).and_then(|count| count.parse::<f64>().ok()).unwrap_or_default();
            if !std::mem::take(&mut is_call) {
                *counts.entry(owner_of(current)).or_default() += count;
            }
        }
    }
    counts
}

/// Counts the instructions of one command with a configuration.
fn count_instructions(bench: &Bench, command: &str, config: &Config) -> Result<CountsByOwner> {
    let setup = bench.setup(config)?;
    let out = setup.folder.path().join("callgrind.out");
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display())).arg(PROGRAM);
    let output = setup.add_arguments(valgrind, &[command]).output()?;
    ensure!(output.status.success(), "`{command}` under valgrind: {}", String::from_utf8_lossy(&output.stderr));
    let profile = std::fs::read_to_string(&out)?;
    let counts = count_by_owner(&profile);
    let total = profile.lines().find_map(|line| line.strip_prefix("summary:").or(line.strip_prefix("totals:")));
    let total: f64 = total.and_then(|total| total.trim().parse().ok()).context("callgrind's output has no total")?;
    ensure!(
        (counts.values().sum::<f64>() - total).abs() < total / 100.0,
        "the counts in callgrind's output do not add up to its total"
    );
    Ok(counts)
}
