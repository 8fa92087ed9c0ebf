//! Runs as lines, for a person at a terminal, a log file or a program. Knows how to keep out of the way: what is written
//! to may be slow, stopped or gone, and the probes go on.

use std::io::Write;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use async_trait::async_trait;
use tokio::sync::oneshot;

use super::Sink;
use super::json::run_to_json;
use crate::assessment::AssessedRun;

mod format;
mod text;
mod waterfall;

pub use text::{escape, wrap};

/// Prints a line for each run, and below one that did not pass where its time went.
pub struct Console {
    orders: SyncSender<Message>,
    skipped: Arc<AtomicU64>,
}

/// What is shown, and in which width.
#[derive(Debug, Clone, Copy)]
pub struct ConsoleOptions {
    /// JSON, a line for each run, instead of text: the rest is then of no matter.
    pub json: bool,
    /// The waterfall of every run, not only of those that did not pass.
    pub trace: bool,
    /// The time of day before each line: for a host that runs on and on.
    pub stamp: bool,
    /// In characters; what is drawn does not go beyond.
    pub width: usize,
}

impl ConsoleOptions {
    /// As wide as `COLUMNS` says, or the terminal is, or else most terminals are.
    pub fn text(trace: bool, stamp: bool) -> Self {
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let terminal = || terminal_size::terminal_size().map(|(terminal_size::Width(width), _)| width.into());
        Self { json: false, trace, stamp, width: columns.or_else(terminal).unwrap_or(100) }
    }

    pub fn json() -> Self {
        Self { json: true, trace: true, stamp: true, width: usize::MAX }
    }
}

enum Message {
    Show(Arc<AssessedRun>),
    Flush(oneshot::Sender<()>),
}

/// Where runs come all the time, those of so long are shown together, too short to be seen, so that none needs a wake-up
/// and a write of its own; and so many of them.
const GATHER: Duration = Duration::from_millis(100);
const MOST_AT_ONCE: usize = 1000;

/// Runs that may wait for the terminal. `once` with a whole configuration fits while its reader scrolls.
const BACKLOG: usize = 10_000;

impl Console {
    /// Writes to standard output, in colour if that is a terminal that has it.
    pub fn new(look: ConsoleOptions) -> Self {
        let out = std::io::stdout();
        let color = AutoStream::choice(&out) != ColorChoice::Never;
        Self::to(out, color, look)
    }

    /// Writes elsewhere.
    pub fn to(out: impl Write + Send + 'static, color: bool, look: ConsoleOptions) -> Self {
        let (orders, inbox) = sync_channel(BACKLOG);
        let skipped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&skipped);
        let writer = std::thread::Builder::new().name("console".to_owned());
        // A thread of its own, for a stopped terminal stops whoever writes to it.
        if let Err(error) = writer.spawn(move || write_all(&inbox, out, color, look, &counter)) {
            tracing::warn!(%error, "runs are not shown, no thread could be started: raise the limit on processes");
        }
        Self { orders, skipped }
    }
}

#[async_trait]
impl Sink for Console {
    fn report(&self, run: &Arc<AssessedRun>) {
        if self.orders.try_send(Message::Show(Arc::clone(run))).is_err() {
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn flush(&self, grace: Duration) {
        let (done, flushed) = oneshot::channel();
        if self.orders.try_send(Message::Flush(done)).is_ok() {
            _ = tokio::time::timeout(grace, flushed).await;
        }
    }
}

fn write_all(inbox: &Receiver<Message>, mut out: impl Write, color: bool, look: ConsoleOptions, skipped: &AtomicU64) {
    while let Ok(first) = inbox.recv() {
        let (mut text, mut flushed) = (String::new(), Vec::new());
        for order in iter::once(first).chain(inbox.try_iter().take(MOST_AT_ONCE)) {
            match order {
                Message::Show(run) if look.json => text.push_str(&format!("{}\n", run_to_json(&run))),
                Message::Show(run) => text.push_str(&format::render(&run, &look)),
                Message::Flush(done) => flushed.push(done),
            }
        }
        let missed = skipped.swap(0, Ordering::Relaxed);
        if missed > 0 {
            text.push_str(&match look.json {
                true => format!("{{\"not_shown\":{missed}}}\n"),
                false => format!("… {missed} runs not shown: what reads this is too slow\n"),
            });
        }
        if !color {
            text = strip_str(&text).to_string();
        }
        // One write for whole runs, so that what others write does not come between the lines of one.
        if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            tracing::warn!(%error, "runs are no longer shown, standard output is gone; probes go on");
            return;
        }
        for done in flushed {
            // Whoever asked may have given up waiting.
            _ = done.send(());
        }
        if look.stamp {
            std::thread::sleep(GATHER);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::*;
    use crate::sink::fixtures;

    const LOOK: ConsoleOptions = ConsoleOptions { json: false, trace: false, stamp: false, width: 100 };

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn colour_goes_where_it_belongs() {
        for color in [true, false] {
            let out = Shared::default();
            let console = Console::to(out.clone(), color, LOOK);
            console.report(&Arc::new(fixtures::assessed(fixtures::failed())));
            console.flush(Duration::from_secs(10)).await;
            let shown = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
            assert_eq!(shown.contains('\u{1b}'), color, "{shown}");
        }
    }

    #[tokio::test]
    async fn flush_waits_for_what_was_reported() {
        let out = Shared::default();
        let console = Console::to(out.clone(), false, LOOK);
        for _ in 0..3 {
            console.report(&Arc::new(fixtures::assessed(fixtures::passed())));
        }
        console.flush(Duration::from_secs(10)).await;
        assert_eq!(String::from_utf8(out.0.lock().unwrap().clone()).unwrap().lines().count(), 3);
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_closed_pipe_ends_nothing() {
        let console = Console::to(Closed, false, LOOK);
        for _ in 0..3 {
            console.report(&Arc::new(fixtures::assessed(fixtures::failed())));
            console.flush(Duration::from_secs(10)).await;
        }
    }

    struct Stopped;

    impl Write for Stopped {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            std::thread::sleep(Duration::from_secs(3600));
            Ok(0)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_stopped_terminal_holds_up_nothing() {
        let console = Console::to(Stopped, false, LOOK);
        let run = Arc::new(fixtures::assessed(fixtures::passed()));
        // What it may have taken before it came to a stop, what waits, and ten.
        for _ in 0..1 + MOST_AT_ONCE + BACKLOG + 10 {
            console.report(&run);
        }
        assert!(console.skipped.load(Ordering::Relaxed) >= 10);
        console.flush(Duration::from_millis(20)).await;
    }
}
