//! What a check costs, on the clock: the whole program against loopback, beside the floors that the same work has with
//! nothing around it. `cargo bench` measures all rows, `cargo bench -- plain tls` some, `cargo bench -- --help` says
//! more.
//!
//! Costs are CPU time, user and system, of the whole process, divided by the checks that the target saw meanwhile. Ours
//! and the floor's repetitions take turns, so that whatever else the machine does meets both; how much that was is told,
//! and above 5 % the figures are worth little. Absolute figures are this machine's; ratios carry further, and
//! instruction counts are the same tomorrow.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

mod floor;
mod host;
mod machine;
mod measure;
mod process;
mod rows;
mod serve;
mod table;

use measure::Bench;
use rows::ROWS;

/// Measures what probes cost, and prints a table: each goal with its figure, beside its floor in the same run.
#[derive(Parser)]
struct Arguments {
    /// Measure these rows alone; `--list` has them
    rows: Vec<String>,
    /// Say which rows there are
    #[arg(long)]
    list: bool,
    /// Seconds of each repetition
    #[arg(long, default_value_t = 10.0)]
    secs: f64,
    /// Repetitions, of which the median counts
    #[arg(long, default_value_t = 3)]
    reps: usize,
    /// One repetition of 4 s: to see that all works, not to compare
    #[arg(long)]
    quick: bool,
    /// Minutes of the row `soak`
    #[arg(long, default_value_t = 1)]
    soak: u32,
    /// Write the table as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What `cargo bench` says; `cargo test --benches` does not
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match act() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act() -> Result<()> {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some(process::LEASH) => process::leash(words),
        Some(serve::PART) => serve::serve(words.next().context("where to?")?.as_ref()),
        Some(floor::PART) => floor::run(&words.next().context("which floor?")?),
        Some(rows::sandbox::PART) => rows::sandbox::run(),
        _ => bench(Arguments::parse()),
    }
}

fn bench(arguments: Arguments) -> Result<()> {
    if !arguments.bench {
        println!("nothing is measured: it takes `cargo bench`");
        return Ok(());
    }
    if arguments.list {
        for row in ROWS {
            println!("{:14}{}", row.name, row.summary);
        }
        return Ok(());
    }
    for given in &arguments.rows {
        let known = ROWS.iter().any(|row| row.name == *given);
        anyhow::ensure!(known, "there is no row `{given}`: `--list` has them");
    }
    let (secs, reps) = if arguments.quick { (4.0, 1) } else { (arguments.secs, arguments.reps.max(1)) };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    end_when_told(folder.path().to_owned())?;
    println!("{}", machine::describe());
    println!("{reps} x {secs} s each; the table comes at the end\n");
    let mut bench = Bench::new(folder.path(), secs, reps, arguments.soak)?;
    let mut failed = Vec::new();
    let wanted =
        ROWS.iter().filter(|row| arguments.rows.is_empty() || arguments.rows.iter().any(|name| name == row.name));
    for row in wanted {
        println!("{}: {}", row.name, row.summary);
        if let Err(error) = (row.measure)(&mut bench) {
            println!("  cannot be measured: {error:#}");
            failed.push(row.name);
        }
    }
    println!("\n{}", table::render(&bench.lines));
    if let Some(file) = arguments.json {
        let json = serde_json::json!({ "machine": machine::describe(), "lines": bench.lines });
        std::fs::write(&file, json.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    }
    anyhow::ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

/// Leaves nothing behind on SIGINT: children end with us, and the folder is removed.
fn end_when_told(folder: PathBuf) -> Result<()> {
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
