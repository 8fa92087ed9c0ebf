//! The host for a long time at half of what it can, while its target and its receiver are ill in turns: whether memory,
//! files and lateness stay flat, and each run comes to be delivered once. Looks are compared by thirds of the time, the
//! last with the second; a soak of some minutes shows that it holds out, and not yet that it is flat.

use std::time::{Duration, Instant};

use anyhow::Result;
use nix::unistd::Pid;

use crate::host::Plan;
use crate::measure::{Bench, TO_STOP, median, percentile, until, until_within};
use crate::process::Held;
use crate::serve::{Server, receiver, target};
use crate::table::{Goal, Line};

/// Checks a second: half of what two cores are known to do.
const RATE: usize = 5000;
/// Minutes from which on thirds are alike in what ails them.
const LONG: u32 = 15;
/// Until all that waited is delivered.
const TO_CATCH_UP: Duration = Duration::from_secs(180);

#[derive(Debug, Clone, Copy)]
enum Ill {
    Target(target::Mood),
    Receiver(receiver::Mood),
}

const ILLS: [Ill; 5] = [
    Ill::Receiver(receiver::Mood::Down),
    Ill::Target(target::Mood::Reset),
    Ill::Receiver(receiver::Mood::Limit),
    Ill::Target(target::Mood::Fail),
    Ill::Target(target::Mood::Hold),
];

/// One look at the host.
struct Sight {
    held: Held,
    /// Milliseconds, of the runs that were told of since the last look.
    late: Vec<f64>,
}

pub fn soak(bench: &mut Bench) -> Result<()> {
    let server = &mut Server::start(&bench.folder)?;
    let url = format!("http://localhost:{}/t", server.ports.plain);
    let plan = Plan::of(RATE, &format!("probe: http, title: '{{n}}', url: '{url}/{{n}}', every: 1")).sent_to(server);
    let setup = bench.setup(&plan)?;
    let child = &mut setup.run()?;
    until(server, child, |counts| counts.target.requests >= RATE as u64)?;
    server.tale()?;

    let seconds = u64::from(bench.soak) * 60;
    let between_looks = (seconds / 30).clamp(2, 60);
    let between_ills = (seconds / 6).clamp(10, 60);
    let ill_for = (between_ills / 2).min(10);
    let mut ills = ILLS.iter().cycle();
    let (begun, mut ill, mut sights) = (Instant::now(), None, Vec::new());
    for second in 1..=seconds {
        std::thread::sleep((begun + Duration::from_secs(second)).saturating_duration_since(Instant::now()));
        // Before it falls ill again, so that it has had the longest time to recover.
        if second % between_looks == 0 {
            let sight = look(server, child.pid())?;
            println!(
                "    {second:5} s: {}{}",
                sight.in_words(),
                ill.map(|ill| format!("; {ill:?}")).unwrap_or_default()
            );
            sights.push(sight);
            child.lives()?;
        }
        if second % between_ills == 0 {
            ill = ills.next();
            match ill {
                Some(Ill::Target(mood)) => server.target(*mood)?,
                Some(Ill::Receiver(mood)) => server.receiver(*mood)?,
                None => {}
            }
        } else if second % between_ills == ill_for && ill.take().is_some() {
            server.target(target::Mood::Well)?;
            server.receiver(receiver::Mood::Well)?;
        }
    }
    server.target(target::Mood::Well)?;
    server.receiver(receiver::Mood::Well)?;
    // What was reset came to no request, but is told all the same.
    let caught_up =
        until_within(TO_CATCH_UP, server, child, |counts| counts.receiver.transactions >= counts.target.requests);
    child.stop(TO_STOP)?;
    let counts = server.counts()?;
    let (sent, again) = (counts.receiver.transactions, counts.receiver.again);
    let wrong = caught_up.err().map(|error| format!("it did not catch up: {error:#}"));
    let lost = !counts.receiver.given_up.is_empty();
    let wrong = wrong.or(lost.then(|| format!("given up: {:?}", counts.receiver.given_up)));
    let wrong = wrong.or((again > 0).then(|| format!("{again} came again")));
    compare(bench, &sights);
    let line = Line::new("soak", "delivered", sent as f64, "runs").goal(Goal::AtLeast(counts.target.requests as f64));
    bench.say(line.wrong(wrong));
    Ok(())
}

/// Says what the last third of the time was like, beside the one before it.
fn compare(bench: &mut Bench, sights: &[Sight]) {
    type Of = fn(&Sight) -> f64;
    let third = sights.len() / 3;
    let (earlier, last) = (&sights[third..2 * third], &sights[sights.len() - third..]);
    let figures: [(&str, &str, Of); 4] = [
        ("resident memory", "MB", |sight| sight.held.resident / 1e6),
        ("open files", "files", |sight| sight.held.files as f64),
        ("threads", "threads", |sight| sight.held.threads as f64),
        ("lateness p50", "ms", |sight| median(&sight.late)),
    ];
    for (what, unit, of) in figures {
        let mean = |sights: &[Sight]| {
            // Nothing is late where nothing was told.
            let known: Vec<_> = sights.iter().map(of).filter(|figure| figure.is_finite()).collect();
            known.iter().sum::<f64>() / known.len() as f64
        };
        let line = Line::new("soak", what, mean(last), unit).floor("a third earlier", mean(earlier));
        let line = if bench.soak >= LONG { line.goal(Goal::Times(1.1)) } else { line };
        bench.say(line);
    }
}

fn look(server: &mut Server, pid: Pid) -> Result<Sight> {
    let held = Held::by(pid)?;
    let late = server.tale()?.seen.iter().filter_map(|seen| seen.lateness).collect();
    Ok(Sight { held, late })
}

impl Sight {
    fn in_words(&self) -> String {
        let [half, most] = [0.5, 0.99].map(|share| percentile(&self.late, share));
        format!("{}; {} runs told, late p50 {half:.2} p99 {most:.1} ms", self.held, self.late.len())
    }
}
