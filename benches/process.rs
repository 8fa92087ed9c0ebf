//! Processes that are measured, from outside: the CPU time of the whole process, user and system together, by the
//! kernel's own clock for it; what it holds; and how much of the machine others took meanwhile. Whatever happens to us,
//! they end. Knows nothing of what they do.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// The first argument that makes us another program, which ends with us. See [`leashed`].
pub const LEASH: &str = "leash";

/// A process of ours; it ends with this value.
pub struct Child {
    process: process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts a command, what it complains of going to a file.
    pub fn start(mut command: Command, log: PathBuf) -> Result<Self> {
        let complaints = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let process = command.stderr(complaints).spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { process, log })
    }

    pub fn pipes(&mut self) -> Option<(process::ChildStdin, process::ChildStdout)> {
        self.process.stdin.take().zip(self.process.stdout.take())
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().cast_signed())
    }

    /// Whether it goes on; else what it said last.
    pub fn lives(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("it ended ({status}): {}", self.complaints()),
        }
    }

    /// Asks it to end, as a terminal does, and waits for it.
    pub fn stop(&mut self, patience: Duration) -> Result<()> {
        self.lives()?;
        kill(self.pid(), Signal::SIGTERM)?;
        let asked = Instant::now();
        while self.process.try_wait()?.is_none() {
            if asked.elapsed() > patience {
                bail!("it does not stop within {patience:?}: {}", self.complaints());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn complaints(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command that the kernel kills when we end, with nothing of our environment.
pub fn leashed(program: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("we have a path"));
    command.arg(LEASH).arg(program).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The same of ourselves, in another part.
pub fn ourselves(part: &str) -> Command {
    let mut command = leashed(&std::env::current_exe().expect("we have a path"));
    command.arg(part);
    command
}

/// Becomes the program that the arguments name.
pub fn leash(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    let program = arguments.next().context("a leash wants a program")?;
    Err(Command::new(program).args(arguments).exec().into())
}

/// Nanoseconds of a clock that all processes share, and nobody sets.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    now.as_nanos() as u64
}

/// The CPU time of a process until now.
pub fn cpu(pid: Pid) -> Result<Duration> {
    let clock = ClockId::pid_cpu_clock_id(pid).with_context(|| format!("process {pid} has ended"))?;
    Ok(clock.now()?.into())
}

/// The CPU time of all children that have ended.
pub fn cpu_of_the_ended() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = [usage.user_time(), usage.system_time()].map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
    Ok(Duration::from_micros(micros.iter().sum::<i64>() as u64))
}

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// Bytes of memory that are resident now, and were at most: pages that are mapped more than once, as the beginnings
    /// of all guests' memories are, count as often.
    pub resident: f64,
    pub peak: f64,
    /// Bytes that are resident now, each page counted once.
    pub pages: f64,
    pub threads: u64,
    pub files: usize,
}

impl Held {
    pub fn by(pid: Pid) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let bytes = |name| number(&status, name) as f64 * 1024.0;
        let files = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        let pages = number(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?, "Pss") as f64 * 1024.0;
        let threads = number(&status, "Threads");
        Ok(Self { resident: bytes("VmRSS"), peak: bytes("VmHWM"), pages, threads, files })
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [resident, peak, pages] = [self.resident, self.peak, self.pages].map(|bytes| bytes / 1e6);
        write!(f, "{resident:.1} MB ({pages:.1} in pages), at most {peak:.1} MB, ")?;
        write!(f, "{} threads, {} files", self.threads, self.files)
    }
}

/// The soft limit of open files that a process has.
pub fn file_limit(pid: Pid) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

/// What one process took over a time, and what others took that are none of ours.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    pub wall: f64,
    pub cpu: f64,
    pub switches: u64,
    /// The share of the machine that others took, from 0 to 1.
    pub noise: f64,
}

/// A look at a process, and at the machine, at one time.
pub struct Look {
    at: Instant,
    cpu: Duration,
    switches: u64,
    others: f64,
}

impl Look {
    /// `ours` are the processes, beside it and us, that are part of the measurement.
    pub fn at(pid: Pid, ours: &[Pid]) -> Result<Self> {
        let measured = cpu(pid)?;
        let known = [measured, cpu(Pid::this())?].into_iter().sum::<Duration>();
        let known = ours.iter().try_fold(known, |sum, pid| anyhow::Ok(sum + cpu(*pid)?))?;
        let others = busy()? - known.as_secs_f64();
        Ok(Self { at: Instant::now(), cpu: measured, switches: switches(pid)?, others })
    }

    pub fn until(&self, later: &Self) -> Took {
        let wall = later.at.duration_since(self.at).as_secs_f64();
        let others = (later.others - self.others).max(0.0);
        Took {
            wall,
            cpu: later.cpu.saturating_sub(self.cpu).as_secs_f64(),
            switches: later.switches.saturating_sub(self.switches),
            noise: others / wall / cores() as f64,
        }
    }
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// Seconds that the machine's processors were not idle, the time that its own host took from it among them.
fn busy() -> Result<f64> {
    /// The kernel's unit there, whatever its clock.
    const TICKS_A_SECOND: f64 = 100.0;
    let text = fs::read_to_string("/proc/stat")?;
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal
    let busy = ticks.iter().take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4));
    Ok(busy.map(|(_, ticks)| ticks).sum::<u64>() as f64 / TICKS_A_SECOND)
}

/// How often its threads that live were put aside, for want of work or by others.
fn switches(pid: Pid) -> Result<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))?.flatten();
    let statuses = threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    Ok(statuses
        .map(|text| number(&text, "voluntary_ctxt_switches") + number(&text, "nonvoluntary_ctxt_switches"))
        .sum())
}

fn number(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
