//! The limits of the process that compiles a component.
//!
//! Measured: see the table in `docs/third-party-probes.md`.

use std::time::Duration;

/// A debug build of the compiler takes four times the CPU time of a release build.
const SLOWNESS: u64 = if cfg!(debug_assertions) { 4 } else { 1 };

/// The CPU time in seconds after which a component has to wait until others have had their turn.
pub const FIRST_CPU_SECONDS: u64 = 5 * SLOWNESS;
/// The CPU time in seconds, on all threads, that compiling one component may take.
pub const MAX_CPU_SECONDS: u64 = 60 * SLOWNESS;
/// The real time per CPU time that a process may take: the machine may be busy, and the process has a low priority.
pub const REAL_TIME_PER_CPU_TIME: u32 = 20;
/// The address space of a process in bytes.
pub const MAX_ADDRESS_SPACE_BYTES: u64 = 4 << 30;
/// The files that a process can have open. It has three; the standard library reads the number of processors from others.
pub const MAX_OPEN_FILES: u64 = 16;
/// The stack of the thread that parses, in bytes.
pub const STACK_BYTES: usize = 16 << 20;
/// The priority of a process: the lowest is 19, and that of the host 0 as a rule.
pub const NICENESS: i32 = 5;
/// The threads of one process.
pub const MAX_THREADS: usize = 4;
/// The most processes at once, on machines with many processors: each may take much memory.
pub const MAX_PROCESSES: usize = 8;
/// The size of the result in bytes.
pub const MAX_OUTPUT_BYTES: u64 = 512 << 20;
/// The bytes that are kept of what a process writes to standard error.
pub const MAX_ERROR_BYTES: usize = 4096;

/// Returns the real time that a process with this limit on its CPU time may take.
pub fn real_time(cpu_seconds: u64) -> Duration {
    Duration::from_secs(cpu_seconds) * REAL_TIME_PER_CPU_TIME
}
