//! How anything is measured: a process runs against the servers, gets warm, and is looked at over a time. The host and a
//! floor alike.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::floor::{self, Floor};
use crate::host::{Plan, Setup};
use crate::process::{Child, Held, Look, Took, now, ourselves};
use crate::serve::{Counts, Server, Tale};
use crate::table::Line;

/// What all rows share.
pub struct Bench {
    pub folder: PathBuf,
    /// Where probes are compiled already.
    pub cache: PathBuf,
    pub secs: f64,
    pub reps: usize,
    pub soak: u32,
    pub lines: Vec<Line>,
}

/// One repetition.
pub struct Measured {
    pub took: Took,
    /// Checks that the target saw meanwhile.
    pub checks: u64,
    pub held: Held,
    /// When it was, by [`now`].
    pub from: u64,
    pub until: u64,
}

/// One repetition of the host, and what came of all its runs until it was stopped.
pub struct Lived {
    pub measured: Measured,
    pub all: Counts,
    pub tale: Tale,
}

/// Until the first check, and from there to when caches, pools and the schedule are as they stay.
const PATIENCE: Duration = Duration::from_secs(60);
const WARM: Duration = Duration::from_secs(3);
/// What the host is given to end: longer than it takes itself.
pub const TO_STOP: Duration = Duration::from_secs(15);

impl Bench {
    pub fn new(folder: &Path, secs: f64, reps: usize, soak: u32) -> Result<Self> {
        let (folder, cache) = (folder.to_owned(), folder.join("cache"));
        let bench = Self { folder, cache, secs, reps, soak, lines: Vec::new() };
        // Compiles the probes.
        let probe = "probe: http, url: 'http://localhost:1/'";
        let chain = "probe: chain, title: '{n}', steps: [{url: 'http://localhost:1/'}]";
        for probe in [probe, chain] {
            let output = bench.setup(&Plan::of(1, probe))?.command(&["check"]).output()?;
            if !output.status.success() {
                bail!("the host says: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
        Ok(bench)
    }

    pub fn setup(&self, plan: &Plan) -> Result<Setup> {
        Setup::new(plan, &self.folder, &self.cache)
    }

    pub fn say(&mut self, line: Line) {
        println!("{}", line.in_words());
        self.lines.push(line);
    }

    /// The host on a plan, from its start to its end.
    pub fn host(&self, server: &mut Server, plan: &Plan) -> Result<Lived> {
        server.forget()?;
        let setup = self.setup(plan)?;
        let mut child = setup.run()?;
        let measured = self.over(server, &mut child)?;
        child.stop(TO_STOP)?;
        Ok(Lived { measured, all: server.counts()?, tale: server.tale()? })
    }

    pub fn floor(&self, server: &mut Server, floor: &Floor) -> Result<Measured> {
        server.forget()?;
        let mut command = ourselves(floor::PART);
        command.arg(serde_json::to_string(floor)?);
        let mut child = Child::start(command, self.folder.join("floor.log"))?;
        self.over(server, &mut child)
    }

    fn over(&self, server: &mut Server, child: &mut Child) -> Result<Measured> {
        until(server, child, |counts| counts.target.requests > 0)?;
        std::thread::sleep(WARM);
        let (before, from) = (server.counts()?, now());
        let begun = look(server, child)?;
        std::thread::sleep(Duration::from_secs_f64(self.secs));
        let ended = look(server, child)?;
        let (after, until) = (server.counts()?, now());
        child.lives()?;
        let checks = after.target.requests - before.target.requests;
        if checks == 0 {
            bail!("the target saw no checks");
        }
        Ok(Measured { took: begun.until(&ended), checks, held: Held::by(child.pid())?, from, until })
    }
}

impl Measured {
    /// Microseconds of CPU time for a check.
    pub fn cost(&self) -> f64 {
        self.took.cpu / self.checks as f64 * 1e6
    }

    pub fn rate(&self) -> f64 {
        self.checks as f64 / self.took.wall
    }
}

impl Lived {
    /// Lateness of the starts, in milliseconds, of the runs that were told of meanwhile.
    pub fn lateness(&self) -> Vec<f64> {
        let Measured { from, until, .. } = self.measured;
        let seen = self.tale.seen.iter().filter(|seen| (from..until).contains(&seen.at));
        seen.filter_map(|seen| seen.lateness).collect()
    }

    /// What is wrong with what the receiver got, if not each run came once.
    pub fn lost(&self) -> Option<String> {
        let (target, receiver) = (&self.all.target, &self.all.receiver);
        let whole = receiver.transactions == target.requests;
        let once = receiver.again == 0 && receiver.wrong == 0 && receiver.given_up.is_empty();
        (!whole || !once || receiver.failed > 0).then(|| {
            format!(
                "of {} runs {} were delivered, {} of them failed, {} came again; given up: {:?}",
                target.requests, receiver.transactions, receiver.failed, receiver.again, receiver.given_up
            )
        })
    }
}

pub fn look(server: &Server, child: &Child) -> Result<Look> {
    Look::at(child.pid(), &[server.pid()])
}

/// Waits until there is something to see at the servers.
pub fn until(server: &mut Server, child: &mut Child, done: impl Fn(&Counts) -> bool) -> Result<()> {
    until_within(PATIENCE, server, child, done)
}

pub fn until_within(
    patience: Duration,
    server: &mut Server,
    child: &mut Child,
    done: impl Fn(&Counts) -> bool,
) -> Result<()> {
    let begun = Instant::now();
    loop {
        let counts = server.counts()?;
        if done(&counts) {
            return Ok(());
        }
        child.lives()?;
        if begun.elapsed() > patience {
            bail!("not within {patience:?}; so far {counts:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The value below which this share of them lies.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

pub fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}
