//! What stopped a guest: limits that it ran into, traps that it fell into.

use std::time::{Duration, Instant};

use wasmtime::component::ResourceTableError;
use wasmtime::{ResourceLimiter, Trap, WasmBacktrace};

use crate::capability::quota::Exceeded;
use crate::capability::record_replay::Halt;
use crate::capability::wasi::exit_status;
use crate::capability::{Accounting, Growth, HostMemoryExceeded};
use crate::config::{Limits, MAX_MEMORY_BYTES, MAX_TABLE_ELEMENTS};
use crate::run::{Fault, FaultKind, LimitKind};
use crate::sandbox::backtrace::backtrace;

impl ResourceLimiter for Accounting {
    // An error ends the guest here. A refusal would have it end itself, with less to say.
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        grow(&mut self.memory, current, desired, self.limits.memory, LimitKind::Memory)?;
        self.reservation.reserve(self.memory.last)?;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.reservation.release(shrink(&mut self.memory));
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        grow(&mut self.table_elements, current, desired, self.limits.table, LimitKind::Table)?;
        self.reservation.reserve(self.table_elements.last * size_of::<usize>())?;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.reservation.release(shrink(&mut self.table_elements) * size_of::<usize>());
        Ok(())
    }
}

fn grow(grown: &mut Growth, current: usize, desired: usize, most: usize, ceiling: LimitKind) -> Result<(), Exceeded> {
    grown.last = desired.saturating_sub(current);
    grown.total = grown.total.saturating_add(grown.last);
    if grown.total > most { Err(Exceeded(ceiling)) } else { Ok(()) }
}

/// How much came to nothing.
fn shrink(grown: &mut Growth) -> usize {
    let last = std::mem::take(&mut grown.last);
    grown.total = grown.total.saturating_sub(last);
    last
}

/// Why a call into the guest came back with an error.
pub fn explain(error: &wasmtime::Error, limits: &Limits) -> Fault {
    let (kind, message) = if let Some(off) = error.downcast_ref::<Halt>() {
        match off {
            Halt::Stopped(fault) => return fault.clone(),
            Halt::Diverged(why) => (FaultKind::ReplayDiverged, why.clone()),
        }
    } else if let Some(ceiling) = limit_reached(error) {
        (FaultKind::Limit(ceiling), limit_message(ceiling, limits))
    } else if let Some(held) = error.downcast_ref::<HostMemoryExceeded>() {
        (FaultKind::Limit(LimitKind::Memory), held.to_string())
    } else if let Some(status) = exit_status(error) {
        (FaultKind::Trap, format!("the probe ended itself with exit status {status}, where it was to return"))
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        let text = trap.to_string();
        (FaultKind::Trap, format!("the probe trapped: {}", text.trim_start_matches("wasm trap: ")))
    } else if error.is::<WasmBacktrace>() {
        // A host call ended it: a handle that is none.
        (FaultKind::Trap, format!("the probe was stopped: {}", error.root_cause()))
    } else {
        (FaultKind::Host, format!("the probe could not be run: {error:#}"))
    };
    Fault { kind, message, backtrace: backtrace(error) }
}

/// The guest was parked in a call of the host's when its deadline passed.
pub fn deadline_fault(limits: &Limits) -> Fault {
    let kind = FaultKind::Limit(LimitKind::Deadline);
    Fault { kind, message: limit_message(LimitKind::Deadline, limits), backtrace: Vec::new() }
}

/// Whether a guest that computes is to be stopped, when it has computed for so long.
pub fn check_limits(deadline: Instant, computed: Duration, limits: Limits) -> Result<(), Exceeded> {
    if Instant::now() >= deadline {
        Err(Exceeded(LimitKind::Deadline))
    } else if computed > limits.cpu {
        Err(Exceeded(LimitKind::Cpu))
    } else {
        Ok(())
    }
}

/// Says which key lets a probe have more, where that can be.
pub fn with_advice(mut fault: Fault, limits: &Limits) -> Fault {
    let FaultKind::Limit(ceiling) = fault.kind else { return fault };
    let at_its_most = match ceiling {
        LimitKind::Memory => limits.memory == MAX_MEMORY_BYTES,
        LimitKind::Table => limits.table == MAX_TABLE_ELEMENTS,
        _ => false,
    };
    if !at_its_most {
        let who = if ceiling == LimitKind::TotalMemory { "they" } else { "it" };
        fault.message.push_str(&format!("; raise `limits.{}` if {who} may have more", ceiling.key()));
    }
    fault
}

/// The ceiling that an error is about.
fn limit_reached(error: &wasmtime::Error) -> Option<LimitKind> {
    if let Some(Exceeded(ceiling)) = error.downcast_ref() {
        return Some(*ceiling);
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return Some(LimitKind::Handles);
    }
    // wasmtime has no types for these.
    match error.root_cause().to_string() {
        text if text.contains("store handle limit exceeded") => Some(LimitKind::Handles),
        text if text.contains("fuel allocated for hostcalls has been exhausted") => Some(LimitKind::Memory),
        _ => None,
    }
}

fn limit_message(ceiling: LimitKind, limits: &Limits) -> String {
    match ceiling {
        LimitKind::Deadline => {
            format!("the probe was not done within its deadline of {} s", limits.deadline.as_secs_f64())
        }
        LimitKind::Cpu => format!("the probe computed for more than its {} s", limits.cpu.as_secs_f64()),
        LimitKind::Memory => format!("the probe asked for more memory than its {}", size(limits.memory as u64)),
        LimitKind::TotalMemory => {
            "the probe asked for more memory than other runs leave of what all may have together".into()
        }
        LimitKind::Table => format!("the probe asked for more than its {} elements of tables", limits.table),
        LimitKind::Handles => format!("the probe held more than its {} handles at once", limits.handles),
        LimitKind::Requests => format!("the probe made more than its {} requests", limits.requests),
        LimitKind::Connections => format!("the probe had more than its {} connections at once", limits.connections),
        LimitKind::Received => format!("the probe received more than its {}", size(limits.received)),
        LimitKind::Sent => format!("the probe sent more than its {}", size(limits.sent)),
    }
}

/// As one writes it in a configuration.
fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes as f64 / f64::from(1 << 10)),
        _ => format!("{} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}
