//! Many checks a second, each delivered, on a machine that is shared with the target and the receiver: how many there can
//! be, how late they start by the host's own account, and whether what it says of the target stays true.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::floor::{Client, Pace};
use crate::host::Plan;
use crate::measure::{Bench, Lived, percentile};
use crate::process::cores;
use crate::rows::cost::floor;
use crate::serve::{Arrival, Server};
use crate::table::{Goal, Line};

const RATES: [usize; 10] = [1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10_000];
/// Milliseconds: later than that, and it is no schedule.
const LATE: f64 = 100.0;

/// The most of a ramp that is held: all checks made, none late, each delivered.
pub fn saturation(bench: &mut Bench) -> Result<()> {
    let server = &mut Server::start(&bench.folder)?;
    let url = format!("http://localhost:{}/t", server.ports.plain);
    let mut held = 0.0;
    let (mut notes, mut noise) = (Vec::new(), Vec::new());
    for rate in RATES {
        let lived = at(bench, server, rate, 1, &url)?;
        let late = percentile(&lived.lateness(), 0.99);
        noise.push(lived.measured.took.noise);
        let lost = lived.lost();
        notes.push(format!(
            "{rate} asked: {}{}",
            account(&lived, 1.0),
            lost.as_deref().map_or(String::new(), |lost| format!("; {lost}"))
        ));
        let share = lived.measured.rate() / rate as f64;
        if share > 0.98 && late < LATE && lost.is_none() {
            held = lived.measured.rate();
        }
        // More would only be less.
        if share < 0.9 {
            break;
        }
    }
    let floor = bench.floor(server, &floor(bench, server, Client::Hyper, &url, Pace::Closed))?;
    let line = Line::new("saturation", "with lateness p99 < 100 ms", held, "a second")
        .floor("hyper + envelope, one after the other", floor.rate())
        .goal(Goal::AtLeast(3000.0))
        .noise(noise);
    bench.say(notes.into_iter().fold(line, Line::note));
    Ok(())
}

/// A thousand starts a second, of many probes.
pub fn lateness(bench: &mut Bench) -> Result<()> {
    let server = &mut Server::start(&bench.folder)?;
    let url = format!("http://localhost:{}/t", server.ports.plain);
    let lived = at(bench, server, 5000, 5, &url)?;
    let late = lived.lateness();
    ensure!(!late.is_empty(), "no transaction says how late its run started");
    for (what, share, most) in [("p50 of 1000 starts a second", 0.5, 1.0), ("p99", 0.99, 20.0)] {
        let line = Line::new("lateness", what, percentile(&late, share), "ms").goal(Goal::AtMost(most));
        let line = line.noise([lived.measured.took.noise]).wrong(lived.lost());
        bench.say(if share < 0.9 { line.note(account(&lived, 5.0)) } else { line });
    }
    Ok(())
}

/// How far the phases in transactions are from the delays that the target really made, by its own clock.
pub fn truth(bench: &mut Bench) -> Result<()> {
    let server = &mut Server::start(&bench.folder)?;
    let port = server.ports.plain;
    let ways = ["wait/5", "wait/20", "wait/50", "body/20"];
    let probe = |n: usize| {
        let way = ways[n % ways.len()];
        format!("probe: http, title: '{way} {n}', url: 'http://localhost:{port}/{way}/{n}', every: 1")
    };
    let plan = Plan { probes: (0..1000).map(probe).collect(), ..Plan::default() }.sent_to(server);
    let lived = bench.host(server, &plan)?;
    let truths: HashMap<_, _> = lived.tale.truths.iter().map(|(trace, truth)| (trace, truth)).collect();
    let (mut wait, mut receive) = (Vec::new(), Vec::new());
    for seen in lived.tale.seen.iter().filter(|seen| (lived.measured.from..lived.measured.until).contains(&seen.at)) {
        let Some(truth) = truths.get(&seen.trace) else { continue };
        wait.extend(seen.wait.map(|recorded| (recorded - truth.wait).abs()));
        receive.extend(seen.receive.map(|recorded| (recorded - truth.receive).abs()));
    }
    println!("    {} runs compared; {}", wait.len(), account(&lived, 1.0));
    for (phase, off) in [("wait", wait), ("receive", receive)] {
        ensure!(!off.is_empty(), "no run could be compared in its phase `{phase}`");
        for (name, share, most) in [("p50", 0.5, 2.0), ("p99", 0.99, 10.0)] {
            let line = Line::new("truth", format!("{phase}, off by, {name}"), percentile(&off, share), "ms");
            bench.say(line.goal(Goal::AtMost(most)).noise([lived.measured.took.noise]).wrong(lived.lost()));
        }
    }
    Ok(())
}

fn at(bench: &Bench, server: &mut Server, probes: usize, every: u32, url: &str) -> Result<Lived> {
    let probe = format!("probe: http, title: '{{n}}', url: '{url}/{{n}}', every: {every}");
    bench.host(server, &Plan::of(probes, &probe).sent_to(server))
}

/// What it came to, in a line. `every` is the probes' period in seconds.
fn account(lived: &Lived, every: f64) -> String {
    let measured = &lived.measured;
    let arrivals = lived.tale.arrivals.iter().filter(|(_, at)| (measured.from..measured.until).contains(at));
    let (late, uneven) = (lived.lateness(), unevenness(arrivals, every));
    let spread = |values: &[f64]| format!("p50 {:.2} p99 {:.1} ms", percentile(values, 0.5), percentile(values, 0.99));
    let mut text = format!(
        "{:.0} a second, {:.0} µs, {:.0} % of the machine; late {}",
        measured.rate(),
        measured.cost(),
        measured.took.cpu / measured.took.wall / cores() as f64 * 100.0,
        spread(&late),
    );
    if !uneven.is_empty() {
        text.push_str(&format!("; off the period {}", spread(&uneven)));
    }
    text
}

/// How far each arrival is, in milliseconds, from a period after the one before it at the same path: the target's view.
fn unevenness<'a>(arrivals: impl Iterator<Item = &'a Arrival>, every: f64) -> Vec<f64> {
    let every = Duration::from_secs_f64(every).as_nanos() as f64;
    let mut last = HashMap::new();
    let off = arrivals.filter_map(|(path, at)| {
        let before: u64 = last.insert(path, *at)?;
        Some(((at - before) as f64 - every).abs() / 1e6)
    });
    off.collect()
}
