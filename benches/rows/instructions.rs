//! Instructions of a run, counted by callgrind: they are the same on a busy machine, and from one day to the next on one
//! of this kind. Counted is `once` with few and with many copies of a probe, less what `check` takes for the same; the
//! difference is what one more run costs, without the program's start and without its configuration. A line of text for
//! each is in it, what the kernel does is not.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::host::{PROGRAM, Plan};
use crate::measure::{Bench, median};
use crate::serve::Server;
use crate::table::Line;

const FEW: usize = 20;
const MANY: usize = 120;

pub fn instructions(bench: &mut Bench) -> Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("  valgrind is not installed: apt-get install valgrind");
        return Ok(());
    }
    let server = &mut Server::start(&bench.folder)?;
    let probe = format!("probe: http, title: '{{n}}', url: 'http://localhost:{}/t/{{n}}'", server.ports.plain);
    // The processor that valgrind shows is another one, so that probes are compiled anew.
    count(bench, "check", &Plan::of(1, &probe))?;
    for (what, sent) in [("a check, plain", false), ("a check, delivered", true)] {
        let runs = |copies| {
            let plan = Plan::of(copies, &probe);
            let plan = if sent { plan.sent_to(server) } else { plan };
            anyhow::Ok(count(bench, "once", &plan)? - count(bench, "check", &plan)?)
        };
        let mut figures = Vec::new();
        for _ in 0..bench.reps {
            figures.push((runs(MANY)? - runs(FEW)?) / (MANY - FEW) as f64 / 1e3);
        }
        let each = figures.iter().map(|figure| format!("{figure:.0}")).collect::<Vec<_>>().join(" ");
        bench.say(Line::new("instructions", what, median(&figures), "thousand").note(each));
    }
    Ok(())
}

/// All instructions of a command on a plan.
fn count(bench: &Bench, command: &str, plan: &Plan) -> Result<f64> {
    let setup = bench.setup(plan)?;
    let out = setup.folder.path().join("callgrind.out");
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display())).arg(PROGRAM);
    let output = setup.dress(valgrind, &[command]).output()?;
    ensure!(output.status.success(), "`{command}` under valgrind: {}", String::from_utf8_lossy(&output.stderr));
    let profile = std::fs::read_to_string(&out)?;
    let total = profile.lines().find_map(|line| line.strip_prefix("summary:").or(line.strip_prefix("totals:")));
    total.and_then(|total| total.trim().parse().ok()).context("callgrind gives no total")
}
