//! The host for a long time at half of its highest rate, while target and receiver have faults in turn. Memory, files
//! and lateness must stay flat, and each run must be delivered once. The samples of the last third of the time are
//! compared with those of the second third; a soak of a few minutes shows that the host survives, but not that these
//! values stay flat.

use std::time::{Duration, Instant};

use anyhow::Result;
use nix::unistd::Pid;

use crate::host::Config;
use crate::measure::{Bench, STOP_TIMEOUT, median, percentile, wait_until, wait_until_within};
use crate::process::Resources;
use crate::servers::{Servers, receiver, target};
use crate::table::{Figure, Goal};

/// Checks a second: half of what two cores sustain.
const CHECKS_PER_SECOND: usize = 5000;
/// The shortest soak, in minutes, whose thirds are compared: in a shorter one, the thirds have different faults.
const MIN_MINUTES_TO_COMPARE: u32 = 15;
/// The time limit for the delivery of what is queued at the end.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(180);

#[derive(Debug, Clone, Copy)]
enum Fault {
    Target(target::Mode),
    Receiver(receiver::Mode),
}

const FAULTS: [Fault; 5] = [
    Fault::Receiver(receiver::Mode::Down),
    Fault::Target(target::Mode::ResetConnections),
    Fault::Receiver(receiver::Mode::RateLimit),
    Fault::Target(target::Mode::Fail),
    Fault::Target(target::Mode::Hold),
];

/// One measurement of the host.
struct Sample {
    resources: Resources,
    /// Lateness in milliseconds, of the runs that were reported since the sample before.
    lateness: Vec<f64>,
}

pub fn measure_soak(bench: &mut Bench) -> Result<()> {
    let servers = &mut Servers::start(&bench.folder)?;
    let url = format!("http://localhost:{}/t", servers.ports.plain);
    let config =
        Config::with_probes(CHECKS_PER_SECOND, &format!("probe: http, title: '{{n}}', url: '{url}/{{n}}', every: 1"))
            .reporting_to(servers);
    let setup = bench.setup(&config)?;
    let child = &mut setup.start()?;
    wait_until(servers, child, |counts| counts.target.requests >= CHECKS_PER_SECOND as u64)?;
    servers.take_events()?;

    let seconds = u64::from(bench.soak) * 60;
    let sample_interval = (seconds / 30).clamp(2, 60);
    let fault_interval = (seconds / 6).clamp(10, 60);
    let fault_duration = (fault_interval / 2).min(10);
    let mut faults = FAULTS.iter().cycle();
    let (begun, mut fault, mut samples) = (Instant::now(), None, Vec::new());
    for second in 1..=seconds {
        std::thread::sleep((begun + Duration::from_secs(second)).saturating_duration_since(Instant::now()));
        // Samples are taken just before the next fault, so that the host has had the longest time to recover.
        if second % sample_interval == 0 {
            let sample = take_sample(servers, child.pid())?;
            println!(
                "    {second:5} s: {}{}",
                sample.describe(),
                fault.map(|fault| format!("; {fault:?}")).unwrap_or_default()
            );
            samples.push(sample);
            child.ensure_running()?;
        }
        if second % fault_interval == 0 {
            fault = faults.next();
            match fault {
                Some(Fault::Target(mode)) => servers.set_target_mode(*mode)?,
                Some(Fault::Receiver(mode)) => servers.set_receiver_mode(*mode)?,
                None => {}
            }
        } else if second % fault_interval == fault_duration && fault.take().is_some() {
            servers.set_target_mode(target::Mode::Healthy)?;
            servers.set_receiver_mode(receiver::Mode::Healthy)?;
        }
    }
    servers.set_target_mode(target::Mode::Healthy)?;
    servers.set_receiver_mode(receiver::Mode::Healthy)?;
    // A run whose connection was reset made no request that the target could count, but is reported all the same.
    let caught_up = wait_until_within(CATCH_UP_TIMEOUT, servers, child, |counts| {
        counts.receiver.transactions >= counts.target.requests
    });
    child.stop(STOP_TIMEOUT)?;
    let counts = servers.counts()?;
    let (delivered, duplicates) = (counts.receiver.transactions, counts.receiver.duplicates);
    let problem = caught_up.err().map(|error| format!("the queue was not delivered: {error:#}"));
    let discarded = !counts.receiver.discarded.is_empty();
    let problem = problem.or(discarded.then(|| format!("discarded: {:?}", counts.receiver.discarded)));
    let problem = problem.or((duplicates > 0).then(|| format!("{duplicates} runs were delivered twice")));
    report_last_third(bench, &samples);
    let figure =
        Figure::new("soak", "delivered", delivered as f64, "runs").goal(Goal::AtLeast(counts.target.requests as f64));
    bench.report(figure.problem(problem));
    Ok(())
}

/// Reports the means of the last third of the samples beside those of the third before.
fn report_last_third(bench: &mut Bench, samples: &[Sample]) {
    type Value = fn(&Sample) -> f64;
    let third = samples.len() / 3;
    let (earlier, last) = (&samples[third..2 * third], &samples[samples.len() - third..]);
    let values: [(&str, &str, Value); 4] = [
        ("resident memory", "MB", |sample| sample.resources.resident / 1e6),
        ("open files", "files", |sample| sample.resources.files as f64),
        ("threads", "threads", |sample| sample.resources.threads as f64),
        ("lateness p50", "ms", |sample| median(&sample.lateness)),
    ];
    for (label, unit, value) in values {
        let mean = |samples: &[Sample]| {
            // A sample without reported runs has no lateness.
            let known: Vec<_> = samples.iter().map(value).filter(|value| value.is_finite()).collect();
            known.iter().sum::<f64>() / known.len() as f64
        };
        let figure = Figure::new("soak", label, mean(last), unit).compared_with("a third earlier", mean(earlier));
        let figure = if bench.soak >= MIN_MINUTES_TO_COMPARE { figure.goal(Goal::Times(1.1)) } else { figure };
        bench.report(figure);
    }
}

fn take_sample(servers: &mut Servers, pid: Pid) -> Result<Sample> {
    let resources = Resources::of(pid)?;
    let lateness = servers.take_events()?.transactions.iter().filter_map(|transaction| transaction.lateness).collect();
    Ok(Sample { resources, lateness })
}

impl Sample {
    fn describe(&self) -> String {
        let [half, most] = [0.5, 0.99].map(|share| percentile(&self.lateness, share));
        format!("{}; {} runs reported, lateness p50 {half:.2} p99 {most:.1} ms", self.resources, self.lateness.len())
    }
}
