//! A configuration of 10,000 probes that is reloaded each second under load: how long a reload takes, and by how much
//! it delays the starts of runs. Every second configuration is broken on purpose.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;

use crate::host::Config;
use crate::measure::{Bench, STOP_TIMEOUT, median, percentile, wait_until};
use crate::process::{Child, monotonic_ns};
use crate::servers::{Events, Servers};
use crate::table::{Figure, Goal};

const PROBES: usize = 10_000;
/// The period of each probe: 1000 start each second.
const EVERY_SECS: u64 = 10;
/// The time limit for one reload.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What the servers saw while the host ran, and the seconds that each reload took.
struct Observed {
    lateness: Vec<f64>,
    reloads: Vec<f64>,
    problem: Option<String>,
}

/// Measures reloads, beside the same load without any.
pub fn measure_reload(bench: &mut Bench) -> Result<()> {
    let servers = &mut Servers::start(&bench.folder)?;
    let without = observe(bench, servers, false)?;
    let with = observe(bench, servers, true)?;
    let slowest = with.reloads.iter().copied().fold(0.0, f64::max);
    let figure = Figure::new("reload", "10,000 probes with one changed", median(&with.reloads), "s");
    let note = format!("{} reloads, of which half were refused; {slowest:.3} s at most", with.reloads.len());
    bench.report(figure.goal(Goal::AtMost(0.5)).problem(with.problem.clone()).note(note));
    for (label, share) in [("p50", 0.5), ("p99", 0.99)] {
        let [without, with_reloads] = [&without, &with].map(|observed| percentile(&observed.lateness, share));
        let label = format!("delay of starts by reloads each second, {label}");
        let figure = Figure::new("reload", label, with_reloads - without, "ms").goal(Goal::AtMost(5.0));
        bench.report(figure.note(format!("{with_reloads:.2} ms late, {without:.2} ms without reloads")));
    }
    Ok(())
}

/// Returns the configuration after this number of reloads. One probe differs in each.
fn config(servers: &Servers, reload: usize) -> Config {
    let url = format!("http://localhost:{}/t", servers.ports.plain);
    let probe = format!("probe: http, title: '{{n}}', url: '{url}/{{n}}', every: {EVERY_SECS}");
    let mut config = Config::with_probes(PROBES, &probe).reporting_to(servers);
    config.probes.push(format!("probe: http, title: 'changed {reload}', url: '{url}/{PROBES}', every: {EVERY_SECS}"));
    if reload % 2 == 1 {
        config.probes.push("probe: http, url: 7".to_owned());
    }
    config
}

fn observe(bench: &Bench, servers: &mut Servers, has_reloads: bool) -> Result<Observed> {
    servers.reset_counts()?;
    let setup = bench.setup(&config(servers, 0))?;
    let mut child = setup.start_with(&["run", "--no-watch"])?;
    wait_until(servers, &mut child, |counts| counts.target.requests > 0)?;
    // All probes have started once by then.
    std::thread::sleep(Duration::from_secs(EVERY_SECS + 2));
    let (from, mut reloads) = (monotonic_ns(), Vec::new());
    let begun = Instant::now();
    for reload in 1..=bench.secs.ceil() as usize {
        if has_reloads {
            let next = config(servers, reload);
            let new = setup.folder.path().join("new.yaml");
            std::fs::write(&new, setup.yaml(&next))?;
            std::fs::rename(&new, setup.config_file())?;
            reloads.push(reload_secs(&mut child, &setup.folder.path().join("host.log"), reload)?);
        }
        let until = Duration::from_secs(reload as u64);
        std::thread::sleep(until.saturating_sub(begun.elapsed()));
    }
    let until = monotonic_ns();
    child.stop(STOP_TIMEOUT)?;
    let (counts, events) = (servers.counts()?, servers.take_events()?);
    let (requests, delivered) = (counts.target.requests, counts.receiver.transactions);
    let problem = (requests != delivered || counts.receiver.duplicates > 0).then(|| {
        format!("of {requests} runs {delivered} were delivered, {} of them twice", counts.receiver.duplicates)
    });
    let problem = problem.or_else(|| missing_runs(&events));
    let transactions = events.transactions.iter().filter(|transaction| (from..until).contains(&transaction.at));
    Ok(Observed { lateness: transactions.filter_map(|transaction| transaction.lateness).collect(), reloads, problem })
}

/// Has the host reload, and waits until it has. Returns the seconds that this took.
fn reload_secs(child: &mut Child, log: &Path, reload: usize) -> Result<f64> {
    let begun = Instant::now();
    child.signal(Signal::SIGHUP)?;
    loop {
        let text = std::fs::read_to_string(log)?;
        let ended = ["the configuration was reloaded", "the new configuration was refused"];
        if ended.iter().map(|part| text.matches(part).count()).sum::<usize>() >= reload {
            return Ok(begun.elapsed().as_secs_f64());
        }
        child.ensure_running()?;
        if begun.elapsed() > RELOAD_TIMEOUT {
            bail!("the host has not reloaded within {RELOAD_TIMEOUT:?}: {text}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Returns a description of the first run that is missing or doubled: a probe's requests at the target are not one
/// period apart.
fn missing_runs(events: &Events) -> Option<String> {
    let mut last = std::collections::HashMap::new();
    let every = EVERY_SECS as f64;
    for (path, at) in events.arrivals.iter().filter(|(path, _)| (*path as usize) < PROBES) {
        let Some(before) = last.insert(path, *at) else { continue };
        let seconds = (at - before) as f64 / 1e9;
        if (seconds - every).abs() > every / 2.0 {
            return Some(format!("two runs of the probe {path} are {seconds:.1} s apart instead of {every} s"));
        }
    }
    None
}
