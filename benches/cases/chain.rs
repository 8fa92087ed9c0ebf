//! A chain of three requests over one connection, with values carried from one response to the next request by
//! JSONPath, beside hurl with the same requests. hurl has no schedule, so the host's chains run back to back as well;
//! neither reports its runs. The time that hurl takes to start is subtracted.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::host::Config;
use crate::measure::{Bench, median};
use crate::process::cpu_time_of_ended_children;
use crate::servers::Servers;
use crate::table::{Figure, Goal};

const BURST: u32 = 200;

pub fn measure_chain(bench: &mut Bench) -> Result<()> {
    let servers = &mut Servers::start(&bench.folder)?;
    let base = format!("http://localhost:{}/chain", servers.ports.plain);
    let hurl = std::env::var_os("HURL").unwrap_or_else(|| "hurl".into());
    let hurl = Command::new(&hurl).arg("--version").output().is_ok().then(|| PathBuf::from(hurl));
    let back_to_back = Config::with_probes(1, &chain_probe(&base, &format!("every: 1, burst: {BURST}")));
    let (mut costs, mut hurl_costs, mut noise) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.reps {
        let run = bench.measure_host(servers, &back_to_back)?;
        let target = &run.counts.target;
        ensure!(target.invalid == 0, "the target got an invalid request");
        ensure!(target.connections <= target.chains + 1, "a chain took more than one connection");
        noise.push(run.measurement.usage.noise);
        costs.push(3.0 * run.measurement.cpu_micros_per_check());
        if let Some(hurl) = &hurl {
            hurl_costs.push(hurl_cpu_micros(bench, servers, hurl, &base)?);
        }
    }
    let figure =
        Figure::new("chain", "three steps, back to back", median(&costs), "µs").goal(Goal::Times(1.0)).noise(noise);
    bench.report(match hurl {
        Some(_) => figure.compared_with("hurl", median(&hurl_costs)),
        None => figure.note("no comparison, as hurl is not installed: cargo install hurl"),
    });

    let spread = Config::with_probes(BURST as usize / 4, &chain_probe(&base, "every: 1")).reporting_to(servers);
    let run = bench.measure_host(servers, &spread)?;
    let figure =
        Figure::new("chain", "50 a second, spread and delivered", 3.0 * run.measurement.cpu_micros_per_check(), "µs");
    bench.report(figure.noise([run.measurement.usage.noise]));
    Ok(())
}

fn chain_probe(base: &str, schedule: &str) -> String {
    format!(
        "probe: chain, title: 'chain {{n}}', {schedule}, init_keys: {{user: probe}}, steps: [\
         {{url: '{base}/login', body: {{user: user, pass: x}}, expected: 200, set_keys: {{session: $.data.session}}}}, \
         {{url: '{base}/token', body: {{session: session}}, expected: 200, set_keys: {{token: '$.auth[0].token'}}}}, \
         {{url: '{base}/me?token={{token}}', set_keys: {{status: $.status}}, assertions: {{status: ok}}}}]"
    )
}

/// Returns hurl's CPU time for one chain, in microseconds.
fn hurl_cpu_micros(bench: &Bench, servers: &mut Servers, hurl: &PathBuf, base: &str) -> Result<f64> {
    const TIMES: u32 = 500;
    let file = bench.folder.join("chain.hurl");
    fs::write(
        &file,
        format!(
            "POST {base}/login\n{{\"user\":\"probe\",\"pass\":\"x\"}}\nHTTP 200\n\
             [Captures]\nsession: jsonpath \"$.data.session\"\n\n\
             POST {base}/token\n{{\"session\":\"{{{{session}}}}\"}}\nHTTP 200\n\
             [Captures]\ntoken: jsonpath \"$.auth[0].token\"\n\n\
             GET {base}/me?token={{{{token}}}}\nHTTP 200\n[Asserts]\njsonpath \"$.status\" == \"ok\"\n"
        ),
    )?;
    let mut cpu_secs = |times: u32| {
        servers.reset_counts()?;
        let before = cpu_time_of_ended_children()?;
        let output = Command::new(hurl)
            .args(["--test", "--no-color", "--jobs", "1", "--repeat", &times.to_string()])
            .arg(&file)
            .output()?;
        ensure!(output.status.success(), "hurl failed: {}", String::from_utf8_lossy(&output.stderr));
        ensure!(servers.counts()?.target.chains == u64::from(times), "not every chain was completed");
        Ok(cpu_time_of_ended_children()?.saturating_sub(before).as_secs_f64())
    };
    let (one, all) = (cpu_secs(1)?, cpu_secs(TIMES + 1)?);
    Ok((all - one) / f64::from(TIMES) * 1e6)
}
