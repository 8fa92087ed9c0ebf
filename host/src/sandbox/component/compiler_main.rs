//! The process that compiles one component: it limits itself, reads the file from standard input, and writes the result to
//! standard output.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};

use super::limits::{
    MAX_ADDRESS_SPACE_BYTES, MAX_CPU_SECONDS, MAX_MEMORY_BYTES, MAX_OPEN_FILES, NICENESS, STACK_BYTES,
};
use super::output::encode_header;
use super::precompile::{CompileError, precompile};
use super::precompiled::Precompiled;
use crate::sandbox::engine;

/// The body of the process that compiles components: a program that loads components with
/// [`Compiler::Program`](crate::sandbox::Compiler::Program) calls this function if its first argument is
/// [`COMPILE_COMMAND`](crate::sandbox::COMPILE_COMMAND), and passes on the others: the CPU time in seconds, and the memory
/// in bytes. It must not have started any thread before.
///
/// The process takes no more than these, and few files. It ends when its standard input is closed, which
/// the host's end does.
pub fn compile_main(limits: &[u64]) -> ExitCode {
    let &[cpu_seconds, memory_bytes] = limits else {
        return fail("cannot limit itself", &io::Error::other("it needs two limits"));
    };
    if let Err(error) = limit_this_process(cpu_seconds, memory_bytes) {
        return fail("cannot limit itself", &error);
    }
    let file = match read_file() {
        Ok(file) => file,
        Err(error) => return fail("cannot read the component", &error),
    };
    let compiling = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || compile(&file));
    let result = match compiling.map(std::thread::JoinHandle::join) {
        Ok(Ok(result)) => result,
        // The panic has written its message.
        Ok(Err(_)) => return ExitCode::FAILURE,
        Err(error) => return fail("cannot start a thread", &error),
    };
    match write_result(&result) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail("cannot write the result", &error),
    }
}

fn compile(file: &[u8]) -> Result<Precompiled, CompileError> {
    let engine = engine::for_compiling().map_err(|error| CompileError::Invalid(format!("{error:#}")))?;
    precompile(&engine, file)
}

fn fail(what: &str, error: &io::Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "{what}: {error}");
    ExitCode::FAILURE
}

fn limit_this_process(cpu_seconds: u64, memory_bytes: u64) -> io::Result<()> {
    // If memory runs out, the kernel ends this process, and not the host. A kernel without the file has no such choice.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    close_other_files();
    let cpu_seconds = cpu_seconds.clamp(1, MAX_CPU_SECONDS);
    let memory_bytes = memory_bytes.min(MAX_MEMORY_BYTES);
    for (resource, soft, hard) in [
        // The first limit ends the process with SIGXCPU, which tells the host why.
        (Resource::Cpu, cpu_seconds, cpu_seconds + 1),
        (Resource::Data, memory_bytes, memory_bytes),
        (Resource::As, MAX_ADDRESS_SPACE_BYTES, MAX_ADDRESS_SPACE_BYTES),
        (Resource::Nofile, MAX_OPEN_FILES, MAX_OPEN_FILES),
        (Resource::Fsize, 0, 0),
        (Resource::Core, 0, 0),
    ] {
        // A limit of the host's that is lower stays.
        let max = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        setrlimit(resource, Rlimit { current: Some(soft.min(max)), maximum: Some(hard.min(max)) })?;
    }
    // A sandbox around the host may forbid this: the process then has the host's priority.
    let _ = setpriority_process(None, NICENESS);
    Ok(())
}

/// Closes files that the host has inherited without the flag that closes them.
fn close_other_files() {
    const STANDARD_STREAMS: i32 = 3;
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<i32> = open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for file in open.into_iter().filter(|file| *file >= STANDARD_STREAMS) {
        // The file that the directory itself was read with is closed already.
        let _ = nix::unistd::close(file);
    }
}

/// Reads the file, after its length (eight bytes, little-endian). From then on, the process ends with its standard input.
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
