//! Work that blocks a thread, in asynchronous functions.

use super::error::LoadError;
use crate::threads::{REFUSED, run_blocking};

/// Runs a function on a thread for blocking work.
///
/// # Errors
/// Returns the function's error, [`LoadError::Thread`] or [`LoadError::Panicked`].
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    run_blocking("loading", work).await.unwrap_or_else(|error| {
        let why = error.to_string();
        Err(if why.starts_with(REFUSED) { LoadError::Thread(why) } else { LoadError::Panicked(why) })
    })
}
