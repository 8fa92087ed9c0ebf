//! Ten well-behaved probes beside a hundred hostile ones of all kinds, for `--soak` minutes: lateness and outcomes of
//! the former, and the memory of the host. The limits are those of an operator who trusts nobody: each run has 4 MiB
//! and 50 ms of CPU time, and all runs together have 64 MiB.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::guests::hostile::{self, COMPUTING, holding_memory};
use crate::guests::{Guest, HTTP, PASSES};
use crate::host::Config;
use crate::measure::{Bench, STOP_TIMEOUT, median, percentile, wait_until};
use crate::process::Resources;
use crate::servers::Servers;
use crate::table::{Figure, Goal};

const GOOD_PROBES: usize = 10;
const HOSTILE_PROBES: usize = 100;
/// Seconds between two runs of a probe.
const GOOD_INTERVAL: f64 = 0.5;
const HOSTILE_INTERVAL: f64 = 5.0;
/// The domain of the names that a guest of [`using_network`] asks for. RFC 2606 reserves it: no name below it exists.
const NAMES_DOMAIN: &str = "hostile.invalid";
const LIMITS: &str = "limits: {memory: 4 MiB, total_memory: 64 MiB, cpu: 0.05, handles: 2000}";

/// Measures the well-behaved probes alone, and then beside the hostile ones.
pub fn measure_hostile(bench: &mut Bench) -> Result<()> {
    let servers = &mut Servers::start(&bench.folder)?;
    let port = servers.ports.plain;
    let good = Config::with_probes(
        GOOD_PROBES,
        &format!("probe: http, title: 'good {{n}}', url: 'http://127.0.0.1:{port}/t/{{n}}', every: {GOOD_INTERVAL}"),
    );
    let good = Config { top_level_keys: LIMITS.to_owned(), ..good.reporting_to(servers) };
    let mut beside = Config { probes: good.probes.clone(), dsn: good.dsn.clone(), ..Config::default() };
    beside.top_level_keys.clone_from(&good.top_level_keys);
    beside.probes.extend(hostile_probes(port)?);

    let alone = observe(bench, servers, &good, Duration::from_secs_f64(bench.secs))?;
    let beside = observe(bench, servers, &beside, Duration::from_secs(u64::from(bench.soak) * 60))?;
    for (label, share, goal) in [("lateness p50", 0.5, None), ("lateness p99", 0.99, Some(Goal::AtMost(20.0)))] {
        let figure = Figure::new("hostile", label, percentile(&beside.lateness, share), "ms");
        let figure = figure.compared_with("alone", percentile(&alone.lateness, share));
        bench.report(match goal {
            Some(goal) => figure.goal(goal),
            None => figure,
        });
    }
    let expected = beside.secs * GOOD_PROBES as f64 / GOOD_INTERVAL;
    let share = Figure::new("hostile", "runs of good probes", beside.lateness.len() as f64 / expected * 100.0, "%");
    bench.report(share.goal(Goal::AtLeast(99.0)).problem(beside.problem));
    let third = beside.resident.len() / 3;
    let (earlier, last) = (&beside.resident[third..2 * third], &beside.resident[beside.resident.len() - third..]);
    let memory = Figure::new("hostile", "resident memory", median(last), "MB");
    bench.report(memory.compared_with("a third earlier", median(earlier)).goal(Goal::Times(1.1)));
    let peak = Figure::new("hostile", "peak memory", beside.peak, "MB").compared_with("alone", alone.peak);
    bench.report(peak.note("total_memory is 67 MB"));
    Ok(())
}

/// Returns the mappings of the hostile probes.
fn hostile_probes(port: u16) -> Result<Vec<String>> {
    let computing = COMPUTING.iter().map(|(name, guest, _)| (*name, *guest));
    let guests: Vec<_> = computing.chain(holding_memory()).chain(using_network(port)).collect();
    let mut files = Vec::new();
    for (name, guest) in &guests {
        files.push((*name, hostile::write(&format!("hostile-{}", name.replace(' ', "-")), guest)));
    }
    let garbage = crate::guests::write_wasm("hostile-garbage", b"\0asm\x0d\0\x01\0garbage");
    files.push(("garbage", garbage));
    let probe = |index: usize| {
        let (name, file) = &files[index % files.len()];
        let mut keys = format!("probe: '{}', title: '{name} {index}', every: {HOSTILE_INTERVAL}", file.display());
        write!(keys, ", allow: {{log: true, hosts: [h, '127.0.0.1:{port}', '*.{NAMES_DOMAIN}']}}")?;
        Ok(keys)
    };
    (0..HOSTILE_PROBES).map(probe).collect()
}

