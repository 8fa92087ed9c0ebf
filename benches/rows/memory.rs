//! Resident memory of the whole process: with probes that wait, with runs in flight, and after them. Runs are held in
//! flight by a target that does not answer before it is told to.

use std::time::Duration;

use anyhow::Result;

use crate::host::Plan;
use crate::measure::{Bench, until_within};
use crate::process::{Held, file_limit};
use crate::serve::Server;
use crate::serve::target::Mood;
use crate::table::{Goal, Line};

/// The first starts of many probes take their time.
const PATIENCE: Duration = Duration::from_secs(240);

/// Each probe has run once, and waits for the next time.
pub fn configured(bench: &mut Bench) -> Result<()> {
    const FEW: usize = 1000;
    const MANY: usize = 11_000;
    // What an allocator keeps of the start differs from one to another, and is much beside so few.
    let mut starts = (0..3).map(|_| waiting(bench, FEW)).collect::<Result<Vec<_>>>()?;
    starts.sort_by(|one, other| one.resident.total_cmp(&other.resident));
    let few = starts.swap_remove(1);
    let line = Line::new("memory", "1000 probes", few.resident / 1e6, "MB").goal(Goal::AtMost(60.0));
    bench.say(line.note(few.to_string()));
    let many = waiting(bench, MANY)?;
    let each = (many.resident - few.resident) / (MANY - FEW) as f64 / 1024.0;
    bench.say(Line::new("memory", "each further one", each, "KB").goal(Goal::AtMost(2.0)).note(many.to_string()));
    Ok(())
}

fn waiting(bench: &Bench, probes: usize) -> Result<Held> {
    let server = &mut Server::start(&bench.folder)?;
    let url = format!("http://localhost:{}/t", server.ports.plain);
    let plan =
        Plan::of(probes, &format!("probe: http, title: '{{n}}', url: '{url}/{{n}}', every: 300")).sent_to(server);
    let setup = bench.setup(&plan)?;
    let child = &mut setup.run()?;
    until_within(PATIENCE, server, child, |counts| counts.receiver.transactions >= probes as u64)?;
    std::thread::sleep(Duration::from_secs(3));
    Held::by(child.pid())
}

/// Ten thousand runs at once: each is held until all are there.
pub fn in_flight(bench: &mut Bench) -> Result<()> {
    const RUNS: usize = 10_000;
    const EVERY: u64 = 20;
    const AFTER: Duration = Duration::from_secs(10);
    let server = &mut Server::start(&bench.folder)?;
    let url = format!("http://localhost:{}/t", server.ports.plain);
    let probe = format!("probe: http, title: '{{n}}', url: '{url}/{{n}}', every: {EVERY}, timeout: 200");
    let top = format!("limits: {{in_flight: {RUNS}, deadline: 200}}");
    let plan = Plan { top, ..Plan::of(RUNS, &probe).sent_to(server) };
    let setup = bench.setup(&plan)?;
    let child = &mut setup.run()?;
    // Once around, so that what probes keep from run to run is there before.
    until_within(PATIENCE, server, child, |counts| counts.receiver.transactions >= RUNS as u64)?;
    let before = Held::by(child.pid())?;
    server.target(Mood::Hold)?;
    let all = until_within(4 * Duration::from_secs(EVERY), server, child, |counts| counts.target.held >= RUNS as u64);
    let held = server.counts()?.target.held;
    let peak = Held::by(child.pid())?;
    // The target does not notice whoever went away.
    let gone = (peak.files < held as usize).then(|| format!("only {} connections were open", peak.files));
    server.target(Mood::Well)?;
    std::thread::sleep(AFTER);
    let after = Held::by(child.pid())?;
    let counts = server.counts()?;

    let each = |of: fn(&Held) -> f64| (of(&peak) - of(&before)) / held.max(1) as f64 / 1024.0;
    let files = file_limit(child.pid()).unwrap_or_default();
    let failed = (counts.receiver.failed > 0).then(|| format!("{} runs failed", counts.receiver.failed));
    let short = all.err().map(|_| format!("only {held} were held at once"));
    let wrong: Vec<_> = [short, gone, failed].into_iter().flatten().collect();
    let wrong = (!wrong.is_empty()).then(|| wrong.join(", "));
    let line = Line::new("in-flight", "each of 10,000 runs at once, in pages", each(|held| held.pages), "KB");
    bench.say(
        line.goal(Goal::AtMost(150.0))
            .wrong(wrong)
            .note(format!("{:.0} KB where shared pages count each time", each(|held| held.resident)))
            .note(format!("before: {before}"))
            .note(format!("with {held} in flight: {peak} of {files} that it may have open")),
    );
    // The load is the same as before.
    let line = Line::new("in-flight", "resident 10 s after the peak", after.resident / 1e6, "MB");
    bench.say(line.floor("before it", before.resident / 1e6).goal(Goal::Times(1.25)).note(format!("after: {after}")));
    Ok(())
}
