//! Benchmarks of the whole program against servers on loopback, each beside a baseline that does the same work in a
//! bare client. `cargo bench` measures all cases, `cargo bench -- plain tls` some; see `cargo bench -- --help`.
//!
//! A cost is the CPU time, user and system, of the whole process, divided by the number of checks that the target saw
//! in that time. The repetitions of host and baseline alternate, so that other load on the machine affects both. The
//! share of the machine that other processes took is printed as noise; above 5 % the figures are unreliable. Absolute
//! figures hold for this machine only, ratios are more portable, and instruction counts are reproducible.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

mod baseline;
/// Hostile guests, which the tests have too.
#[path = "../tests/guests.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod guests;
mod host;
mod machine;
mod measure;
mod process;
mod cases;
mod servers;
mod support;
mod table;

use cases::CASES;
use measure::Bench;

/// Measures what probes cost, and prints a table of figures, baselines and goals
#[derive(Parser)]
struct Arguments {
    /// Cases to measure (default: all; see `--list`)
    cases: Vec<String>,
    /// List the cases
    #[arg(long)]
    list: bool,
    /// Duration of each repetition, in seconds
    #[arg(long, default_value_t = 10.0)]
    secs: f64,
    /// Number of repetitions; the median is reported
    #[arg(long, default_value_t = 3)]
    reps: usize,
    /// One repetition of 4 s: shows that everything works, too short for a comparison
    #[arg(long)]
    quick: bool,
    /// Duration of the cases `soak` and `hostile`, in minutes
    #[arg(long, default_value_t = 1)]
    soak: u32,
    /// Also write the table to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Passed by `cargo bench`, and not by `cargo test --benches`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run_subcommand() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_subcommand() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some(process::WITH_DEATH_SIGNAL) => process::exec_with_death_signal(arguments),
        Some(servers::SUBCOMMAND) => servers::serve(arguments.next().context("`serve` needs a folder")?.as_ref()),
        Some(baseline::SUBCOMMAND) => {
            baseline::run_baseline(&arguments.next().context("`baseline` needs its settings as JSON")?)
        }
        Some(cases::sandbox::SUBCOMMAND) => cases::sandbox::measure_in_this_process(),
        _ => run_cases(Arguments::parse()),
    }
}

fn run_cases(arguments: Arguments) -> Result<()> {
    if !arguments.bench {
        println!("nothing is measured: run `cargo bench`");
        return Ok(());
    }
    if arguments.list {
        for case in CASES {
            println!("{:14}{}", case.name, case.summary);
        }
        return Ok(());
    }
    for given in &arguments.cases {
        let known = CASES.iter().any(|case| case.name == *given);
        anyhow::ensure!(known, "there is no case `{given}`: see `--list`");
    }
    let (secs, reps) = if arguments.quick { (4.0, 1) } else { (arguments.secs, arguments.reps.max(1)) };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    exit_on_sigint(folder.path().to_owned())?;
    println!("{}", machine::describe());
    println!("{reps} x {secs} s for each case; the table is printed at the end\n");
    let mut bench = Bench::new(folder.path(), secs, reps, arguments.soak)?;
    let mut failed = Vec::new();
    let selected =
        CASES.iter().filter(|case| arguments.cases.is_empty() || arguments.cases.iter().any(|name| name == case.name));
    for case in selected {
        println!("{}: {}", case.name, case.summary);
        if let Err(error) = (case.measure)(&mut bench) {
            println!("  measurement failed: {error:#}");
            failed.push(case.name);
        }
    }
    println!("\n{}", table::render(&bench.figures));
    if let Some(file) = arguments.json {
        let json = serde_json::json!({ "machine": machine::describe(), "lines": bench.figures });
        std::fs::write(&file, json.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    }
    anyhow::ensure!(failed.is_empty(), "measurements failed: {}", failed.join(", "));
    Ok(())
}

/// Removes the folder and exits with code 130 on SIGINT. Child processes die with this one.
fn exit_on_sigint(folder: PathBuf) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            let _ = std::fs::remove_dir_all(folder);
            let _ = std::io::stdout().flush();
            std::process::exit(130);
        }
    });
    Ok(())
}
