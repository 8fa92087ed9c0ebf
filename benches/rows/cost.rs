//! CPU time of a check, beside a floor of the same shape: how checks are spread decides more than what they do, since one
//! that comes alone wakes a sleeping machine and finds cold caches.

use anyhow::Result;

use crate::floor::{Client, Floor, Pace};
use crate::host::Plan;
use crate::measure::{Bench, Lived, Measured, median};
use crate::serve::{Server, certificate};
use crate::table::{Goal, Line};

const RATE: u32 = 200;

/// A line to be measured.
struct Contest<'a> {
    row: &'static str,
    what: &'a str,
    plan: Plan,
    floor: Floor,
    name: &'a str,
    goal: f64,
}

pub fn plain(bench: &mut Bench) -> Result<()> {
    let server = &mut Server::start(&bench.folder)?;
    let url = format!("http://localhost:{}/t", server.ports.plain);
    let floor = floor(bench, server, Client::Reqwest, &url, Pace::Even(RATE));
    let floor = Floor { envelopes: None, ..floor };
    let plan = Plan::of(RATE as usize, &format!("probe: http, url: '{url}/{{n}}', every: 1"));
    let name = "reqwest, a client for each";
    contest(bench, server, Contest { row: "plain", what: "spread", plan, floor, name, goal: 1.25 })
}

pub fn delivered(bench: &mut Bench) -> Result<()> {
    let server = &mut Server::start(&bench.folder)?;
    let url = format!("http://localhost:{}/t", server.ports.plain);
    spread(bench, server, "delivered", &url, 1.25)
}

/// In a row, as the floor has them; and from eight probes side by side, which is as many as start together.
pub fn bursts(bench: &mut Bench) -> Result<()> {
    let server = &mut Server::start(&bench.folder)?;
    let url = format!("http://localhost:{}/t", server.ports.plain);
    for (what, side_by_side) in [("one after the other", 1), ("eight at a time", 8)] {
        let floor = floor(bench, server, Client::Hyper, &url, Pace::Bursts(RATE));
        let burst = RATE / side_by_side;
        let probe = format!("probe: http, url: '{url}/{{n}}', every: 1, burst: {burst}");
        let plan = Plan::of(side_by_side as usize, &probe).sent_to(server);
        let name = "hyper + envelope";
        contest(bench, server, Contest { row: "bursts", what, plan, floor, name, goal: 1.3 })?;
    }
    Ok(())
}

pub fn tls(bench: &mut Bench) -> Result<()> {
    let server = &mut Server::start(&bench.folder)?;
    let url = format!("https://localhost:{}/t", server.ports.tls);
    spread(bench, server, "tls", &url, 1.15)
}

/// Delivered checks, spread evenly.
fn spread(bench: &mut Bench, server: &mut Server, row: &'static str, url: &str, goal: f64) -> Result<()> {
    let floor = floor(bench, server, Client::Hyper, url, Pace::Even(RATE));
    let plan = Plan::of(RATE as usize, &format!("probe: http, url: '{url}/{{n}}', every: 1")).sent_to(server);
    contest(bench, server, Contest { row, what: "spread", plan, floor, name: "hyper + envelope", goal })
}

pub fn floor(bench: &Bench, server: &Server, client: Client, url: &str, pace: Pace) -> Floor {
    Floor {
        client,
        url: format!("{url}/0"),
        envelopes: Some(format!("http://127.0.0.1:{}/api/42/envelope/", server.ports.receiver)),
        authority: bench.folder.join(certificate::NAME),
        pace,
    }
}

fn contest(bench: &mut Bench, server: &mut Server, contest: Contest) -> Result<()> {
    let Contest { row, what, plan, floor, name, goal } = contest;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..bench.reps {
        ours.push(bench.host(server, &plan)?);
        theirs.push(bench.floor(server, &floor)?);
    }
    let costs = |all: &[f64]| all.iter().map(|cost| format!("{cost:.0}")).collect::<Vec<_>>().join(" ");
    let our_costs: Vec<_> = ours.iter().map(|lived| lived.measured.cost()).collect();
    let their_costs: Vec<_> = theirs.iter().map(Measured::cost).collect();
    let repetitions = format!("ours {}; floor {}", costs(&our_costs), costs(&their_costs));
    let all = ours.iter().map(|lived| &lived.measured).chain(&theirs);
    let line = Line::new(row, what, median(&our_costs), "µs")
        .floor(name, median(&their_costs))
        .goal(Goal::Times(goal))
        .noise(all.map(|measured| measured.took.noise))
        .note(repetitions)
        .note(shape(&ours, &theirs));
    let line = match plan.dsn {
        None => line,
        Some(_) => {
            let runs: u64 = ours.iter().map(|lived| lived.all.target.requests).sum();
            let lost = ours.iter().find_map(Lived::lost);
            let whole = lost.is_none().then(|| format!("{runs} runs, each delivered once"));
            whole.into_iter().fold(line.wrong(lost), Line::note)
        }
    };
    bench.say(line);
    Ok(())
}

/// What else tells the two apart.
fn shape(ours: &[Lived], theirs: &[Measured]) -> String {
    let each = |of: &dyn Fn(&Measured) -> f64| {
        let ours: Vec<_> = ours.iter().map(|lived| of(&lived.measured)).collect();
        let theirs: Vec<_> = theirs.iter().map(of).collect();
        format!("{:.1} (floor {:.1})", median(&ours), median(&theirs))
    };
    format!(
        "a second: {}; context switches a check: {}; MB: {}; threads: {}",
        each(&Measured::rate),
        each(&|measured| measured.took.switches as f64 / measured.checks as f64),
        each(&|measured| measured.held.resident / 1e6),
        each(&|measured| measured.held.threads as f64),
    )
}
