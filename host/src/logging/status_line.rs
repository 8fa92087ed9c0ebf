//! The status line: the last line of a terminal, which says how far a command is, and is replaced again and again.
//! Everything else that the program writes to the terminal erases it first, so that it is never mixed with other lines.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use sentrynet::printable::escape;
use terminal_size::{Width, terminal_size_of};

/// The status line of this process, which is erased when the value is dropped.
pub struct StatusLine(());

/// True while there is a [`StatusLine`]: only then do other writers take the lock.
static IS_ACTIVE: AtomicBool = AtomicBool::new(false);
/// The text that is shown, if any. Whoever writes to the terminal holds the lock.
static SHOWN: Mutex<Option<String>> = Mutex::new(None);

/// Returns to the beginning of the line, and erases it.
const ERASE: &str = "\r\x1b[K";
/// The width of a terminal that does not say how wide it is.
const DEFAULT_WIDTH: u16 = 80;

impl StatusLine {
    /// Returns the status line, without a text yet. `None` if standard error is no terminal or one that cannot erase a
    /// line (`TERM`), and in a CI system (`CI`).
    pub fn start() -> Option<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let can_erase = variable("TERM").is_some_and(|name| name != "dumb");
        let is_ci = variable("CI").is_some_and(|value| value != "false");
        let is_wanted = can_erase && !is_ci && io::stderr().is_terminal();
        is_wanted.then(|| IS_ACTIVE.store(true, Ordering::Release)).map(|()| Self(()))
    }

    /// Shows a text in place of the one before, cut to the width of the terminal.
    #[expect(clippy::unused_self, reason = "other writers erase the line only while there is a value of this type")]
    pub fn show(&self, text: &str) {
        let width = terminal_size_of(io::stderr()).map_or(DEFAULT_WIDTH, |(Width(width), _)| width);
        let text = cut(&escape(text), usize::from(width).saturating_sub(1));
        let mut shown = SHOWN.lock();
        if shown.as_ref() != Some(&text) {
            write(&format!("{ERASE}{text}"));
            *shown = Some(text);
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        without(|| IS_ACTIVE.store(false, Ordering::Release));
    }
}

/// Calls a function that writes to the terminal, with the status line erased before.
pub fn without<T>(write_other: impl FnOnce() -> T) -> T {
    if !IS_ACTIVE.load(Ordering::Acquire) {
        return write_other();
    }
    let mut shown = SHOWN.lock();
    if shown.take().is_some() {
        write(ERASE);
    }
    write_other()
}

/// Returns the standard output for a writer that shares the terminal with the status line. `None` if there is no status
/// line, or standard output is no terminal: then a reader that is slow must not hold the lock.
pub fn shared_stdout() -> Option<Box<dyn Write + Send>> {
    let is_shared = IS_ACTIVE.load(Ordering::Acquire) && io::stdout().is_terminal();
    is_shared.then(|| Box::new(SharedStdout) as Box<dyn Write + Send>)
}

struct SharedStdout;

impl Write for SharedStdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Lines are written and flushed as a whole, so that the status line does not come after a part of one.
        without(|| io::stdout().lock().write_all(bytes).and_then(|()| io::stdout().flush()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to the terminal. A failure cannot be reported anywhere.
fn write(text: &str) {
    _ = io::stderr().write_all(text.as_bytes());
}

/// Returns the beginning of a text that is certainly at most so many columns wide: a character beyond ASCII counts as
/// two. A wider text would take two lines of the terminal, of which only one would be erased.
fn cut(text: &str, columns: usize) -> String {
    let mut left = columns;
    let fits = |c: &char| match left.checked_sub(if c.is_ascii() { 1 } else { 2 }) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    text.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_the_columns() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abc", 2), "ab");
        assert_eq!(cut("緑緑緑", 5), "緑緑");
        assert_eq!(cut("é", 1), "");
    }
}
