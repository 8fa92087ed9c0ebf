//! How long it takes until something happens, and how large the program is. Times are by the clock, from before the
//! process is made.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::host::{PROGRAM, Plan, Setup};
use crate::measure::{Bench, median};
use crate::process::{cpu_of_the_ended, now};
use crate::serve::Server;
use crate::table::{Goal, Line};

pub fn start(bench: &mut Bench) -> Result<()> {
    /// Starts are short, so that there can be more of them.
    const TIMES: usize = 5;
    let server = &mut Server::start(&bench.folder)?;
    let plan = Plan::of(1, &format!("probe: http, url: 'http://localhost:{}/t/{{n}}'", server.ports.plain));
    for (what, cold, most) in
        [("once, to the first connection", false, 50.0), ("the same, nothing compiled", true, 1000.0)]
    {
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let empty = tempfile::tempdir_in(&bench.folder)?;
            let cache = if cold { empty.path() } else { &bench.cache };
            times.push(first_connection(server, &Setup::new(&plan, &bench.folder, cache)?)?);
        }
        bench.say(Line::new("start", what, median(&times), "ms").goal(Goal::AtMost(most)));
    }

    let plan = Plan::of(10_000, "probe: http, title: '{n}', url: 'http://localhost:1/{n}', every: 300");
    let setup = bench.setup(&plan)?;
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    for _ in 0..bench.reps {
        let (begun, before) = (Instant::now(), cpu_of_the_ended()?);
        ended_well(&mut setup.command(&["check"]))?;
        walls.push(begun.elapsed().as_secs_f64());
        cpus.push(cpu_of_the_ended()?.saturating_sub(before).as_secs_f64());
    }
    let line = Line::new("start", "check of 10,000 probes", median(&walls), "s").goal(Goal::AtMost(2.0));
    bench.say(line.note(format!("{:.2} s of CPU time", median(&cpus))));
    Ok(())
}

fn first_connection(server: &mut Server, setup: &Setup) -> Result<f64> {
    server.forget()?;
    let begun = now();
    ended_well(&mut setup.command(&["once"]))?;
    let first = server.counts()?.target.first.context("nobody connected")?;
    Ok((first - begun) as f64 / 1e6)
}

fn ended_well(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "the host says: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

pub fn size(bench: &mut Bench) -> Result<()> {
    let bytes = |path: &Path| anyhow::Ok(std::fs::metadata(path)?.len() as f64 / 1e6);
    let built = bytes(Path::new(PROGRAM))?;
    let stripped = bench.folder.join("stripped");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(PROGRAM).status();
    if strip.is_ok_and(|status| status.success()) {
        let line = Line::new("size", "the program, stripped", bytes(&stripped)?, "MB").goal(Goal::AtMost(30.0));
        bench.say(line.note(format!("{built:.1} MB as it is built")));
    } else {
        bench.say(Line::new("size", "the program as it is built", built, "MB"));
        println!("    strip is not installed: apt-get install binutils");
    }
    Ok(())
}
