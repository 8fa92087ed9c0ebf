//! The sink that prints runs to standard output, for a person at a terminal, a log file or a program. A reader that is
//! slow, is stopped or has closed the pipe does not delay the probes.

use std::io::Write;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use async_trait::async_trait;
use tokio::sync::oneshot;

use self::date_line::DateLine;
use super::Sink;
use super::json::run_to_json;
use super::text::format_run;
use crate::assessment::AssessedRun;
use crate::printable::{Form, StyledText};
use crate::time_format::Zone;

mod date_line;
mod options;

pub use self::options::ConsoleOptions;

/// Prints a line for each run, and the waterfall of a run that did not pass.
pub struct Console {
    messages: SyncSender<Message>,
    /// The number of runs since the last write that were dropped because the queue was full.
    not_shown: Arc<AtomicU64>,
}

/// A message to the thread that writes.
enum Message {
    Show(Arc<AssessedRun>),
    /// Signal the sender once all earlier messages are written.
    Flush(oneshot::Sender<()>),
}

/// The pause after each write of a host that runs until it is stopped: runs that end during the pause are written
/// together, which saves wake-ups and system calls. A person does not notice a delay this short.
const WRITE_INTERVAL: Duration = Duration::from_millis(100);
/// The maximum number of runs in one write.
const MAX_RUNS_PER_WRITE: usize = 1000;
/// The maximum number of runs that wait to be written: enough for `once` with a large configuration while a reader
/// pauses. Further runs are not shown.
const MAX_WAITING_RUNS: usize = 10_000;

impl Console {
    /// Creates a console that writes to `out`, or to standard output without one; in colour if standard output is a
    /// terminal with colours.
    pub fn new(options: ConsoleOptions, out: Option<Box<dyn Write + Send>>) -> Self {
        let stdout = std::io::stdout();
        let has_color = AutoStream::choice(&stdout) != ColorChoice::Never;
        Self::with_output(out.unwrap_or_else(|| Box::new(stdout)), has_color, options)
    }

    /// Creates a console that writes elsewhere.
    pub fn with_output(out: impl Write + Send + 'static, has_color: bool, options: ConsoleOptions) -> Self {
        let (messages, inbox) = sync_channel(MAX_WAITING_RUNS);
        let not_shown = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&not_shown);
        let writer = std::thread::Builder::new().name("console".to_owned());
        // Runs are written on a separate thread, since writing to a stopped terminal blocks.
        if let Err(error) = writer.spawn(move || write_messages(&inbox, out, has_color, options, &counter)) {
            tracing::warn!(%error, "runs are not shown: cannot start a thread; raise the limit on processes");
        }
        Self { messages, not_shown }
    }
}

#[async_trait]
impl Sink for Console {
    fn report(&self, run: &Arc<AssessedRun>) {
        if self.messages.try_send(Message::Show(Arc::clone(run))).is_err() {
            self.not_shown.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn flush(&self, timeout: Duration) {
        let (done, flushed) = oneshot::channel();
        if self.messages.try_send(Message::Flush(done)).is_ok() {
            _ = tokio::time::timeout(timeout, flushed).await;
        }
    }
}

/// Handles the messages, until the console is dropped or the output cannot be written to.
fn write_messages(
    inbox: &Receiver<Message>,
    mut out: impl Write,
    has_color: bool,
    options: ConsoleOptions,
    not_shown: &AtomicU64,
) {
    let zone = Zone::local();
    let text_options = options.lines();
    let mut date = DateLine::default();
    while let Ok(first) = inbox.recv() {
        let (mut json, mut text, mut flushes) = (String::new(), StyledText::new(), Vec::new());
        for message in iter::once(first).chain(inbox.try_iter().take(MAX_RUNS_PER_WRITE)) {
            match message {
                Message::Show(run) if options.json => json.push_str(&format!("{}\n", run_to_json(&run))),
                Message::Show(run) => {
                    if options.is_continuous {
                        date.write_if_changed(run.run.trace.started, zone, &mut text);
                    }
                    text.append(&format_run(&run, &text_options, zone));
                }
                Message::Flush(done) => flushes.push(done),
            }
        }
        let not_shown = not_shown.swap(0, Ordering::Relaxed);
        if not_shown > 0 && options.json {
            json.push_str(&format!("{{\"not_shown\":{not_shown}}}\n"));
        } else if not_shown > 0 {
            text.push_line(&format!("… {not_shown} runs not shown: the reader of this output is too slow"));
        }
        let output = match (options.json, has_color) {
            (true, _) => json,
            (false, true) => text.as_ansi().to_owned(),
            (false, false) => text.to_plain(),
        };
        let form = if options.json { Form::Json } else { Form::Text };
        // Writes whole runs at once, so that the output of other programs does not come between the lines of a run.
        if let Err(error) = out.write_all(form.finish(&output).as_bytes()).and_then(|()| out.flush()) {
            tracing::warn!(%error, "runs are no longer shown: cannot write to standard output; the probes continue to run");
            return;
        }
        for done in flushes {
            // Fails if the flush has timed out and dropped its receiver.
            _ = done.send(());
        }
        if options.is_continuous {
            std::thread::sleep(WRITE_INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::*;
    use crate::sink::fixtures;

    const OPTIONS: ConsoleOptions =
        ConsoleOptions { json: false, all_waterfalls: false, is_continuous: false, width: 100 };

    #[derive(Clone, Default)]
    struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

    impl Write for SharedBuffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn colour_is_stripped_where_it_is_not_supported() {
        for has_color in [true, false] {
            let out = SharedBuffer::default();
            let console = Console::with_output(out.clone(), has_color, OPTIONS);
            console.report(&Arc::new(fixtures::assessed(fixtures::failed())));
            console.flush(Duration::from_secs(10)).await;
            let shown = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
            assert_eq!(shown.contains('\u{1b}'), has_color, "{shown}");
        }
    }

    #[tokio::test]
    async fn flush_waits_until_reported_runs_are_written() {
        let out = SharedBuffer::default();
        let console = Console::with_output(out.clone(), false, OPTIONS);
        for _ in 0..3 {
            console.report(&Arc::new(fixtures::assessed(fixtures::passed())));
        }
        console.flush(Duration::from_secs(10)).await;
        assert_eq!(String::from_utf8(out.0.lock().unwrap().clone()).unwrap().lines().count(), 3);
    }

    struct ClosedPipe;

    impl Write for ClosedPipe {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_closed_pipe_is_not_an_error() {
        let console = Console::with_output(ClosedPipe, false, OPTIONS);
        for _ in 0..3 {
            console.report(&Arc::new(fixtures::assessed(fixtures::failed())));
            console.flush(Duration::from_secs(10)).await;
        }
    }

    struct StoppedTerminal;

    impl Write for StoppedTerminal {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            std::thread::sleep(Duration::from_secs(3600));
            Ok(0)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_stopped_terminal_does_not_block_reports() {
        let console = Console::with_output(StoppedTerminal, false, OPTIONS);
        let run = Arc::new(fixtures::assessed(fixtures::passed()));
        // The first batch is taken from the queue before the write blocks. The queue holds `MAX_WAITING_RUNS` more, and
        // the last ten exceed it.
        for _ in 0..1 + MAX_RUNS_PER_WRITE + MAX_WAITING_RUNS + 10 {
            console.report(&run);
        }
        assert!(console.not_shown.load(Ordering::Relaxed) >= 10);
        console.flush(Duration::from_millis(20)).await;
    }
}
