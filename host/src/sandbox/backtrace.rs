//! Where a guest was when it was stopped, and what it said last: functions by the names that their authors gave them,
//! with their places in the source where the component carries them. All of it is a guest's text, and bounded.

use std::fmt::{self, Write};

use cpp_demangle::{DemangleOptions, Symbol};
use wasmtime::WasmBacktrace;

use crate::capability::log_buffer::LogBuffer;
use crate::run::{Fault, FaultKind, Frame};

/// The frames in an error, innermost first; none where it does not come from within a guest.
pub fn backtrace(error: &wasmtime::Error) -> Vec<Frame> {
    /// A recursion without end would fill a page.
    const MOST_FRAMES: usize = 30;
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
        // What was inlined has no frame of its own, but a symbol.
        frames.extend(frame.symbols().iter().map(|symbol| Frame {
            function: symbol.name().map_or_else(|| function.clone(), demangle),
            module: module.clone(),
            file: symbol.file().map(|file| bounded(|text| text.write_str(file))),
            line: symbol.line(),
        }));
    }
    frames.truncate(MOST_FRAMES);
    frames
}

/// A trap with what the guest said before it: a language's runtime says why on its standard error, and then does what
/// is sure to trap.
pub fn with_last_words(mut fault: Fault, log: &LogBuffer) -> Fault {
    if let (FaultKind::Trap, Some(words)) = (fault.kind, log.last_warnings()) {
        fault.message += &format!("; its last words: {words}");
    }
    fault
}

/// What went wrong where there is no run to carry the stack.
pub fn in_one_line(Fault { message, backtrace, .. }: Fault) -> String {
    match backtrace.first() {
        Some(frame) => format!("{message}, in {frame}"),
        None => message,
    }
}

/// A name as it stands in the source: of Rust, of C++, or as it is.
fn demangle(name: &str) -> String {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return bounded(|text| write!(text, "{rust:#}"));
    }
    let options = DemangleOptions::new().recursion_limit(MOST_NESTED);
    match name.starts_with("_Z").then(|| Symbol::new(name)) {
        Some(Ok(symbol)) => bounded(|text| symbol.structured_demangle(text, &options)),
        _ => bounded(|text| text.write_str(name)),
    }
}

/// How deep a C++ name is followed.
const MOST_NESTED: u32 = 64;

/// What is written, as far as anybody reads. The rest is not even made: a short name can stand for gigabytes.
fn bounded(write: impl FnOnce(&mut Bounded) -> fmt::Result) -> String {
    let mut text = Bounded(String::new());
    if write(&mut text).is_err() {
        text.0.push('…');
    }
    text.0
}

struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        const LONGEST: usize = 300;
        let room = LONGEST - self.0.len();
        self.0.push_str(&more[..more.floor_char_boundary(room)]);
        if more.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_source() {
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
    fn a_name_that_stands_for_gigabytes_is_cut() {
        // Each substitution doubles what came before it.
        let bomb =
            format!("_Z1f1aI{}", (0..40).map(|n| format!("St4pairIS{}_S{}_E", seq(n), seq(n))).collect::<String>());
        assert!(demangle(&bomb).len() < 400);
        let long = "é".repeat(10_000);
        assert!(demangle(&long).len() < 310 && demangle(&long).ends_with('…'));
    }

    fn seq(number: usize) -> String {
        if number == 0 {
            String::new()
        } else {
            char::from_digit(number as u32 - 1, 36).map(String::from).unwrap_or_default()
        }
    }
}
