//! Runs the process that compiles one component, within limits on what it may take and answer.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::Signal;

use super::error::shorten;
use super::limits::{MAX_ERROR_BYTES, MAX_THREADS, max_output_bytes, real_time};
use super::output;
use super::precompile::CompileError;
use super::precompiled::Precompiled;
use super::read::Source;
use crate::sandbox::engine::Cpu;

/// The hidden command of the program that compiles one component.
pub const COMPILE_COMMAND: &str = "compile-component";

/// A reason why a process has no result.
#[derive(Debug)]
pub enum Failure {
    /// The compiler refused the component.
    Refused(CompileError),
    /// The process used up its CPU time.
    CpuTime,
    /// The process used up its memory, or the machine has none left.
    Memory,
    /// The process did not end in time.
    RealTime,
    /// The code is larger than this number of bytes.
    Output(u64),
    /// The process crashed; with the last it wrote to standard error.
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

/// Compiles a component in a process of its own, which runs `program` within limits. If the future is dropped, the process
/// is killed.
///
/// # Errors
/// Each variant of [`Failure`].
pub async fn compile(program: &Path, source: &Arc<Mutex<Source>>, limits: Limits) -> Result<Precompiled, Failure> {
    let child = spawn(program, limits).map_err(Failure::NotStarted)?;
    let child = KillOnDrop(Arc::new(Mutex::new(child)));
    let (process, source) = (Arc::clone(&child.0), Arc::clone(source));
    let compiling = tokio::task::spawn_blocking(move || exchange(&process, &mut source.lock()));
    match tokio::time::timeout(real_time(limits.cpu_time), compiling).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(Failure::Crashed(error.to_string())),
        Err(_) => Err(Failure::RealTime),
    }
}

/// A process that does not outlive its host's interest in it.
struct KillOnDrop(Arc<Mutex<Child>>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // It may have ended. The thread that talks with it waits for it.
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

/// Gives the file to the process, and waits for its result.
fn exchange(child: &Mutex<Child>, source: &mut Source) -> Result<Precompiled, Failure> {
    let (stdin, stdout, stderr) = {
        let mut child = child.lock();
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    };
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(Failure::Crashed("it has no pipes".to_owned()));
    };
    let max_output = max_output_bytes(source.size());
    let (sent, output, message) = std::thread::scope(|threads| {
        let message = threads.spawn(|| read_beginning(stderr, MAX_ERROR_BYTES));
        let sent = send(source, &mut stdin);
        let mut output = Vec::new();
        // The process ends when standard input is closed, which is therefore kept until it has answered.
        let read = match sent {
            Ok(()) => stdout.take(max_output + 1).read_to_end(&mut output),
            Err(_) => Ok(0),
        };
        drop(stdin);
        let _ = child.lock().kill();
        (sent, read.map(|_| output), message.join().unwrap_or_default())
    });
    let status = child.lock().wait();
    sent.map_err(Failure::Unreadable)?;
    let (Ok(output), Ok(status)) = (output, status) else {
        return Err(Failure::Crashed("its result cannot be read".to_owned()));
    };
    if output.len() as u64 > max_output {
        return Err(Failure::Output(max_output));
    }
    match output::decode(output) {
        Some(Ok((facts, code))) => Ok(Precompiled::trust(facts, code)),
        Some(Err(CompileError::OutOfMemory)) => Err(Failure::Memory),
        Some(Err(error)) => Err(Failure::Refused(error)),
        None => Err(failure(status, &message)),
    }
}

/// Writes the file into the process's standard input. If the process does not read it, its end tells why.
///
/// # Errors
/// Returns an error if the file cannot be read.
fn send(source: &mut Source, stdin: &mut impl Write) -> io::Result<()> {
    let mut is_read = stdin.write_all(&source.size().to_le_bytes()).is_ok();
    if !is_read {
        return Ok(());
    }
    source.read_chunks(|chunk| {
        is_read = stdin.write_all(chunk).is_ok();
        is_read
    })
}

/// Reads a stream to its end, and returns its beginning.
fn read_beginning(mut stream: impl Read, max_bytes: usize) -> String {
    let mut kept = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        let wanted = length.min(max_bytes.saturating_sub(kept.len()));
        kept.extend_from_slice(&chunk[..wanted]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Returns why a process ended without a result.
fn failure(status: ExitStatus, message: &str) -> Failure {
    let signal = status.signal();
    // The standard library's messages when memory cannot be allocated.
    let is_out_of_memory = message.contains("memory allocation of") || message.contains("Cannot allocate memory");
    if signal == Some(Signal::XCPU.as_raw()) {
        Failure::CpuTime
    } else if is_out_of_memory || signal == Some(Signal::KILL.as_raw()) {
        // The kernel kills this process first if the machine has no memory left.
        Failure::Memory
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
