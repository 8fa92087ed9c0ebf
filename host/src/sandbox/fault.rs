//! Faults: limits that a guest reached, and traps.

use std::time::{Duration, Instant};

use wasmtime::component::ResourceTableError;
use wasmtime::{ResourceLimiter, Trap, WasmBacktrace};

use crate::capability::quota::Exceeded;
use crate::capability::record_replay::Halt;
use crate::capability::wasi::exit_status;
use crate::capability::{Accounting, Growth, truncate};
use crate::config::{Limits, MAX_MEMORY_BYTES, MAX_TABLE_ELEMENTS};
use crate::run::{Failure, Fault, FaultKind, LimitKind};
use crate::sandbox::backtrace::backtrace;

impl ResourceLimiter for Accounting {
    // An error stops the guest. After `Ok(false)` the guest itself would handle the refusal, and most guests then trap
    // with a less helpful message.
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        grow(&mut self.memory, current, desired, self.limits.memory, LimitKind::Memory)?;
        self.quota.reserve_for_guest(self.memory.last)?;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        let released = undo_last_growth(&mut self.memory);
        self.quota.release_for_guest(released);
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        grow(&mut self.table_elements, current, desired, self.limits.table, LimitKind::Table)?;
        self.quota.reserve_for_guest(self.table_elements.last * size_of::<usize>())?;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        let released = undo_last_growth(&mut self.table_elements);
        self.quota.release_for_guest(released * size_of::<usize>());
        Ok(())
    }
}

/// Adds a growth from `current` to `desired`, in bytes or in elements.
///
/// # Errors
/// Returns [`Exceeded`] with `limit` if the total is then greater than `max`.
fn grow(growth: &mut Growth, current: usize, desired: usize, max: usize, limit: LimitKind) -> Result<(), Exceeded> {
    growth.last = desired.saturating_sub(current);
    growth.total = growth.total.saturating_add(growth.last);
    if growth.total > max { Err(Exceeded(limit)) } else { Ok(()) }
}

/// Undoes the last growth, which wasmtime could not carry out. Returns its size, in bytes or in elements.
fn undo_last_growth(growth: &mut Growth) -> usize {
    let last = std::mem::take(&mut growth.last);
    growth.total = growth.total.saturating_sub(last);
    last
}

/// The greatest length of a fault's message in bytes. Parts of it are worded by libraries or by the guest.
const MAX_MESSAGE_BYTES: usize = 2048;

/// Converts the error of a call into a guest to a fault.
pub fn from_error(error: &wasmtime::Error, limits: &Limits) -> Fault {
    let (kind, message) = if let Some(halt) = error.downcast_ref::<Halt>() {
        match halt {
            Halt::Stopped(fault) => return fault.clone(),
            Halt::Diverged(why) => (FaultKind::ReplayDiverged, why.clone()),
        }
    } else if let Some(limit) = limit_reached(error) {
        (FaultKind::Limit(limit), limit_message(limit, limits))
    } else if let Some(status) = exit_status(error) {
        (FaultKind::Trap, format!("the probe exited with status {status} instead of returning"))
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        let text = trap.to_string();
        (FaultKind::Trap, format!("the probe trapped: {}", text.trim_start_matches("wasm trap: ")))
    } else if error.is::<WasmBacktrace>() {
        // A host function returned an error, for example for an invalid handle.
        (FaultKind::Trap, format!("the probe was stopped: {}", error.root_cause()))
    } else {
        (FaultKind::Host, format!("the probe could not be run: {error:#}"))
    };
    Fault { kind, message: truncate(message, MAX_MESSAGE_BYTES), backtrace: backtrace(error) }
}

/// Returns the fault of a guest that was waiting in a host call when its deadline passed. It has no backtrace.
pub fn deadline_fault(limits: &Limits) -> Fault {
    let kind = FaultKind::Limit(LimitKind::Deadline);
    Fault { kind, message: limit_message(LimitKind::Deadline, limits), backtrace: Vec::new() }
}

/// Returns the fault of a run whose report takes too long to redact.
pub fn redaction_fault(limits: &Limits) -> Fault {
    let message =
        format!("the report of the run took more CPU time to redact than the probe's {} s", limits.cpu.as_secs_f64());
    with_advice(Fault { kind: FaultKind::Limit(LimitKind::Cpu), message, backtrace: Vec::new() }, limits)
}

/// Checks the deadline and the CPU time of a guest that computes.
///
/// # Errors
/// Returns [`Exceeded`] with the limit that is reached.
pub fn check_limits(deadline: Instant, used: Duration, limits: Limits) -> Result<(), Exceeded> {
    if Instant::now() >= deadline {
        Err(Exceeded(LimitKind::Deadline))
    } else if used > limits.cpu {
        Err(Exceeded(LimitKind::Cpu))
    } else {
        Ok(())
    }
}

