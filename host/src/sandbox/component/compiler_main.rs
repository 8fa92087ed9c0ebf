//! The process that compiles one component: it limits itself, reads the file from standard input, and writes the result
//! to standard output.

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::signal::{SigEvent, SigevNotify, Signal};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};

use super::compiler_limits::{
    MAX_ADDRESS_SPACE_BYTES, MAX_CPU_TIME, MAX_MEMORY_BYTES, MAX_OPEN_FILES, MAX_THREADS, NICENESS, STACK_BYTES,
};
use super::compiler_output::encode_header;
use super::precompile::{CompileError, precompile};
use super::precompiled::Precompiled;
use crate::sandbox::engine::{self, Cpu};
use crate::threads::ensure_available;

/// The body of the process that compiles components: a program that loads components with
/// [`Compiler::Program`](crate::sandbox::Compiler::Program) calls this function if its first argument is
/// [`COMPILE_COMMAND`](crate::sandbox::COMPILE_COMMAND), and passes on the others: the CPU time in milliseconds, the
/// memory in bytes, and the processors to compile for. It must not have started any thread before.
///
/// The process takes no more than these, and few files. It ends when its standard input is closed, which
/// the host's end does.
pub fn compile_main(arguments: &[String]) -> ExitCode {
    let Some((cpu_time, memory_bytes, cpu)) = parse(arguments) else {
        return fail("cannot limit itself", &io::Error::other("it needs two limits and the processors"));
    };
    // The timer ends when it is dropped.
    let _timer = match limit_this_process(cpu_time, memory_bytes) {
        Ok(timer) => timer,
        Err(error) => return fail("cannot limit itself", &error),
    };
    let file = match read_file() {
        Ok(file) => file,
        Err(error) => return fail("cannot read the component", &error),
    };
    // The threads of rayon, and the one below.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS) + 1;
    if let Err(error) = ensure_available(threads) {
        return fail("cannot start its threads", &error);
    }
    let compiling = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || compile(&file, cpu));
    let result = match compiling.map(std::thread::JoinHandle::join) {
        Ok(Ok(result)) => result,
        // The panic hook has written the message of the panic to standard error.
        Ok(Err(_)) => return ExitCode::FAILURE,
        Err(error) => return fail("cannot start a thread", &error),
    };
    match write_result(&result) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail("cannot write the result", &error),
    }
}

fn parse(arguments: &[String]) -> Option<(Duration, u64, Cpu)> {
    let [cpu_millis, memory_bytes, cpu] = arguments else { return None };
    Some((Duration::from_millis(cpu_millis.parse().ok()?), memory_bytes.parse().ok()?, cpu.parse().ok()?))
}

fn compile(file: &[u8], cpu: Cpu) -> Result<Precompiled, CompileError> {
    let engine = engine::for_compiling(cpu).map_err(|error| CompileError::Invalid(format!("{error:#}")))?;
    precompile(&engine, file)
}

fn fail(what: &str, error: &io::Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "{what}: {error}");
    ExitCode::FAILURE
}

/// Limits what this process may take. Returns a timer that ends it at the limit on CPU time.
fn limit_this_process(cpu_time: Duration, memory_bytes: u64) -> io::Result<Option<Timer>> {
    // If memory runs out, the kernel ends this process, and not the host. A kernel without the file has no such choice.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    close_other_files();
    let cpu_time = cpu_time.min(MAX_CPU_TIME);
    let cpu_seconds = cpu_time.as_secs() + 1;
    let memory_bytes = memory_bytes.min(MAX_MEMORY_BYTES);
    for (resource, soft, hard) in [
        // The first limit ends the process with SIGXCPU, which tells the host why, if the timer has not done that.
        (Resource::Cpu, cpu_seconds, cpu_seconds + 1),
        (Resource::Data, memory_bytes, memory_bytes),
        (Resource::As, MAX_ADDRESS_SPACE_BYTES, MAX_ADDRESS_SPACE_BYTES),
        (Resource::Nofile, MAX_OPEN_FILES, MAX_OPEN_FILES),
        (Resource::Fsize, 0, 0),
        (Resource::Core, 0, 0),
    ] {
        // A lower hard limit, which this process has inherited from the host, stays in force.
        let max = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        setrlimit(resource, Rlimit { current: Some(soft.min(max)), maximum: Some(hard.min(max)) })?;
    }
    // A sandbox around the host may forbid this: the process then has the host's priority.
    let _ = setpriority_process(None, NICENESS);
    // The limit above counts whole seconds, and suffices where a sandbox forbids timers.
    Ok(start_timer(cpu_time).ok())
}

/// Starts a timer that ends this process with SIGXCPU after this CPU time, on all threads.
fn start_timer(cpu_time: Duration) -> nix::Result<Timer> {
    let signal = SigEvent::new(SigevNotify::SigevSignal { signal: Signal::SIGXCPU, si_value: 0 });
    let mut timer = Timer::new(ClockId::CLOCK_PROCESS_CPUTIME_ID, signal)?;
    timer.set(Expiration::OneShot(cpu_time.into()), TimerSetTimeFlags::empty())?;
    Ok(timer)
}

/// Closes all files except the standard streams: the host may itself have inherited files that are not closed when a
/// program is executed. Without `/proc`, closes nothing.
fn close_other_files() {
    const STANDARD_STREAMS: i32 = 3;
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<i32> = open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for file in open.into_iter().filter(|file| *file >= STANDARD_STREAMS) {
        // The list has the file by which the directory was read, which is closed already.
        let _ = nix::unistd::close(file);
    }
}

/// Reads the component's file from standard input, after its length (eight bytes, little-endian). Starts a thread that
/// then ends the process as soon as standard input is closed.
///
/// # Errors
/// Returns an error if standard input cannot be read or ends too early, or if the thread cannot be started.
fn read_file() -> io::Result<Vec<u8>> {
    let mut stdin = io::stdin().lock();
    let mut length = [0; size_of::<u64>()];
    stdin.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let mut file = Vec::new();
    (&mut stdin).take(length).read_to_end(&mut file)?;
    if file.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    drop(stdin);
    std::thread::Builder::new().spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(1);
    })?;
    Ok(file)
}

fn write_result(result: &Result<Precompiled, CompileError>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(&encode_header(result.as_ref()))?;
    if let Ok(compiled) = result {
        stdout.write_all(compiled.code())?;
    }
    stdout.flush()
}
