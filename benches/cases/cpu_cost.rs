//! The CPU time of a check, beside a baseline with the same spacing of checks. The spacing matters more than the work:
//! a check that comes alone wakes an idle machine and finds cold caches.

use anyhow::Result;

use crate::baseline::{Baseline, Client, Pacing};
use crate::host::Config;
use crate::measure::{Bench, HostRun, Measurement, median};
use crate::servers::{Servers, certificate};
use crate::table::{Figure, Goal};

const RATE: u32 = 200;

/// A case of the host that is compared with a baseline.
struct Comparison<'a> {
    case: &'static str,
    label: &'a str,
    config: Config,
    baseline: Baseline,
    baseline_name: &'a str,
    goal: f64,
}

pub fn measure_plain(bench: &mut Bench) -> Result<()> {
    let servers = &mut Servers::start(&bench.folder)?;
    let url = format!("http://localhost:{}/t", servers.ports.plain);
    let baseline = baseline_config(bench, servers, Client::Reqwest, &url, Pacing::Even(RATE));
    let baseline = Baseline { envelopes: None, ..baseline };
    let config = Config::with_probes(RATE as usize, &format!("probe: http, url: '{url}/{{n}}', every: 1"));
    let baseline_name = "reqwest, a client for each";
    compare(bench, servers, Comparison { case: "plain", label: "spread", config, baseline, baseline_name, goal: 1.25 })
}

pub fn measure_delivered(bench: &mut Bench) -> Result<()> {
    let servers = &mut Servers::start(&bench.folder)?;
    let url = format!("http://localhost:{}/t", servers.ports.plain);
    measure_evenly_spaced(bench, servers, "delivered", &url, 1.25)
}

/// Measures bursts from one probe, one check after the other as in the baseline; and from eight probes at once, as many
/// as the host lets start together (`IMMEDIATE_STARTS`).
pub fn measure_bursts(bench: &mut Bench) -> Result<()> {
    let servers = &mut Servers::start(&bench.folder)?;
    let url = format!("http://localhost:{}/t", servers.ports.plain);
    for (label, probes) in [("one after the other", 1), ("eight at a time", 8)] {
        let baseline = baseline_config(bench, servers, Client::Hyper, &url, Pacing::Bursts(RATE));
        let burst = RATE / probes;
        let probe = format!("probe: http, url: '{url}/{{n}}', every: 1, burst: {burst}");
        let config = Config::with_probes(probes as usize, &probe).reporting_to(servers);
        let baseline_name = "hyper + envelope";
        compare(bench, servers, Comparison { case: "bursts", label, config, baseline, baseline_name, goal: 1.3 })?;
    }
    Ok(())
}

pub fn measure_tls(bench: &mut Bench) -> Result<()> {
    let servers = &mut Servers::start(&bench.folder)?;
    let url = format!("https://localhost:{}/t", servers.ports.tls);
    measure_evenly_spaced(bench, servers, "tls", &url, 1.15)
}

/// Measures evenly spaced checks that are reported to the receiver.
fn measure_evenly_spaced(
    bench: &mut Bench,
    servers: &mut Servers,
    case: &'static str,
    url: &str,
    goal: f64,
) -> Result<()> {
    let baseline = baseline_config(bench, servers, Client::Hyper, url, Pacing::Even(RATE));
    let config =
        Config::with_probes(RATE as usize, &format!("probe: http, url: '{url}/{{n}}', every: 1")).reporting_to(servers);
    compare(
        bench,
        servers,
        Comparison { case, label: "spread", config, baseline, baseline_name: "hyper + envelope", goal },
    )
}

pub fn baseline_config(bench: &Bench, servers: &Servers, client: Client, url: &str, pacing: Pacing) -> Baseline {
    Baseline {
        client,
        url: format!("{url}/0"),
        envelopes: Some(format!("http://127.0.0.1:{}/api/42/envelope/", servers.ports.receiver)),
        authority: bench.folder.join(certificate::AUTHORITY_FILE),
        pacing,
    }
}

fn compare(bench: &mut Bench, servers: &mut Servers, comparison: Comparison) -> Result<()> {
    let Comparison { case, label, config, baseline, baseline_name, goal } = comparison;
    let (mut host_runs, mut baselines) = (Vec::new(), Vec::new());
    for _ in 0..bench.reps {
        host_runs.push(bench.measure_host(servers, &config)?);
        baselines.push(bench.measure_baseline(servers, &baseline)?);
    }
    let join = |costs: &[f64]| costs.iter().map(|cost| format!("{cost:.0}")).collect::<Vec<_>>().join(" ");
    let costs: Vec<_> = host_runs.iter().map(|run| run.measurement.cpu_micros_per_check()).collect();
    let baseline_costs: Vec<_> = baselines.iter().map(Measurement::cpu_micros_per_check).collect();
    let repetitions = format!("ours {}; baseline {}", join(&costs), join(&baseline_costs));
    let all = host_runs.iter().map(|run| &run.measurement).chain(&baselines);
    let figure = Figure::new(case, label, median(&costs), "µs")
        .compared_with(baseline_name, median(&baseline_costs))
        .goal(Goal::Times(goal))
        .noise(all.map(|measurement| measurement.usage.noise))
        .note(repetitions)
        .note(describe_usage(&host_runs, &baselines));
    let figure = match config.dsn {
        None => figure,
        Some(_) => {
            let runs: u64 = host_runs.iter().map(|run| run.counts.target.requests).sum();
            let problem = host_runs.iter().find_map(HostRun::delivery_problem);
            let success = problem.is_none().then(|| format!("{runs} runs, each delivered once"));
            success.into_iter().fold(figure.problem(problem), Figure::note)
        }
    };
    bench.report(figure);
    Ok(())
}

/// Returns the rate, context switches, memory and threads of host and baseline.
fn describe_usage(host_runs: &[HostRun], baselines: &[Measurement]) -> String {
    let compare = |value: &dyn Fn(&Measurement) -> f64| {
        let ours: Vec<_> = host_runs.iter().map(|run| value(&run.measurement)).collect();
        let theirs: Vec<_> = baselines.iter().map(value).collect();
        format!("{:.1} (baseline {:.1})", median(&ours), median(&theirs))
    };
    format!(
        "checks a second: {}; context switches a check: {}; resident MB: {}; threads: {}",
        compare(&Measurement::checks_per_second),
        compare(&|measurement| measurement.usage.context_switches as f64 / measurement.checks as f64),
        compare(&|measurement| measurement.resources.resident / 1e6),
        compare(&|measurement| measurement.resources.threads as f64),
    )
}
