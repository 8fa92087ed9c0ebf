//! The resident memory of the whole process: with waiting probes, with runs in flight, and after them. A target that
//! withholds its responses keeps runs in flight.

use std::time::Duration;

use anyhow::Result;

use crate::host::Config;
use crate::measure::{Bench, wait_until_within};
use crate::process::{Resources, file_limit};
use crate::servers::Servers;
use crate::servers::target::Mode;
use crate::table::{Figure, Goal};

/// The time limit for the first run of each probe.
const FIRST_RUNS_TIMEOUT: Duration = Duration::from_secs(240);

/// Measures the memory of configured probes that have run once and wait for their next start.
pub fn measure_configured(bench: &mut Bench) -> Result<()> {
    const FEW_PROBES: usize = 1000;
    const MANY_PROBES: usize = 11_000;
    // With so few probes, the memory that the allocator holds after the start matters. It varies, so that the median of
    // three starts is taken.
    let mut starts = (0..3).map(|_| measure_waiting(bench, FEW_PROBES)).collect::<Result<Vec<_>>>()?;
    starts.sort_by(|one, other| one.resident.total_cmp(&other.resident));
    let few = starts.swap_remove(1);
    let figure = Figure::new("memory", "1000 probes", few.resident / 1e6, "MB").goal(Goal::AtMost(60.0));
    bench.report(figure.note(few.to_string()));
    let many = measure_waiting(bench, MANY_PROBES)?;
    let each = (many.resident - few.resident) / (MANY_PROBES - FEW_PROBES) as f64 / 1024.0;
    bench.report(Figure::new("memory", "each further one", each, "KB").goal(Goal::AtMost(2.0)).note(many.to_string()));
    Ok(())
}

fn measure_waiting(bench: &Bench, probes: usize) -> Result<Resources> {
    let servers = &mut Servers::start(&bench.folder)?;
    let url = format!("http://localhost:{}/t", servers.ports.plain);
    let config = Config::with_probes(probes, &format!("probe: http, title: '{{n}}', url: '{url}/{{n}}', every: 300"))
        .reporting_to(servers);
    let setup = bench.setup(&config)?;
    let child = &mut setup.start()?;
    wait_until_within(FIRST_RUNS_TIMEOUT, servers, child, |counts| counts.receiver.transactions >= probes as u64)?;
    std::thread::sleep(Duration::from_secs(3));
    Resources::of(child.pid())
}

/// Measures the memory of 10,000 runs at once; the target withholds each response until all have connected.
pub fn measure_in_flight(bench: &mut Bench) -> Result<()> {
    const RUNS: usize = 10_000;
    const PERIOD_SECS: u64 = 20;
    const SETTLE_TIME: Duration = Duration::from_secs(10);
    let servers = &mut Servers::start(&bench.folder)?;
    let url = format!("http://localhost:{}/t", servers.ports.plain);
    let probe = format!("probe: http, title: '{{n}}', url: '{url}/{{n}}', every: {PERIOD_SECS}, timeout: 200");
    let top_level_keys = format!("limits: {{in_flight: {RUNS}, deadline: 200}}");
    let config = Config { top_level_keys, ..Config::with_probes(RUNS, &probe).reporting_to(servers) };
    let setup = bench.setup(&config)?;
    let child = &mut setup.start()?;
    // Each probe has run once, so that the memory of probes between their runs is part of `before`.
    wait_until_within(FIRST_RUNS_TIMEOUT, servers, child, |counts| counts.receiver.transactions >= RUNS as u64)?;
    let before = Resources::of(child.pid())?;
    servers.set_target_mode(Mode::Hold)?;
    let all = wait_until_within(4 * Duration::from_secs(PERIOD_SECS), servers, child, |counts| {
        counts.target.held >= RUNS as u64
    });
    let held = servers.counts()?.target.held;
    let peak = Resources::of(child.pid())?;
    // The target does not notice a client that has disconnected, so the host's files are counted too.
    let gone = (peak.files < held as usize).then(|| format!("only {} connections were open", peak.files));
    servers.set_target_mode(Mode::Healthy)?;
    std::thread::sleep(SETTLE_TIME);
    let after = Resources::of(child.pid())?;
    let counts = servers.counts()?;

    let increase_per_run = |value: fn(&Resources) -> f64| (value(&peak) - value(&before)) / held.max(1) as f64 / 1024.0;
    let files = file_limit(child.pid()).unwrap_or_default();
    let failed = (counts.receiver.failed > 0).then(|| format!("{} runs failed", counts.receiver.failed));
    let short = all.err().map(|_| format!("only {held} were held at once"));
    let problems: Vec<_> = [short, gone, failed].into_iter().flatten().collect();
    let problem = (!problems.is_empty()).then(|| problems.join(", "));
    let figure = Figure::new(
        "in-flight",
        "each of 10,000 runs at once, as PSS",
        increase_per_run(|resources| resources.proportional),
        "KB",
    );
    bench.report(
        figure
            .goal(Goal::AtMost(150.0))
            .problem(problem)
            .note(format!(
                "{:.0} KB as RSS, which counts a shared page for each mapping",
                increase_per_run(|resources| resources.resident)
            ))
            .note(format!("before: {before}"))
            .note(format!("with {held} in flight: {peak} of at most {files}")),
    );
    // Both values are measured with the same probes on the same schedule, whose runs are short again.
    let figure = Figure::new("in-flight", "resident 10 s after the peak", after.resident / 1e6, "MB");
    bench.report(
        figure
            .compared_with("before the peak", before.resident / 1e6)
            .goal(Goal::Times(1.25))
            .note(format!("after: {after}")),
    );
    Ok(())
}
