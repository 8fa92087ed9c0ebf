//! Runs the process that compiles one component, with limits on its time, its memory and the size of its result.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::Signal;

use super::compiler_limits::{MAX_ERROR_BYTES, MAX_THREADS, max_output_bytes, real_time};
use super::compiler_output;
use super::error::shorten;
use super::precompile::CompileError;
use super::precompiled::Precompiled;
use super::read::Source;
use crate::sandbox::engine::Cpu;
use crate::threads::{REFUSED, refused, run_blocking};

/// The name of the hidden command of the program, which compiles one component.
pub const COMPILE_COMMAND: &str = "compile-component";

/// A reason why a process did not compile a component.
#[derive(Debug)]
pub enum Failure {
    /// The compiler refused the component.
    Refused(CompileError),
    /// The process reached its limit on CPU time.
    CpuTime,
    /// The process reached its limit on memory, or the machine has no memory left.
    Memory,
    /// The process did not end within the real time of [`real_time`].
    RealTime,
    /// The result is larger than this number of bytes.
    Output(u64),
    /// The process ended without a result, or its result could not be read. The message has the exit status and the
    /// beginning of what the process wrote to standard error, if they are known.
    Crashed(String),
    /// The file cannot be read.
    Unreadable(io::Error),
    /// The process cannot be started.
    NotStarted(io::Error),
}

/// Limits on a process, and what it compiles for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The CPU time on all threads.
    pub cpu_time: Duration,
    /// The memory in bytes.
    pub memory_bytes: u64,
    /// The processors that can execute the code.
    pub cpu: Cpu,
}

/// Compiles a component in a process of its own, which runs `program` within limits. If the future is dropped, the
/// process is killed.
///
/// # Errors
/// Each variant of [`Failure`].
pub async fn compile(program: &Path, source: &Arc<Mutex<Source>>, limits: Limits) -> Result<Precompiled, Failure> {
    let child = spawn(program, limits).map_err(Failure::NotStarted)?;
    let child = KillOnDrop(Arc::new(Mutex::new(child)));
    let (process, source) = (Arc::clone(&child.0), Arc::clone(source));
    let compiling = run_blocking("compiling", move || exchange(&process, &mut source.lock()));
    match tokio::time::timeout(real_time(limits.cpu_time), compiling).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(Failure::NotStarted(error)),
        Err(_) => Err(Failure::RealTime),
    }
}

/// A process that is killed when this value is dropped.
struct KillOnDrop(Arc<Mutex<Child>>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // An error means that the process has ended. The thread that runs `exchange` waits for its end.
        let _ = self.0.lock().kill();
    }
}

fn spawn(program: &Path, limits: Limits) -> io::Result<Child> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let mut command = Command::new(program);
    let Limits { cpu_time, memory_bytes, cpu } = limits;
    command.arg(COMPILE_COMMAND).args([cpu_time.as_millis().to_string(), memory_bytes.to_string(), cpu.to_string()]);
    command.env_clear().env("RAYON_NUM_THREADS", threads.to_string()).current_dir("/");
    // mimalloc would map 1 GiB at the start, which counts against the limit on memory although it is not used.
    command.env("MIMALLOC_DISALLOW_ARENA_ALLOC", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// Writes the component's file to the process, reads its result, and waits for its end.
///
/// # Errors
/// Each variant of [`Failure`] except `RealTime`.
fn exchange(child: &Mutex<Child>, source: &mut Source) -> Result<Precompiled, Failure> {
    let (stdin, stdout, stderr) = {
        let mut child = child.lock();
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    };
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(Failure::Crashed("the process has no pipes".to_owned()));
    };
    let max_output = max_output_bytes(source.size());
    let exchanged = std::thread::scope(|threads| {
        let reading = move || read_beginning(stderr, MAX_ERROR_BYTES);
        let message = match std::thread::Builder::new().spawn_scoped(threads, reading) {
            Ok(message) => message,
            Err(error) => {
                let _ = child.lock().kill();
                return Err(Failure::NotStarted(refused(&error)));
            }
        };
        let sent = send(source, &mut stdin);
        let mut output = Vec::new();
        // The process ends as soon as its standard input is closed, so the host keeps it open until the result is read.
        let read = match sent {
            Ok(()) => stdout.take(max_output + 1).read_to_end(&mut output),
            Err(_) => Ok(0),
        };
        drop(stdin);
        let _ = child.lock().kill();
        Ok((sent, read.map(|_| output), message.join().unwrap_or_default()))
    });
    let status = child.lock().wait();
    let (sent, output, message) = exchanged?;
    sent.map_err(Failure::Unreadable)?;
    let (Ok(output), Ok(status)) = (output, status) else {
        return Err(Failure::Crashed("the result of the process cannot be read".to_owned()));
    };
    if output.len() as u64 > max_output {
        return Err(Failure::Output(max_output));
    }
    match compiler_output::decode(output) {
        Some(Ok((facts, code))) => Ok(Precompiled::trust(facts, code)),
        Some(Err(CompileError::OutOfMemory)) => Err(Failure::Memory),
        Some(Err(error)) => Err(Failure::Refused(error)),
        None => Err(failure(status, &message)),
    }
}

