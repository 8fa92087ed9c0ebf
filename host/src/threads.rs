//! Threads for work that blocks.

use std::io;

use tokio::sync::oneshot;

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

/// Returns the error for a thread that the system refuses.
pub fn refused(error: &io::Error) -> io::Error {
    let advice = "raise the limit on processes and threads (`ulimit -u`, systemd's `TasksMax`)";
    io::Error::new(error.kind(), format!("the system refuses a thread ({error}): {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_result_of_blocking_work_is_returned() {
        assert_eq!(run_blocking("test", || 7).await.expect("a thread can be started"), 7);
        let panicked = run_blocking("test", || panic!("for the test")).await;
        assert!(panicked.expect_err("it panicked").to_string().starts_with("the host failed"));
        let refused = refused(&io::Error::from_raw_os_error(11));
        assert!(refused.to_string().contains("ulimit -u"), "{refused}");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    }
}