/// Returns guests that use the network as much as they may, each with its name: one sends requests to `port` of this
/// machine, the other asks for the addresses of many names below [`NAMES_DOMAIN`].
fn using_network(port: u16) -> Vec<(&'static str, Guest)> {
    let url = format!("http://127.0.0.1:{port}/t/999");
    let name = format!("http://aaa.{NAMES_DOMAIN}/");
    // The request's handle is the first one of the guest.
    let requests = format!(
        "(call $request (i32.const 1200) (i32.const 3) (i32.const 1203) (i32.const {}) (i32.const 1160))
         (loop (global.set $free (i32.const 2048)) (call $send (i32.const 1) (i32.const 1160)) br 0)
         i32.const 0",
        url.len()
    );
    // Two letters of the name count in base 26.
    let names = format!(
        "(local $n i32)
         (loop
           (global.set $free (i32.const 2048))
           (i32.store8 (i32.const 1210) (i32.add (i32.const 97) (i32.rem_u (local.get $n) (i32.const 26))))
           (i32.store8 (i32.const 1211)
             (i32.add (i32.const 97) (i32.rem_u (i32.div_u (local.get $n) (i32.const 26)) (i32.const 26))))
           (call $request (i32.const 1200) (i32.const 3) (i32.const 1203) (i32.const {}) (i32.const 1160))
           (call $send (i32.load (i32.const 1164)) (i32.const 1160))
           (call $drop (i32.load (i32.const 1164)))
           (local.set $n (i32.add (local.get $n) (i32.const 1)))
           br 0)
         i32.const 0",
        name.len()
    );
    let guest = |url: &str, run: String| {
        let define = format!(r#"(data (i32.const 1200) "GET{url}")"#);
        Guest { imports: HTTP, define: define.leak(), run: run.leak(), ..PASSES }
    };
    vec![("requests", guest(&url, requests)), ("names", guest(&name, names))]
}

/// The observation of one configuration.
struct Observation {
    secs: f64,
    /// Lateness of the starts of good probes, in milliseconds.
    lateness: Vec<f64>,
    /// Samples of the resident memory, in MB.
    resident: Vec<f64>,
    /// The greatest resident memory, in MB.
    peak: f64,
    /// A description of runs of good probes that did not pass, if there were any.
    problem: Option<String>,
}

fn observe(bench: &Bench, servers: &mut Servers, config: &Config, duration: Duration) -> Result<Observation> {
    /// The number of samples, at equal intervals over the whole duration.
    const SAMPLES: u32 = 30;
    servers.reset_counts()?;
    let setup = bench.setup(config)?;
    let child = &mut setup.start()?;
    wait_until(servers, child, |counts| counts.receiver.transactions >= 4 * GOOD_PROBES as u64)?;
    servers.reset_counts()?;
    let begun = Instant::now();
    let mut observed = Observation {
        secs: duration.as_secs_f64(),
        lateness: Vec::new(),
        resident: Vec::new(),
        peak: 0.0,
        problem: None,
    };
    let mut not_passed = 0;
    for sample in 1..=SAMPLES {
        std::thread::sleep((begun + duration * sample / SAMPLES).saturating_duration_since(Instant::now()));
        child.ensure_running()?;
        let resources = Resources::of(child.pid())?;
        let good: Vec<_> =
            servers.take_events()?.transactions.into_iter().filter(|run| run.title.starts_with("good ")).collect();
        let lateness: Vec<_> = good.iter().filter_map(|run| run.lateness).collect();
        not_passed += good.iter().filter(|run| !run.passed).count();
        let [half, most] = [0.5, 0.99].map(|share| percentile(&lateness, share));
        println!(
            "    {:5.0} s: {resources}; {} good runs, lateness p50 {half:.2} p99 {most:.1} ms",
            begun.elapsed().as_secs_f64(),
            good.len()
        );
        observed.lateness.extend(lateness);
        observed.resident.push(resources.resident / 1e6);
        observed.peak = resources.peak_resident / 1e6;
    }
    observed.secs = begun.elapsed().as_secs_f64();
    child.stop(STOP_TIMEOUT).context("after the observation")?;
    observed.problem = (not_passed > 0).then(|| format!("{not_passed} runs of good probes did not pass"));
    Ok(observed)
}
