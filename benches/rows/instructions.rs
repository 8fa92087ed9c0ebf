//! Instructions of a run, counted by callgrind: they are the same on a busy machine, and from one day to the next on one
//! of this kind. Counted is `once` with few and with many copies of a probe, less what `check` takes for the same; the
//! difference is what one more run costs, without the program's start and without its configuration. A line of text for
//! each is in it, what the kernel does is not. Whose instructions they are is told by the names of functions, those of
//! generic ones by the first crate that they name.

use std::collections::{BTreeMap, HashMap};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::host::{PROGRAM, Plan};
use crate::measure::{Bench, median};
use crate::serve::Server;
use crate::table::Line;

const FEW: usize = 20;
const MANY: usize = 120;

pub fn instructions(bench: &mut Bench) -> Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("  valgrind is not installed: apt-get install valgrind");
        return Ok(());
    }
    let server = &mut Server::start(&bench.folder)?;
    let probe = format!("probe: http, title: '{{n}}', url: 'http://localhost:{}/t/{{n}}'", server.ports.plain);
    // The processor that valgrind shows is another one, so that probes are compiled anew.
    count(bench, "check", &Plan::of(1, &probe))?;
    for (what, sent) in [("a check, plain", false), ("a check, delivered", true)] {
        let runs = |copies| {
            let plan = Plan::of(copies, &probe);
            let plan = if sent { plan.sent_to(server) } else { plan };
            anyhow::Ok(less(count(bench, "once", &plan)?, &count(bench, "check", &plan)?))
        };
        let mut figures = Vec::new();
        let mut shares = Shares::new();
        for _ in 0..bench.reps {
            shares = less(runs(MANY)?, &runs(FEW)?);
            for count in shares.values_mut() {
                *count /= (MANY - FEW) as f64 * 1e3;
            }
            figures.push(shares.values().sum());
        }
        let each = figures.iter().map(|figure| format!("{figure:.0}")).collect::<Vec<_>>().join(" ");
        let line = Line::new("instructions", what, median(&figures), "thousand").note(each);
        bench.say(line.note(in_words(&shares)));
    }
    Ok(())
}

/// Instructions, by whose they are.
type Shares = BTreeMap<&'static str, f64>;

fn less(mut shares: Shares, others: &Shares) -> Shares {
    for (whose, count) in others {
        *shares.entry(whose).or_default() -= count;
    }
    shares
}

/// The largest first.
fn in_words(shares: &Shares) -> String {
    let mut sorted: Vec<_> = shares.iter().collect();
    sorted.sort_by(|one, other| other.1.total_cmp(one.1));
    sorted.iter().map(|(whose, count)| format!("{whose} {count:.0}")).collect::<Vec<_>>().join(", ")
}

/// Whose a function is.
fn whose(function: &str) -> &'static str {
    /// The first that a name holds counts.
    const OWNERS: [(&str, &[&str]); 6] = [
        ("sandbox (wasmtime)", &["wasmtime", "cranelift"]),
        (
            "client (reqwest, hyper, rustls)",
            &["reqwest", "hyper", "http::", "http_", "tower", "rustls", "url::", "h2::"],
        ),
        ("event loop (tokio)", &["tokio", "mio::"]),
        ("ours", &["sentrynet"]),
        ("memory (mimalloc)", &["mi_"]),
        ("the C library", &["getaddrinfo", "pthread", "GLIBC", "libc_"]),
    ];
    // Compiled when the component was loaded, it has no name.
    if function.starts_with("0x") {
        return "the guest's";
    }
    // What a processor does in a few steps, valgrind counts byte by byte.
    if ["__memcpy", "__memset", "__memmove"].iter().any(|name| function.starts_with(name)) {
        return "copying";
    }
    let place = |marks: &[&str]| marks.iter().filter_map(|mark| function.find(mark)).min();
    let owners = OWNERS.iter().filter_map(|(whose, marks)| Some((place(marks)?, *whose)));
    owners.min().map_or("the rest", |(_, whose)| whose)
}

/// Reads callgrind's own file: a function's name stands in full where it comes first, and calls are followed by a line
/// that has what was called.
fn shares(profile: &str) -> Shares {
    let mut known = HashMap::new();
    let (mut current, mut called) = ("", false);
    let mut shares = Shares::new();
    for line in profile.lines() {
        if let Some((kind, named)) = line.split_once("fn=") {
            let (id, name) = named.split_once(' ').unwrap_or((named, ""));
            if !name.is_empty() {
                known.insert(id, name);
            }
            if kind.is_empty() {
                current = known.get(id).copied().unwrap_or_default();
            }
        } else if line.starts_with("calls=") {
            called = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let count = line.split(' ').nth(1).and_then(|count| count.parse::<f64>().ok()).unwrap_or_default();
            if !std::mem::take(&mut called) {
                *shares.entry(whose(current)).or_default() += count;
            }
        }
    }
    shares
}

/// All instructions of a command on a plan.
fn count(bench: &Bench, command: &str, plan: &Plan) -> Result<Shares> {
    let setup = bench.setup(plan)?;
    let out = setup.folder.path().join("callgrind.out");
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display())).arg(PROGRAM);
    let output = setup.dress(valgrind, &[command]).output()?;
    ensure!(output.status.success(), "`{command}` under valgrind: {}", String::from_utf8_lossy(&output.stderr));
    let profile = std::fs::read_to_string(&out)?;
    let shares = shares(&profile);
    let total = profile.lines().find_map(|line| line.strip_prefix("summary:").or(line.strip_prefix("totals:")));
    let total: f64 = total.and_then(|total| total.trim().parse().ok()).context("callgrind gives no total")?;
    ensure!(
        (shares.values().sum::<f64>() - total).abs() < total / 100.0,
        "callgrind's file is not what we take it for"
    );
    Ok(shares)
}
