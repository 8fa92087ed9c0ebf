//! Compiles components in processes, a few at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::compile_queue::CompileQueue;
use super::compiler_limits::{cpu_times, share};
use super::compiler_process::{self, Failure, Limits};
use super::precompiled::Precompiled;
use super::read::Source;
use crate::sandbox::engine::Cpu;
use crate::sandbox::system_limits;

/// A program that compiles, and the order in which it does.
pub struct CompilerProcesses {
    program: PathBuf,
    cpu: Cpu,
    queue: Arc<CompileQueue>,
    /// The memory of one process in bytes.
    memory_bytes: u64,
}

impl CompilerProcesses {
    /// Prepares processes of a program that compile for these processors.
    pub fn new(program: PathBuf, cpu: Cpu) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let (at_once, memory_bytes) = share(processors, system_limits::usable_memory());
        Self { program, cpu, queue: CompileQueue::new(at_once), memory_bytes }
    }

    /// Returns the memory of one process in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Returns the CPU time of an attempt (0 is the first) to compile a file of this size.
    pub fn cpu_time(attempt: usize, file_bytes: u64) -> Duration {
        cpu_times(file_bytes)[attempt]
    }

    /// Waits for a permit, and makes an attempt (0 is the first) to compile a component.
    ///
    /// # Errors
    /// Each variant of [`Failure`].
    pub async fn attempt(&self, attempt: usize, source: &Arc<Mutex<Source>>) -> Result<Precompiled, Failure> {
        let file_bytes = source.lock().size();
        let _permit = self.queue.take(attempt, file_bytes).await;
        let (cpu_time, memory_bytes, cpu) = (Self::cpu_time(attempt, file_bytes), self.memory_bytes, self.cpu);
        compiler_process::compile(&self.program, source, Limits { cpu_time, memory_bytes, cpu }).await
    }
}
