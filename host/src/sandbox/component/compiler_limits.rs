//! The limits of the process that compiles a component.
//!
//! Measured: see the table in `docs/third-party-probes.md`.

use std::time::Duration;

/// The factor by which limits on CPU time are greater in a debug build, whose compiler takes four times the CPU time of
/// a release build's.
const SLOWNESS: u64 = if cfg!(debug_assertions) { 4 } else { 1 };

/// The CPU time, on all threads, that compiling one component may take.
pub const MAX_CPU_TIME: Duration = Duration::from_secs(60 * SLOWNESS);
/// The CPU time of the second attempt.
const LONGER_CPU_TIME: Duration = Duration::from_secs(5 * SLOWNESS);
/// The CPU time of the first attempt for an empty file, to which [`FIRST_CPU_TIME_PER_MIB`] is added. Together they are
/// about twice of what usual components take.
const FIRST_CPU_TIME: Duration = Duration::from_millis(100 * SLOWNESS);
/// The CPU time that the first attempt has for each MiB of a file.
const FIRST_CPU_TIME_PER_MIB: Duration = Duration::from_secs(2 * SLOWNESS);
/// The number of attempts to compile a component.
pub const ATTEMPTS: usize = 3;
/// The real time that a process may take, as a multiple of its limit on CPU time: the machine may be busy, and the
/// process has a low priority.
pub const REAL_TIME_PER_CPU_TIME: u32 = 20;
/// The greatest limit on the memory of a process, in bytes. It applies if the machine has that much memory.
pub const MAX_MEMORY_BYTES: u64 = 2 << 30;
/// The least limit on the memory of a process, in bytes. A probe in Python takes 0.4 GiB.
const MIN_MEMORY_BYTES: u64 = 1 << 30;
/// The limit on the address space of a process, in bytes. It includes the program, and memory that is reserved but not
/// used.
pub const MAX_ADDRESS_SPACE_BYTES: u64 = 4 << 30;
/// The number of files that a process can have open: its three standard streams, and files from which the standard
/// library reads the number of processors.
pub const MAX_OPEN_FILES: u64 = 16;
/// The size of the stack of the thread that parses and compiles the component, in bytes.
pub const STACK_BYTES: usize = 16 << 20;
/// The priority of a process: the lowest is 19, and that of the host 0 as a rule.
pub const NICENESS: i32 = 5;
/// The number of threads of one process that compile.
pub const MAX_THREADS: usize = 4;
/// The number of processes at once, on machines with many processors.
const MAX_PROCESSES: usize = 8;
/// The maximal size of a result in bytes, for a file of any size.
const MAX_OUTPUT_BYTES: u64 = 256 << 20;
/// The number of bytes that the host keeps of what a process writes to standard error.
pub const MAX_ERROR_BYTES: usize = 4096;

/// Returns the number of processes that may compile at once, and the limit on the memory of each in bytes. All together
/// may take half of `usable_memory` at most, unless half is less than the 1 GiB that one process may need.
pub fn share(processors: usize, usable_memory: u64) -> (usize, u64) {
    let half = usable_memory / 2;
    let memory = half.clamp(MIN_MEMORY_BYTES, MAX_MEMORY_BYTES);
    let by_memory = usize::try_from(half / memory).unwrap_or(usize::MAX);
    (processors.min(MAX_PROCESSES).min(by_memory).max(1), memory)
}

/// Returns the maximal size in bytes of the result for a file of this size. The host holds the result in memory, and a
/// small file must not fill that: native code is usually two to four times as large as the file, but 50 times as large
/// as a file of empty functions.
pub fn max_output_bytes(file_bytes: u64) -> u64 {
    const BASE_BYTES: u64 = 4 << 20;
    const PER_FILE_BYTE: u64 = 16;
    MAX_OUTPUT_BYTES.min(file_bytes.saturating_mul(PER_FILE_BYTE).saturating_add(BASE_BYTES))
}

/// Returns the real time that a process with this limit on its CPU time may take.
pub fn real_time(cpu_time: Duration) -> Duration {
    /// Enough for the start of a process on a busy machine.
    const MIN_REAL_TIME: Duration = Duration::from_secs(20);
    (cpu_time * REAL_TIME_PER_CPU_TIME).max(MIN_REAL_TIME)
}

/// Returns the CPU time of each attempt to compile a file of this size. A component that runs out of it waits until the
/// earlier attempts of all others have been made, and starts again. So one that takes its time delays others little.
pub fn cpu_times(file_bytes: u64) -> [Duration; ATTEMPTS] {
    const MIB: f64 = (1 << 20) as f64;
    let first = FIRST_CPU_TIME + FIRST_CPU_TIME_PER_MIB.mul_f64(file_bytes as f64 / MIB);
    [first.min(LONGER_CPU_TIME), LONGER_CPU_TIME, MAX_CPU_TIME]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_attempt_is_short_for_a_small_file() {
        let first = |bytes| cpu_times(bytes)[0] / SLOWNESS as u32;
        assert_eq!(first(0), Duration::from_millis(100));
        assert_eq!(first(1 << 20), Duration::from_millis(2100));
        assert_eq!(first(256 << 20), Duration::from_secs(5));
        assert!(cpu_times(256 << 20).is_sorted());
    }

    #[test]
    fn memory_is_shared_between_processes() {
        const GIB: u64 = 1 << 30;
        assert_eq!(share(2, 24 * GIB), (2, 2 * GIB));
        assert_eq!(share(64, 256 * GIB), (8, 2 * GIB));
        assert_eq!(share(16, 12 * GIB), (3, 2 * GIB));
        assert_eq!(share(4, 3 * GIB), (1, 3 * GIB / 2));
        assert_eq!(share(4, GIB / 4), (1, GIB));
    }
}
