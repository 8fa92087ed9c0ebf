//! The measurement of a process from outside: the CPU time of the whole process, user and system together, by the
//! kernel's CPU clock of the process; the resources that it holds; and the share of the machine that other processes
//! took in the same time. Child processes end with this process, however it ends.

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

/// The subcommand that executes another program with a parent-death signal. See [`command_with_death_signal`].
pub const WITH_DEATH_SIGNAL: &str = "with-death-signal";

/// A child process. It is killed when the value is dropped.
pub struct Child {
    process: process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts a command. Its standard error goes to the file `log`.
    pub fn start(mut command: Command, log: PathBuf) -> Result<Self> {
        let errors = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let process = command.stderr(errors).spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { process, log })
    }

    pub fn pipes(&mut self) -> Option<(process::ChildStdin, process::ChildStdout)> {
        self.process.stdin.take().zip(self.process.stdout.take())
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().cast_signed())
    }

    /// Returns an error with the last lines of the log if the process has ended.
    pub fn ensure_running(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the process ended ({status}): {}", self.last_errors()),
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(self.pid(), signal)?)
    }

    /// Sends SIGTERM and waits for the end of the process. Returns an error if the process has ended before, or runs on
    /// for longer than `timeout`.
    pub fn stop(&mut self, timeout: Duration) -> Result<()> {
        self.ensure_running()?;
        kill(self.pid(), Signal::SIGTERM)?;
        let signalled = Instant::now();
        while self.process.try_wait()?.is_none() {
            if signalled.elapsed() > timeout {
                bail!("the process does not stop within {timeout:?}: {}", self.last_errors());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn last_errors(&self) -> String {
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

/// Returns a command that the kernel kills when this process ends. Its environment has `PATH` alone.
pub fn command_with_death_signal(program: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.arg(WITH_DEATH_SIGNAL).arg(program).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Returns a command that runs this benchmark with another subcommand, and is killed when this process ends.
pub fn benchmark_command(subcommand: &str) -> Command {
    let mut command = command_with_death_signal(&std::env::current_exe().expect("this program has a path"));
    command.arg(subcommand);
    command
}

/// Replaces this process by the program that the first argument names. Returns only if that fails.
pub fn exec_with_death_signal(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    let program = arguments.next().context("there is no program to execute")?;
    Err(Command::new(program).args(arguments).exec().into())
}

/// Returns nanoseconds of the monotonic clock, which all processes of the machine share.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    now.as_nanos() as u64
}

/// Returns the CPU time of a process since its start.
pub fn cpu_time(pid: Pid) -> Result<Duration> {
    let clock = ClockId::pid_cpu_clock_id(pid).with_context(|| format!("process {pid} has ended"))?;
    Ok(clock.now()?.into())
}

/// Returns the CPU time of all child processes that have ended.
pub fn cpu_time_of_ended_children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = [usage.user_time(), usage.system_time()].map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
    Ok(Duration::from_micros(micros.iter().sum::<i64>() as u64))
}

/// The memory, threads and files of a process.
#[derive(Debug, Clone, Copy)]
pub struct Resources {
    /// The resident set size (RSS) now, in bytes. A page that is mapped more than once, as the initial memories of
    /// guests are, counts once for each mapping.
    pub resident: f64,
    /// The largest resident set size since the start of the process, in bytes.
    pub peak_resident: f64,
    /// The proportional set size (PSS) now, in bytes. It counts each page once.
    pub proportional: f64,
    pub threads: u64,
    pub files: usize,
}

impl Resources {
    pub fn of(pid: Pid) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let bytes = |name| status_number(&status, name) as f64 * 1024.0;
        let files = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        let proportional =
            status_number(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?, "Pss") as f64 * 1024.0;
        let threads = status_number(&status, "Threads");
        Ok(Self { resident: bytes("VmRSS"), peak_resident: bytes("VmHWM"), proportional, threads, files })
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [resident, peak, proportional] =
            [self.resident, self.peak_resident, self.proportional].map(|bytes| bytes / 1e6);
        write!(f, "{resident:.1} MB resident ({proportional:.1} MB proportional), at most {peak:.1} MB, ")?;
        write!(f, "{} threads, {} files", self.threads, self.files)
    }
}

/// Returns the soft limit of open files of a process.
pub fn file_limit(pid: Pid) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

/// The CPU time that one process used over a period, and the share of the machine that other processes took.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub wall_secs: f64,
    pub cpu_secs: f64,
    pub context_switches: u64,
    /// The share of the machine that unrelated processes took, from 0 to 1.
    pub noise: f64,
}

/// The counters of a process and of the machine at one time.
pub struct Snapshot {
    at: Instant,
    cpu: Duration,
    switches: u64,
    others: f64,
}

impl Snapshot {
    /// Reads the counters now. `related` are further processes, beside the measured one and this one, that do not count
    /// as noise.
    pub fn take(pid: Pid, related: &[Pid]) -> Result<Self> {
        let measured = cpu_time(pid)?;
        let known = [measured, cpu_time(Pid::this())?].into_iter().sum::<Duration>();
        let known = related.iter().try_fold(known, |sum, pid| anyhow::Ok(sum + cpu_time(*pid)?))?;
        let others = busy_secs()? - known.as_secs_f64();
        Ok(Self { at: Instant::now(), cpu: measured, switches: context_switches(pid)?, others })
    }

    pub fn usage_until(&self, later: &Self) -> Usage {
        let wall_secs = later.at.duration_since(self.at).as_secs_f64();
        let others = (later.others - self.others).max(0.0);
        Usage {
            wall_secs,
            cpu_secs: later.cpu.saturating_sub(self.cpu).as_secs_f64(),
            context_switches: later.switches.saturating_sub(self.switches),
            noise: others / wall_secs / cores() as f64,
        }
    }
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// Returns the seconds since boot that the machine's processors were not idle, summed. They include steal time, which
/// the hypervisor took.
fn busy_secs() -> Result<f64> {
    /// The unit of `/proc/stat`, which does not depend on the kernel's timer frequency.
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = fs::read_to_string("/proc/stat")?;
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal
    let busy_ticks = ticks.iter().take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4));
    Ok(busy_ticks.map(|(_, ticks)| ticks).sum::<u64>() as f64 / TICKS_PER_SECOND)
}

/// Returns the number of context switches, voluntary and not, of the threads that are still running.
fn context_switches(pid: Pid) -> Result<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))?.flatten();
    let statuses = threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    Ok(statuses
        .map(|text| {
            status_number(&text, "voluntary_ctxt_switches") + status_number(&text, "nonvoluntary_ctxt_switches")
        })
        .sum())
}

fn status_number(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
