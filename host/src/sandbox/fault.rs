//! What stopped a guest: limits that it ran into, traps that it fell into.

use std::time::{Duration, Instant};

use wasmtime::{ResourceLimiter, Trap, WasmBacktrace};

use crate::capability::{Context, TooMuchHeld};
use crate::config::Limits;
use crate::run::{Fault, FaultKind};

/// The run's deadline passed while the guest computed.
#[derive(Debug, thiserror::Error)]
#[error("deadline")]
pub struct Overdue;

/// The guest asked for more memory than it may have.
#[derive(Debug, thiserror::Error)]
#[error("memory")]
struct OutOfMemory;

impl ResourceLimiter for Context {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // An error ends the guest here. A refusal would have it end itself, with less to say.
        if desired > self.limits.memory { Err(OutOfMemory.into()) } else { Ok(true) }
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // The pool bounds tables.
        Ok(true)
    }
}

/// Why a call into the guest came back with an error.
pub fn explain(error: &wasmtime::Error, limits: Limits) -> Fault {
    let (kind, message) = if error.is::<Overdue>() {
        (FaultKind::Deadline, not_done(limits.deadline))
    } else if error.is::<OutOfMemory>() {
        (FaultKind::Memory, format!("the probe asked for more memory than its {}", mebibytes(limits.memory)))
    } else if let Some(held) = error.downcast_ref::<TooMuchHeld>() {
        (FaultKind::Memory, held.to_string())
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        let text = trap.to_string();
        (FaultKind::Trap, format!("the probe trapped: {}", text.trim_start_matches("wasm trap: ")))
    } else if error.is::<WasmBacktrace>() {
        // A host call ended it: a handle that is none, a full table.
        (FaultKind::Trap, format!("the probe was stopped: {}", error.root_cause()))
    } else {
        (FaultKind::Host, format!("the probe could not be run: {error:#}"))
    };
    Fault { kind, message, backtrace: backtrace(error) }
}

/// The guest was parked in a call of the host's when its deadline passed.
pub fn overdue(limits: Limits) -> Fault {
    Fault { kind: FaultKind::Deadline, message: not_done(limits.deadline), backtrace: Vec::new() }
}

/// Whether a guest that computes is to be stopped.
pub fn look(deadline: Instant) -> wasmtime::Result<()> {
    if Instant::now() >= deadline { Err(Overdue.into()) } else { Ok(()) }
}

fn not_done(deadline: Duration) -> String {
    format!("the probe was not done within its deadline of {} s", deadline.as_secs_f64())
}

fn mebibytes(bytes: usize) -> String {
    format!("{} MiB", bytes as f64 / f64::from(1 << 20))
}

/// The guest's frames, innermost first, with their places in the source where the component carries them.
fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    /// A recursion without end would fill a page.
    const MOST_FRAMES: usize = 30;
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let mut shown = Vec::new();
    for frame in backtrace.frames().iter().take(MOST_FRAMES) {
        let module = frame.module().name().unwrap_or("wasm");
        let name = frame.func_name().map_or_else(
            || format!("{module}[{}]", frame.func_index()),
            |name| format!("{:#}", rustc_demangle::demangle(name)),
        );
        if frame.symbols().is_empty() {
            shown.push(name);
            continue;
        }
        for symbol in frame.symbols() {
            let name =
                symbol.name().map_or_else(|| name.clone(), |name| format!("{:#}", rustc_demangle::demangle(name)));
            match (symbol.file(), symbol.line()) {
                (Some(file), Some(line)) => shown.push(format!("{name} at {file}:{line}")),
                _ => shown.push(name),
            }
        }
    }
    let left_out = backtrace.frames().len().saturating_sub(MOST_FRAMES);
    if left_out > 0 {
        shown.push(format!("… and {left_out} more"));
    }
    shown
}