/// Writes the length of the component's file, and then the file, to the process's standard input. If the process does
/// not read all of it, this is no error here: the exit status of the process has the reason.
///
/// # Errors
/// Returns an error if the file cannot be read.
fn send(source: &mut Source, stdin: &mut impl Write) -> io::Result<()> {
    let mut is_written = stdin.write_all(&source.size().to_le_bytes()).is_ok();
    if !is_written {
        return Ok(());
    }
    source.read_chunks(|chunk| {
        is_written = stdin.write_all(chunk).is_ok();
        is_written
    })
}

/// Reads a stream to its end, so that its writer never waits. Returns at most the first `max_bytes` bytes.
fn read_beginning(mut stream: impl Read, max_bytes: usize) -> String {
    let mut kept = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        let wanted = length.min(max_bytes.saturating_sub(kept.len()));
        kept.extend_from_slice(&chunk[..wanted]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Returns the reason why a process ended without a result, from its exit status and what it wrote to standard error.
fn failure(status: ExitStatus, message: &str) -> Failure {
    let signal = status.signal();
    // The messages of the standard library, and of the system error `ENOMEM`.
    let is_out_of_memory = message.contains("memory allocation of") || message.contains("Cannot allocate memory");
    if signal == Some(Signal::XCPU.as_raw()) {
        Failure::CpuTime
    } else if is_out_of_memory || signal == Some(Signal::KILL.as_raw()) {
        // The kernel kills this process first if the machine has no memory left.
        Failure::Memory
    } else if let Some(at) = message.find(REFUSED) {
        Failure::NotStarted(io::Error::other(shorten(&message[at..])))
    } else {
        let printable = message.replace(|char: char| char.is_control(), " ");
        Failure::Crashed(shorten(&format!("{status}: {printable}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_a_process_are_told_apart() {
        let of_signal = |signal: Signal, message| failure(ExitStatus::from_raw(signal.as_raw()), message);
        assert!(matches!(of_signal(Signal::XCPU, ""), Failure::CpuTime));
        assert!(matches!(of_signal(Signal::KILL, ""), Failure::Memory));
        let refused = refused(&io::Error::from_raw_os_error(11)).to_string();
        assert!(matches!(failure(ExitStatus::from_raw(256), &refused), Failure::NotStarted(_)));
        assert!(matches!(of_signal(Signal::ABORT, "memory allocation of 9 bytes failed"), Failure::Memory));
        let Failure::Crashed(message) = of_signal(Signal::ABORT, "thread \u{1b}[2J\npanicked") else {
            panic!("it crashed")
        };
        assert!(message.ends_with(": thread [2J panicked"), "{message}");
    }

    #[test]
    fn only_the_beginning_of_messages_is_kept() {
        let long = "x".repeat(100_000);
        assert_eq!(read_beginning(long.as_bytes(), 10), "x".repeat(10));
    }
}
