//! Many checks a second, each delivered, on a machine that is shared with the target and the receiver: how many checks
//! are possible, how late they start according to the host itself, and how accurate the recorded phases are.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::baseline::{Client, Pacing};
use crate::cases::cpu_cost::baseline_config;
use crate::host::Config;
use crate::measure::{Bench, HostRun, percentile};
use crate::process::cores;
use crate::servers::{Arrival, Servers};
use crate::table::{Figure, Goal};

const RATES: [usize; 10] = [1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10_000];
/// The lateness (p99) above which a rate counts as not sustained, in milliseconds.
const MAX_LATENESS_MS: f64 = 100.0;

/// Measures the highest rate of a ramp that is sustained: all checks made, p99 of lateness below [`MAX_LATENESS_MS`],
/// each run delivered once.
pub fn measure_saturation(bench: &mut Bench) -> Result<()> {
    let servers = &mut Servers::start(&bench.folder)?;
    let url = format!("http://localhost:{}/t", servers.ports.plain);
    let mut highest_rate = 0.0;
    let (mut notes, mut noise) = (Vec::new(), Vec::new());
    for rate in RATES {
        let run = run_at_rate(bench, servers, rate, 1, &url)?;
        let late = percentile(&run.lateness(), 0.99);
        noise.push(run.measurement.usage.noise);
        let problem = run.delivery_problem();
        notes.push(format!(
            "{rate} a second configured: {}{}",
            describe_load(&run, 1.0),
            problem.as_deref().map_or(String::new(), |problem| format!("; {problem}"))
        ));
        let share = run.measurement.checks_per_second() / rate as f64;
        if share > 0.98 && late < MAX_LATENESS_MS && problem.is_none() {
            highest_rate = run.measurement.checks_per_second();
        }
        // A higher rate would give fewer checks.
        if share < 0.9 {
            break;
        }
    }
    let baseline =
        bench.measure_baseline(servers, &baseline_config(bench, servers, Client::Hyper, &url, Pacing::ClosedLoop))?;
    let figure = Figure::new("saturation", "with lateness p99 < 100 ms", highest_rate, "a second")
        .compared_with("hyper + envelope, one after the other", baseline.checks_per_second())
        .goal(Goal::AtLeast(3000.0))
        .noise(noise);
    bench.report(notes.into_iter().fold(figure, Figure::note));
    Ok(())
}

/// Measures the lateness of 1000 starts a second from 5000 probes.
pub fn measure_lateness(bench: &mut Bench) -> Result<()> {
    let servers = &mut Servers::start(&bench.folder)?;
    let url = format!("http://localhost:{}/t", servers.ports.plain);
    let run = run_at_rate(bench, servers, 5000, 5, &url)?;
    let late = run.lateness();
    ensure!(!late.is_empty(), "no transaction says how late its run started");
    for (what, share, most) in [("p50 of 1000 starts a second", 0.5, 1.0), ("p99", 0.99, 20.0)] {
        let figure = Figure::new("lateness", what, percentile(&late, share), "ms").goal(Goal::AtMost(most));
        let figure = figure.noise([run.measurement.usage.noise]).problem(run.delivery_problem());
        bench.report(if share < 0.9 { figure.note(describe_load(&run, 5.0)) } else { figure });
    }
    Ok(())
}

/// Measures the difference between the phases in transactions and the delays that the target made, by its own clock.
pub fn measure_accuracy(bench: &mut Bench) -> Result<()> {
    let servers = &mut Servers::start(&bench.folder)?;
    let port = servers.ports.plain;
    let delays = ["wait/5", "wait/20", "wait/50", "body/20"];
    let probe = |n: usize| {
        let delay = delays[n % delays.len()];
        format!("probe: http, title: '{delay} {n}', url: 'http://localhost:{port}/{delay}/{n}', every: 1")
    };
    let config = Config { probes: (0..1000).map(probe).collect(), ..Config::default() }.reporting_to(servers);
    let run = bench.measure_host(servers, &config)?;
    let delays: HashMap<_, _> = run.events.delays.iter().map(|(trace, actual)| (trace, actual)).collect();
    let (mut wait, mut receive) = (Vec::new(), Vec::new());
    for transaction in run
        .events
        .transactions
        .iter()
        .filter(|transaction| (run.measurement.from..run.measurement.until).contains(&transaction.at))
    {
        let Some(actual) = delays.get(&transaction.trace) else { continue };
        wait.extend(transaction.wait.map(|recorded| (recorded - actual.wait).abs()));
        receive.extend(transaction.receive.map(|recorded| (recorded - actual.receive).abs()));
    }
    println!("    {} runs compared; {}", wait.len(), describe_load(&run, 1.0));
    for (phase, errors) in [("wait", wait), ("receive", receive)] {
        ensure!(!errors.is_empty(), "no transaction has a phase `{phase}` to compare");
        for (name, share, most) in [("p50", 0.5, 2.0), ("p99", 0.99, 10.0)] {
            let figure = Figure::new("accuracy", format!("{phase}, error {name}"), percentile(&errors, share), "ms");
            bench.report(
                figure.goal(Goal::AtMost(most)).noise([run.measurement.usage.noise]).problem(run.delivery_problem()),
            );
        }
    }
    Ok(())
}

fn run_at_rate(bench: &Bench, servers: &mut Servers, probes: usize, every: u32, url: &str) -> Result<HostRun> {
    let probe = format!("probe: http, title: '{{n}}', url: '{url}/{{n}}', every: {every}");
    bench.measure_host(servers, &Config::with_probes(probes, &probe).reporting_to(servers))
}

/// Returns rate, cost and lateness as one line. `every` is the probes' period in seconds.
fn describe_load(run: &HostRun, every: f64) -> String {
    let measurement = &run.measurement;
    let arrivals = run.events.arrivals.iter().filter(|(_, at)| (measurement.from..measurement.until).contains(at));
    let (lateness, deviations) = (run.lateness(), period_errors_ms(arrivals, every));
    let format_percentiles =
        |values: &[f64]| format!("p50 {:.2} p99 {:.1} ms", percentile(values, 0.5), percentile(values, 0.99));
    let mut text = format!(
        "{:.0} a second, {:.0} µs, {:.0} % of the machine; lateness {}",
        measurement.checks_per_second(),
        measurement.cpu_micros_per_check(),
        measurement.usage.cpu_secs / measurement.usage.wall_secs / cores() as f64 * 100.0,
        format_percentiles(&lateness),
    );
    if !deviations.is_empty() {
        text.push_str(&format!("; deviation from the period {}", format_percentiles(&deviations)));
    }
    text
}

/// Returns by how many milliseconds each arrival differs from one period after the arrival before it at the same path,
/// as the target saw it.
fn period_errors_ms<'a>(arrivals: impl Iterator<Item = &'a Arrival>, every: f64) -> Vec<f64> {
    let every = Duration::from_secs_f64(every).as_nanos() as f64;
    let mut last = HashMap::new();
    let errors = arrivals.filter_map(|(path, at)| {
        let before: u64 = last.insert(path, *at)?;
        Some(((at - before) as f64 - every).abs() / 1e6)
    });
    errors.collect()
}
