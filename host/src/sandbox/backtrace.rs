//! Backtraces of guests: functions by the names in their source, with file and line if the component has debug
//! information. All this text comes from the guest, and its length is bounded.

use std::fmt::{self, Write};

use cpp_demangle::{DemangleOptions, Symbol};
use wasmtime::WasmBacktrace;

use crate::capability::log_buffer::LogBuffer;
use crate::run::{Fault, FaultKind, Frame};

/// Returns at most 30 frames of an error, innermost first. Returns no frames if the error does not come from within a
/// guest.
pub fn backtrace(error: &wasmtime::Error) -> Vec<Frame> {
    /// The maximal number of frames of a backtrace. Endless recursion has many more.
    const MAX_FRAMES: usize = 30;
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let mut frames = Vec::new();
    for frame in backtrace.frames() {
        let module = frame.module().name().map(|name| bounded(|text| text.write_str(name)));
        let function = match (frame.func_name(), &module) {
            (Some(name), _) => demangle(name),
            (None, Some(module)) => format!("wasm function {} of module {module}", frame.func_index()),
            (None, None) => format!("wasm function {}", frame.func_index()),
        };
        if frame.symbols().is_empty() {
            frames.push(Frame { function, module, file: None, line: None });
            continue;
        }
        // An inlined function has no frame of its own, but a symbol.
        frames.extend(frame.symbols().iter().map(|symbol| Frame {
            function: symbol.name().map_or_else(|| function.clone(), demangle),
            module: module.clone(),
            file: symbol.file().map(|file| bounded(|text| text.write_str(file))),
            line: symbol.line(),
        }));
    }
    frames.truncate(MAX_FRAMES);
    frames
}

/// Adds to the message of a trap the last warnings and errors that the guest logged. The runtimes of many languages
/// write the reason of a panic to standard error, and then execute an instruction that traps.
pub fn with_last_log_lines(mut fault: Fault, log: &LogBuffer) -> Fault {
    if let (FaultKind::Trap, Some(lines)) = (fault.kind, log.last_warnings()) {
        fault.message += &format!("; its last log lines: {lines}");
    }
    fault
}

/// Formats a fault in one line, with its innermost frame, for a call outside of a run, which has no other place for a
/// backtrace.
pub fn format_fault(Fault { message, backtrace, .. }: Fault) -> String {
    match backtrace.first() {
        Some(frame) => format!("{message}, in {frame}"),
        None => message,
    }
}

/// Returns a function's name as in its Rust or C++ source; other names stay as they are.
fn demangle(name: &str) -> String {
    /// The maximal nesting of a C++ name; deeper names are cut.
    const MAX_NESTING: u32 = 64;
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return bounded(|text| write!(text, "{rust:#}"));
    }
    let options = DemangleOptions::new().recursion_limit(MAX_NESTING);
    match name.starts_with("_Z").then(|| Symbol::new(name)) {
        Some(Ok(symbol)) => bounded(|text| symbol.structured_demangle(text, &options)),
        _ => bounded(|text| text.write_str(name)),
    }
}

/// Returns at most 300 bytes of the text that `write` produces, and an ellipsis if there is more. Stops `write` at that
/// length: the demangled form of a short name can be gigabytes long.
fn bounded(write: impl FnOnce(&mut BoundedName) -> fmt::Result) -> String {
    let mut text = BoundedName(String::new());
    if write(&mut text).is_err() {
        text.0.push('…');
    }
    text.0
}

/// A writer that fails once it is full.
struct BoundedName(String);

impl Write for BoundedName {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        const MAX_BYTES: usize = 300;
        let bytes_left = MAX_BYTES - self.0.len();
        self.0.push_str(&more[..more.floor_char_boundary(bytes_left)]);
        if more.len() > bytes_left { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_demangled() {
        assert_eq!(demangle("_ZN4core9panicking5panic17h0123456789abcdefE"), "core::panicking::panic");
        assert_eq!(demangle("_RNvCs1234_7mycrate3foo"), "mycrate::foo");
        assert_eq!(
            demangle("_ZN5probe3runERKSt6vectorIiSaIiEE"),
            "probe::run(std::vector<int, std::allocator<int> > const&)"
        );
        assert_eq!(demangle("main"), "main");
        assert_eq!(demangle("_Zebra"), "_Zebra");
        assert_eq!(demangle(""), "");
    }

    #[test]
    fn a_name_that_demangles_to_gigabytes_is_cut() {
        // Each substitution doubles the length of the one before.
        let bomb = format!(
            "_Z1f1aI{}",
            (0..40).map(|n| format!("St4pairIS{}_S{}_E", substitution_id(n), substitution_id(n))).collect::<String>()
        );
        assert!(demangle(&bomb).len() < 400);
        let long = "é".repeat(10_000);
        assert!(demangle(&long).len() < 310 && demangle(&long).ends_with('…'));
    }

    /// Returns the sequence number of a substitution in a mangled C++ name.
    fn substitution_id(number: usize) -> String {
        if number == 0 {
            String::new()
        } else {
            char::from_digit(number as u32 - 1, 36).map(String::from).unwrap_or_default()
        }
    }
}
