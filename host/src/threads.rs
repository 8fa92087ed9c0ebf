//! Threads for work that blocks.

use std::io;

use tokio::sync::oneshot;

/// The beginning of the message of [`refused`], by which it is recognised in the output of another process.
pub const REFUSED: &str = "the system refuses a thread";

/// Runs a function on a thread of its own. tokio's pool of threads for blocking work would panic if the system refused
/// its first thread, as it does beyond a limit on processes.
///
/// If the future is dropped, the function runs to its end all the same.
///
/// # Errors
/// An error that says what to do if the system refuses the thread, and an error if the function panics.
pub async fn run_blocking<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // An error means that the caller has given up.
        let _ = sender.send(work());
    });
    thread.map_err(|error| refused(&error))?;
    receiver.await.map_err(|_| io::Error::other("the host failed; this is a bug, please report it"))
}

/// Checks that the system grants as many more threads as `count`, which it starts for a moment. Libraries that start
/// threads of their own, such as tokio and rayon, panic if one is refused.
///
/// # Errors
/// An error that says what to do if the system refuses one of them.
pub fn ensure_available(count: usize) -> io::Result<()> {
    std::thread::scope(|scope| {
        // Each thread waits until the sender is dropped, so that all of them exist at the same time.
        let mut senders = Vec::with_capacity(count);
        for _ in 0..count {
            let (sender, receiver) = std::sync::mpsc::channel::<()>();
            let waiting = move || _ = receiver.recv();
            std::thread::Builder::new().spawn_scoped(scope, waiting).map_err(|error| refused(&error))?;
            senders.push(sender);
        }
        Ok(())
    })
}

/// Returns the error for a thread that the system refuses.
pub fn refused(error: &io::Error) -> io::Error {
    let advice = "raise the limit on processes and threads (`ulimit -u`, systemd's `TasksMax`)";
    io::Error::new(error.kind(), format!("{REFUSED} ({error}): {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_result_of_blocking_work_is_returned() {
        assert_eq!(run_blocking("test", || 7).await.expect("a thread can be started"), 7);
        let panicked = run_blocking("test", || panic!("for the test")).await;
        assert!(panicked.expect_err("it panicked").to_string().starts_with("the host failed"));
        ensure_available(20).expect("some threads can be started");
        let refused = refused(&io::Error::from_raw_os_error(11));
        assert!(refused.to_string().contains("ulimit -u"), "{refused}");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    }
}
