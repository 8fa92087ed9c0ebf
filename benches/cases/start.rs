//! Times from the start of the program, and its size. Times are wall-clock times, from before the process is created.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::host::{Config, PROGRAM, Setup};
use crate::measure::{Bench, median};
use crate::process::{cpu_time_of_ended_children, monotonic_ns};
use crate::servers::Servers;
use crate::table::{Figure, Goal};

pub fn measure_start(bench: &mut Bench) -> Result<()> {
    /// More repetitions than in other cases, since a start is short.
    const TIMES: usize = 5;
    let servers = &mut Servers::start(&bench.folder)?;
    let config =
        Config::with_probes(1, &format!("probe: http, url: 'http://localhost:{}/t/{{n}}'", servers.ports.plain));
    for (label, cold, most) in
        [("once, to the first connection", false, 50.0), ("the same, with an empty cache", true, 1000.0)]
    {
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let empty = tempfile::tempdir_in(&bench.folder)?;
            let cache = if cold { empty.path() } else { &bench.cache };
            times.push(millis_to_first_connection(servers, &Setup::new(&config, &bench.folder, cache)?)?);
        }
        bench.report(Figure::new("start", label, median(&times), "ms").goal(Goal::AtMost(most)));
    }

    let config = Config::with_probes(10_000, "probe: http, title: '{n}', url: 'http://localhost:1/{n}', every: 300");
    let setup = bench.setup(&config)?;
    let (mut wall_secs, mut cpu_secs) = (Vec::new(), Vec::new());
    for _ in 0..bench.reps {
        let (begun, before) = (Instant::now(), cpu_time_of_ended_children()?);
        run_successfully(&mut setup.command(&["check"]))?;
        wall_secs.push(begun.elapsed().as_secs_f64());
        cpu_secs.push(cpu_time_of_ended_children()?.saturating_sub(before).as_secs_f64());
    }
    let figure = Figure::new("start", "check of 10,000 probes", median(&wall_secs), "s").goal(Goal::AtMost(2.0));
    bench.report(figure.note(format!("{:.2} s of CPU time", median(&cpu_secs))));
    Ok(())
}

fn millis_to_first_connection(servers: &mut Servers, setup: &Setup) -> Result<f64> {
    servers.reset_counts()?;
    let begun = monotonic_ns();
    run_successfully(&mut setup.command(&["once"]))?;
    let first = servers.counts()?.target.first_connection.context("the target got no connection")?;
    Ok((first - begun) as f64 / 1e6)
}

fn run_successfully(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "the host failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

pub fn measure_size(bench: &mut Bench) -> Result<()> {
    let bytes = |path: &Path| anyhow::Ok(std::fs::metadata(path)?.len() as f64 / 1e6);
    let built = bytes(Path::new(PROGRAM))?;
    let stripped = bench.folder.join("stripped");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(PROGRAM).status();
    if strip.is_ok_and(|status| status.success()) {
        let figure = Figure::new("size", "the program, stripped", bytes(&stripped)?, "MB").goal(Goal::AtMost(30.0));
        bench.report(figure.note(format!("{built:.1} MB as it is built")));
    } else {
        bench.report(Figure::new("size", "the program as it is built", built, "MB"));
        println!("    strip is not installed: apt-get install binutils");
    }
    Ok(())
}
