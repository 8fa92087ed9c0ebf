//! The sandbox alone, by the library, in the same process over and over. What the goal means is closest to having the http
//! component check its settings: a new store with its limits, the instance, the call with settings that it parses, the
//! drop; counted with it is that the host holds the settings against the schema before. A run whose request is refused is
//! more: besides the way to the thread that computes and back, the trace, the failure with its evidence, the search for
//! secrets in it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::unistd::Pid;
use sentrynet::config::{self, Source};
use sentrynet::propagation::Origin;
use sentrynet::sandbox::Sandbox;
use serde::{Deserialize, Serialize};

use crate::measure::{Bench, median};
use crate::process::{cpu, ourselves};
use crate::table::{Goal, Line};

/// The argument that makes us this.
pub const PART: &str = "sandbox";

const CONFIGURATION: &str = "groups: [{probes: [{probe: http, url: 'http://127.0.0.1:1/', allow: {hosts: []}}]}]";
const WARM: u32 = 2000;
const TIMES: u32 = 20_000;

/// Microseconds of CPU time.
#[derive(Serialize, Deserialize)]
struct Cost {
    check: f64,
    run: f64,
}

pub fn sandbox(bench: &mut Bench) -> Result<()> {
    let costs = (0..bench.reps).map(|_| measure(&mut ourselves(PART), bench)).collect::<Result<Vec<_>>>()?;
    let all = |of: fn(&Cost) -> f64| costs.iter().map(of).collect::<Vec<_>>();
    let line = Line::new("sandbox", "http checks its settings", median(&all(|cost| cost.check)), "µs");
    bench.say(line.goal(Goal::AtMost(25.0)));
    bench.say(Line::new("sandbox", "a run whose request is refused", median(&all(|cost| cost.run)), "µs"));
    Ok(())
}

fn measure(command: &mut Command, bench: &Bench) -> Result<Cost> {
    command.env("XDG_CACHE_HOME", &bench.cache).env("HOME", &bench.folder);
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Measures, and prints the costs as JSON.
pub fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let cost = runtime.block_on(async {
        let source = Source {
            name: "bench".to_owned(),
            text: CONFIGURATION.to_owned(),
            path: None,
            directory: ".".into(),
            probe: None,
        };
        let draft = config::parse(&source, &|_| None);
        ensure!(draft.problems.is_empty(), "{:?}", draft.problems);
        let config = draft.config;
        let mut sandbox = Sandbox::new(1, None, Origin::new(&config.sentry), config.secrets.clone())?;
        let probe = config.probes.first().context("it was just configured")?;
        let check = each(async || sandbox.load(probe, Path::new(".")).await.is_ok()).await?;
        let loaded = sandbox.load(probe, Path::new(".")).await;
        let (probe, _) = loaded.map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        let run = each(async || !probe.run(Instant::now()).await.outcome.passed()).await?;
        Ok(Cost { check, run })
    })?;
    println!("{}", serde_json::to_string(&cost)?);
    Ok(())
}

/// Microseconds of CPU time that the whole process takes for one of many, each of which must come out right.
async fn each(mut one: impl AsyncFnMut() -> bool) -> Result<f64> {
    for _ in 0..WARM {
        ensure!(one().await, "it comes out otherwise than it should");
    }
    let before = cpu(Pid::this())?;
    for _ in 0..TIMES {
        ensure!(one().await, "it comes out otherwise than it should");
    }
    Ok(cpu(Pid::this())?.saturating_sub(before).as_secs_f64() / f64::from(TIMES) * 1e6)
}
