//! The sandbox alone, by the library, called over and over in one process. The value with a goal is the
//! cost of a check of settings by the http component: a new store with its limits, the instance, the call that parses
//! the settings, and the drop, together with the host's check of the settings against the schema. A run whose request
//! is refused costs more: the move to another thread and back, the trace, the failure with its evidence, and the
//! redaction of secrets in it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::unistd::Pid;
use sentrynet::config::{self, Source};
use sentrynet::propagation::EventDefaults;
use sentrynet::sandbox::{Compiler, Sandbox};
use serde::{Deserialize, Serialize};

use crate::measure::{Bench, median};
use crate::process::{benchmark_command, cpu_time};
use crate::table::{Figure, Goal};

/// The subcommand that measures the sandbox in its own process.
pub const SUBCOMMAND: &str = "sandbox";

const CONFIGURATION: &str = "groups: [{probes: [{probe: http, url: 'http://127.0.0.1:1/', allow: {hosts: []}}]}]";
const WARM_UP_CALLS: u32 = 2000;
const MEASURED_CALLS: u32 = 20_000;

/// CPU times of one call, in microseconds.
#[derive(Serialize, Deserialize)]
struct Cost {
    check: f64,
    run: f64,
}

pub fn measure_sandbox(bench: &mut Bench) -> Result<()> {
    let costs = (0..bench.reps)
        .map(|_| measure_in_child(&mut benchmark_command(SUBCOMMAND), bench))
        .collect::<Result<Vec<_>>>()?;
    let all = |value: fn(&Cost) -> f64| costs.iter().map(value).collect::<Vec<_>>();
    let figure = Figure::new("sandbox", "http checks its settings", median(&all(|cost| cost.check)), "µs");
    bench.report(figure.goal(Goal::AtMost(25.0)));
    bench.report(Figure::new("sandbox", "a run whose request is refused", median(&all(|cost| cost.run)), "µs"));
    Ok(())
}

fn measure_in_child(command: &mut Command, bench: &Bench) -> Result<Cost> {
    command
        .env("XDG_CACHE_HOME", &bench.cache)
        .env("XDG_STATE_HOME", bench.cache.join("state"))
        .env("HOME", &bench.folder);
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Measures the costs in this process, and prints them as JSON.
pub fn measure_in_this_process() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let cost = runtime.block_on(async {
        let source = Source {
            name: "bench".to_owned(),
            text: CONFIGURATION.to_owned(),
            path: None,
            directory: ".".into(),
            probe: None,
            files: Vec::new(),
        };
        let draft = config::parse(&source, &|_| None);
        ensure!(draft.errors.is_empty(), "{:?}", draft.errors);
        let config = draft.config;
        let sandbox =
            Sandbox::new(1, None, EventDefaults::new(&config.sentry), config.secrets.clone(), Compiler::ThisProcess)?;
        let probe = config.probes.first().context("the configuration has no probe")?;
        let check = cpu_micros_per_call(async || sandbox.load(probe, Path::new(".")).await.is_ok()).await?;
        let loaded = sandbox.load(probe, Path::new(".")).await;
        let (probe, _) = loaded.map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        let run = cpu_micros_per_call(async || !probe.run(Instant::now()).await.outcome.passed()).await?;
        Ok(Cost { check, run })
    })?;
    println!("{}", serde_json::to_string(&cost)?);
    Ok(())
}

/// Returns the CPU time of the whole process for one of many calls, in microseconds. Each call must return true.
async fn cpu_micros_per_call(mut call: impl AsyncFnMut() -> bool) -> Result<f64> {
    for _ in 0..WARM_UP_CALLS {
        ensure!(call().await, "a call has an unexpected result");
    }
    let before = cpu_time(Pid::this())?;
    for _ in 0..MEASURED_CALLS {
        ensure!(call().await, "a call has an unexpected result");
    }
    Ok(cpu_time(Pid::this())?.saturating_sub(before).as_secs_f64() / f64::from(MEASURED_CALLS) * 1e6)
}
