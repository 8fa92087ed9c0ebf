//! The measurement that all cases share: a process runs against the servers, warms up, and is observed over a fixed
//! time. Hosts and baselines are measured in the same way.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::baseline::{self, Baseline};
use crate::host::{Config, Setup};
use crate::process::{Child, Resources, Snapshot, Usage, benchmark_command, monotonic_ns};
use crate::servers::{Counts, Events, Servers};
use crate::table::Figure;

/// The state that all cases share.
pub struct Bench {
    pub folder: PathBuf,
    /// The folder of probes that are compiled already.
    pub cache: PathBuf,
    pub secs: f64,
    pub reps: usize,
    pub soak: u32,
    pub figures: Vec<Figure>,
}

/// The result of one repetition.
pub struct Measurement {
    pub usage: Usage,
    /// The number of checks that the target saw in the measured time.
    pub checks: u64,
    pub resources: Resources,
    /// The start and the end of the measured time, by [`monotonic_ns`].
    pub from: u64,
    pub until: u64,
}

/// The result of one repetition of the host, and what the servers saw of all its runs until it was stopped.
pub struct HostRun {
    pub measurement: Measurement,
    pub counts: Counts,
    pub events: Events,
}

/// The time limit for the first check.
const FIRST_CHECK_TIMEOUT: Duration = Duration::from_secs(60);
/// The time from the first check until caches, pools and the schedule are in their steady state.
const WARM_UP: Duration = Duration::from_secs(3);
/// The time limit for the host to end after SIGTERM. It is longer than the limit that the host sets itself.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(15);

impl Bench {
    pub fn new(folder: &Path, secs: f64, reps: usize, soak: u32) -> Result<Self> {
        let (folder, cache) = (folder.to_owned(), folder.join("cache"));
        let bench = Self { folder, cache, secs, reps, soak, figures: Vec::new() };
        // Compile the built-in probes into the cache.
        let probe = "probe: http, url: 'http://localhost:1/'";
        let chain = "probe: chain, title: '{n}', steps: [{url: 'http://localhost:1/'}]";
        for probe in [probe, chain] {
            let output = bench.setup(&Config::with_probes(1, probe))?.command(&["check"]).output()?;
            if !output.status.success() {
                bail!("`check` failed: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
        Ok(bench)
    }

    pub fn setup(&self, config: &Config) -> Result<Setup> {
        Setup::new(config, &self.folder, &self.cache)
    }

    pub fn report(&mut self, figure: Figure) {
        println!("{}", figure.describe());
        self.figures.push(figure);
    }

    /// Runs the host with a configuration, measures it, and stops it.
    pub fn measure_host(&self, servers: &mut Servers, config: &Config) -> Result<HostRun> {
        servers.reset_counts()?;
        let setup = self.setup(config)?;
        let mut child = setup.start()?;
        let measurement = self.measure_process(servers, &mut child)?;
        child.stop(STOP_TIMEOUT)?;
        Ok(HostRun { measurement, counts: servers.counts()?, events: servers.take_events()? })
    }

    pub fn measure_baseline(&self, servers: &mut Servers, baseline: &Baseline) -> Result<Measurement> {
        servers.reset_counts()?;
        let mut command = benchmark_command(baseline::SUBCOMMAND);
        command.arg(serde_json::to_string(baseline)?);
        let mut child = Child::start(command, self.folder.join("baseline.log"))?;
        self.measure_process(servers, &mut child)
    }

    fn measure_process(&self, servers: &mut Servers, child: &mut Child) -> Result<Measurement> {
        wait_until(servers, child, |counts| counts.target.requests > 0)?;
        std::thread::sleep(WARM_UP);
        let (before, from) = (servers.counts()?, monotonic_ns());
        let begun = take_snapshot(servers, child)?;
        std::thread::sleep(Duration::from_secs_f64(self.secs));
        let ended = take_snapshot(servers, child)?;
        let (after, until) = (servers.counts()?, monotonic_ns());
        child.ensure_running()?;
        let checks = after.target.requests - before.target.requests;
        if checks == 0 {
            bail!("the target saw no checks");
        }
        Ok(Measurement {
            usage: begun.usage_until(&ended),
            checks,
            resources: Resources::of(child.pid())?,
            from,
            until,
        })
    }
}

impl Measurement {
    /// Returns the CPU time of one check, in microseconds.
    pub fn cpu_micros_per_check(&self) -> f64 {
        self.usage.cpu_secs / self.checks as f64 * 1e6
    }

    pub fn checks_per_second(&self) -> f64 {
        self.checks as f64 / self.usage.wall_secs
    }
}

impl HostRun {
    /// Returns the lateness of each start, in milliseconds, for the runs that were reported in the measured time.
    pub fn lateness(&self) -> Vec<f64> {
        let Measurement { from, until, .. } = self.measurement;
        let reported = self.events.transactions.iter().filter(|transaction| (from..until).contains(&transaction.at));
        reported.filter_map(|transaction| transaction.lateness).collect()
    }

    /// Returns a description of the loss or the duplicates if the receiver did not get each run exactly once, as
    /// passed.
    pub fn delivery_problem(&self) -> Option<String> {
        let (target, receiver) = (&self.counts.target, &self.counts.receiver);
        let complete = receiver.transactions == target.requests;
        let once = receiver.duplicates == 0 && receiver.unreadable == 0 && receiver.discarded.is_empty();
        (!complete || !once || receiver.failed > 0).then(|| {
            format!(
                "of {} runs {} were delivered, {} of them failed, {} came twice; discarded: {:?}",
                target.requests, receiver.transactions, receiver.failed, receiver.duplicates, receiver.discarded
            )
        })
    }
}

pub fn take_snapshot(servers: &Servers, child: &Child) -> Result<Snapshot> {
    Snapshot::take(child.pid(), &[servers.pid()])
}

/// Waits until `done` returns true for the servers' counts. Returns an error after [`FIRST_CHECK_TIMEOUT`].
pub fn wait_until(servers: &mut Servers, child: &mut Child, done: impl Fn(&Counts) -> bool) -> Result<()> {
    wait_until_within(FIRST_CHECK_TIMEOUT, servers, child, done)
}

pub fn wait_until_within(
    timeout: Duration,
    servers: &mut Servers,
    child: &mut Child,
    done: impl Fn(&Counts) -> bool,
) -> Result<()> {
    let begun = Instant::now();
    loop {
        let counts = servers.counts()?;
        if done(&counts) {
            return Ok(());
        }
        child.ensure_running()?;
        if begun.elapsed() > timeout {
            bail!("the servers did not see what was expected within {timeout:?}; counts so far: {counts:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Returns the value below which the given share of the values lies, or NaN if there are none.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

pub fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}
