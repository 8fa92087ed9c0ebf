//! Standard error. A host that runs until it is stopped must not wait for a reader: its messages go through a queue and
//! a thread, and those for which the queue has no room are dropped and counted.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::status_line;

/// Writes to standard error: through the queue, if it was started, or else at once.
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match QUEUE.get() {
            Some(queue) => queue.push(bytes.to_owned()),
            None => status_line::without(|| io::stderr().write_all(bytes))?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

static QUEUE: OnceLock<Queue> = OnceLock::new();

/// The maximal number of messages that wait.
const MAX_WAITING_MESSAGES: usize = 10_000;
/// The maximal size of the messages that wait, in bytes. A single message may be longer.
const MAX_WAITING_BYTES: usize = 4 << 20;

/// Puts a queue before standard error, for the rest of the process. `count_line` returns the line that says how many
/// messages were dropped.
///
/// # Errors
/// Returns an error if no thread can be started. Then messages are written at once, as before.
pub fn start_queue(count_line: impl Fn(u64) -> String + Send + 'static) -> io::Result<()> {
    let queue = Queue::start(io::stderr(), count_line)?;
    _ = QUEUE.set(queue);
    Ok(())
}

/// Waits until all earlier messages are written, or until the time has passed.
pub fn flush(timeout: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush(timeout);
    }
}

struct Queue {
    messages: SyncSender<Message>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    waiting_bytes: AtomicUsize,
    /// The messages since the last write that were dropped.
    dropped: AtomicU64,
}

enum Message {
    Text(Vec<u8>),
    /// Signals the sender once all earlier messages are written.
    Flush(Sender<()>),
}

impl Queue {
    fn start(
        out: impl Write + Send + 'static,
        count_line: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let (messages, inbox) = sync_channel(MAX_WAITING_MESSAGES);
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        let writer = std::thread::Builder::new().name("log".to_owned());
        writer.spawn(move || write_messages(&inbox, out, &shared, count_line))?;
        Ok(Self { messages, counters })
    }

    /// Adds a message, or counts it as dropped.
    fn push(&self, text: Vec<u8>) {
        let Counters { waiting_bytes, dropped } = &*self.counters;
        let length = text.len();
        let before = waiting_bytes.fetch_add(length, Ordering::Relaxed);
        let has_room = before == 0 || before + length <= MAX_WAITING_BYTES;
        if !has_room || self.messages.try_send(Message::Text(text)).is_err() {
            waiting_bytes.fetch_sub(length, Ordering::Relaxed);
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self, timeout: Duration) {
        let (done, flushed) = mpsc::channel();
        if self.messages.try_send(Message::Flush(done)).is_ok() {
            _ = flushed.recv_timeout(timeout);
        }
    }
}

/// Writes the messages, and after one the number of those that were dropped meanwhile. An error of the output cannot be
/// reported anywhere.
fn write_messages(
    inbox: &Receiver<Message>,
    mut out: impl Write,
    counters: &Counters,
    count_line: impl Fn(u64) -> String,
) {
    while let Ok(message) = inbox.recv() {
        match message {
            Message::Text(text) => {
                _ = out.write_all(&text);
                counters.waiting_bytes.fetch_sub(text.len(), Ordering::Relaxed);
            }
            Message::Flush(done) => _ = done.send(()),
        }
        let dropped = counters.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            _ = out.write_all(count_line(dropped).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn messages_beyond_the_bounds_are_dropped_and_counted() {
        // A reader that reads nothing until everything was reported.
        let (out, mut reader) = UnixStream::pair().expect("a pair of sockets can be made");
        let queue = Queue::start(out, |count| format!("{count} dropped\n")).expect("a thread can be started");
        let line = [b'x'; 1023].iter().chain(b"\n").copied().collect::<Vec<_>>();
        // The last ones are beyond what the queue and the socket hold.
        let reported = 10 * MAX_WAITING_BYTES / line.len();
        (0..reported).for_each(|_| queue.push(line.clone()));
        drop(queue);
        let mut read = String::new();
        io::Read::read_to_string(&mut reader, &mut read).expect("the lines are text");
        let (counts, lines): (Vec<_>, Vec<_>) = read.lines().partition(|line| line.ends_with(" dropped"));
        let dropped: usize = counts.iter().map(|line| line.split(' ').next().unwrap().parse::<usize>().unwrap()).sum();
        assert!(dropped > reported / 2, "{dropped} of {reported}");
        assert_eq!(lines.len() + dropped, reported);
    }

    #[test]
    fn a_flush_waits_for_earlier_messages_or_for_its_time() {
        let (out, mut reader) = UnixStream::pair().expect("a pair of sockets can be made");
        let queue = Queue::start(out, |_| String::new()).expect("a thread can be started");
        queue.push(b"a line\n".to_vec());
        queue.flush(Duration::from_secs(60));
        reader.set_nonblocking(true).expect("a socket can be read without waiting");
        let mut read = [0; 16];
        assert_eq!(io::Read::read(&mut reader, &mut read).expect("the line was written"), 7);
        // More than the socket holds.
        queue.push(vec![b'x'; 16 << 20]);
        queue.flush(Duration::from_millis(1));
    }
}