/// Adds the configuration key that raises a limit to the message of the limit's fault, unless no key does, or the limit
/// already has its greatest value.
pub fn with_advice(mut fault: Fault, limits: &Limits) -> Fault {
    let FaultKind::Limit(limit) = fault.kind else { return fault };
    let cannot_be_raised = match limit {
        LimitKind::Memory => limits.memory == MAX_MEMORY_BYTES,
        LimitKind::Table => limits.table == MAX_TABLE_ELEMENTS,
        limit => !limit.is_configured(),
    };
    if !cannot_be_raised {
        let subject = if limit == LimitKind::TotalMemory { "they" } else { "it" };
        fault.message.push_str(&format!("; raise `limits.{}` if {subject} may have more", limit.key()));
    }
    fault
}

/// Returns the failure of a target that sent a built-in probe more than its run may receive or look into. Returns
/// `None` for other faults: built-in probes ask for no more than they can use, so that these limits are reached by the
/// target's doing alone.
pub fn flood_failure(fault: &Fault, limits: &Limits) -> Option<Failure> {
    let message = match fault.kind {
        FaultKind::Limit(LimitKind::Received) => {
            let most = format_bytes(limits.received);
            format!("the target sent more than {most}; raise `limits.received` if a run may receive more")
        }
        FaultKind::Limit(LimitKind::Memory) => {
            let most = format_bytes(limits.memory as u64);
            let advice =
                if limits.memory == MAX_MEMORY_BYTES { "" } else { "; raise `limits.memory` if it may take more" };
            format!("what the target sent takes more than {most} of memory to look into{advice}")
        }
        FaultKind::Limit(LimitKind::Cpu) => {
            let most = limits.cpu.as_secs_f64();
            format!(
                "what the target sent takes more than {most} s of CPU time to look into; raise `limits.cpu` if it may"
            )
        }
        _ => return None,
    };
    Some(Failure { reason: "too-large".to_owned(), message, mismatches: Vec::new() })
}

/// Returns the limit that the guest has exceeded, if the error reports one.
fn limit_reached(error: &wasmtime::Error) -> Option<LimitKind> {
    if let Some(Exceeded(limit)) = error.downcast_ref() {
        return Some(*limit);
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return Some(LimitKind::Handles);
    }
    // wasmtime has no types for these errors, which are recognised by their messages.
    match error.root_cause().to_string() {
        text if text.contains("store handle limit exceeded") => Some(LimitKind::Handles),
        text if text.contains("fuel allocated for hostcalls has been exhausted") => Some(LimitKind::Memory),
        _ => None,
    }
}

fn limit_message(limit: LimitKind, limits: &Limits) -> String {
    match limit {
        LimitKind::Deadline => {
            format!("the probe was not done within its deadline of {} s", limits.deadline.as_secs_f64())
        }
        LimitKind::Cpu => format!("the probe used more CPU time than its {} s", limits.cpu.as_secs_f64()),
        LimitKind::Memory => format!("the probe asked for more memory than its {}", format_bytes(limits.memory as u64)),
        LimitKind::TotalMemory => "the probe asked for more memory than is left of the total for all runs".to_owned(),
        LimitKind::Table => format!("the probe asked for more than its {} table elements", limits.table),
        LimitKind::Handles => format!("the probe held more than its {} handles at once", limits.handles),
        LimitKind::Requests => format!("the probe made more than its {} requests", limits.requests),
        LimitKind::Connections => format!("the probe had more than its {} connections at once", limits.connections),
        LimitKind::Received => format!("the probe received more than its {}", format_bytes(limits.received)),
        LimitKind::Sent => format!("the probe sent more than its {}", format_bytes(limits.sent)),
        LimitKind::OpenFiles => "this host has too few open files left for another connection of the probe; raise its \
                                 hard limit (`ulimit -Hn`, or `LimitNOFILE=` of a systemd unit), or lower \
                                 `limits.connections` of probes that open many"
            .to_owned(),
        LimitKind::LocalPorts => "this host has no free port for another connection; widen \
                                  `sysctl net.ipv4.ip_local_port_range`"
            .to_owned(),
        LimitKind::KernelMemory => "this host's kernel has no memory for another connection".to_owned(),
        LimitKind::Files => "a file that the probe's settings name was not read or written in time: see whether its \
                             file system answers, and whether another program keeps the file locked; nothing is known \
                             about the target"
            .to_owned(),
        LimitKind::Threads => {
            "this host had no free thread on which to resolve the probe's name or to read its files: other probes take \
             all of them, so see whether this host's DNS servers and file systems answer; nothing is known about the \
             target"
                .to_owned()
        }
    }
}

/// Formats a size in KiB or MiB, as in a configuration.
fn format_bytes(bytes: u64) -> String {
    if bytes < 1 << 20 {
        format!("{} KiB", bytes as f64 / f64::from(1 << 10))
    } else {
        format!("{} MiB", bytes as f64 / f64::from(1 << 20))
    }
}
