//! Three requests in a row over one connection, what one answers carried to the next by JSONPath, beside hurl doing the
//! same: it has no schedule, so that ours are back to back as its are, and neither reports to anybody. Of hurl's time
//! that of its start is left out.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::host::Plan;
use crate::measure::{Bench, median};
use crate::process::cpu_of_the_ended;
use crate::serve::Server;
use crate::table::{Goal, Line};

const BURST: u32 = 200;

pub fn chain(bench: &mut Bench) -> Result<()> {
    let server = &mut Server::start(&bench.folder)?;
    let base = format!("http://localhost:{}/chain", server.ports.plain);
    let hurl = std::env::var_os("HURL").unwrap_or_else(|| "hurl".into());
    let hurl = Command::new(&hurl).arg("--version").output().is_ok().then(|| PathBuf::from(hurl));
    let in_a_row = Plan::of(1, &script(&base, &format!("every: 1, burst: {BURST}")));
    let (mut ours, mut theirs, mut noise) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.reps {
        let lived = bench.host(server, &in_a_row)?;
        let target = &lived.all.target;
        ensure!(target.wrong == 0, "the target was asked for what it does not have");
        ensure!(target.connections <= target.chains + 1, "a chain took more than one connection");
        noise.push(lived.measured.took.noise);
        ours.push(3.0 * lived.measured.cost());
        if let Some(hurl) = &hurl {
            theirs.push(hurl_cost(bench, server, hurl, &base)?);
        }
    }
    let line = Line::new("chain", "three steps, in a row", median(&ours), "µs").goal(Goal::Times(1.0)).noise(noise);
    bench.say(match hurl {
        Some(_) => line.floor("hurl", median(&theirs)),
        None => line.note("hurl is not installed, to compare with: cargo install hurl"),
    });

    let spread = Plan::of(BURST as usize / 4, &script(&base, "every: 1")).sent_to(server);
    let lived = bench.host(server, &spread)?;
    let line = Line::new("chain", "50 a second, spread and delivered", 3.0 * lived.measured.cost(), "µs");
    bench.say(line.noise([lived.measured.took.noise]));
    Ok(())
}

fn script(base: &str, when: &str) -> String {
    format!(
        "probe: chain, title: 'chain {{n}}', {when}, init_keys: {{user: probe}}, steps: [\
         {{url: '{base}/login', body: {{user: user, pass: x}}, expected: 200, set_keys: {{session: $.data.session}}}}, \
         {{url: '{base}/token', body: {{session: session}}, expected: 200, set_keys: {{token: '$.auth[0].token'}}}}, \
         {{url: '{base}/me?token={{token}}', set_keys: {{status: $.status}}, assertions: {{status: ok}}}}]"
    )
}

/// Microseconds of CPU time for a chain.
fn hurl_cost(bench: &Bench, server: &mut Server, hurl: &PathBuf, base: &str) -> Result<f64> {
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
    let mut spent = |times: u32| {
        server.forget()?;
        let before = cpu_of_the_ended()?;
        let output = Command::new(hurl)
            .args(["--test", "--no-color", "--jobs", "1", "--repeat", &times.to_string()])
            .arg(&file)
            .output()?;
        ensure!(output.status.success(), "hurl says: {}", String::from_utf8_lossy(&output.stderr));
        ensure!(server.counts()?.target.chains == u64::from(times), "not every chain came to its end");
        Ok(cpu_of_the_ended()?.saturating_sub(before).as_secs_f64())
    };
    let (one, all) = (spent(1)?, spent(TIMES + 1)?);
    Ok((all - one) / f64::from(TIMES) * 1e6)
}
