//! Work that blocks a thread, in asynchronous functions.

use super::error::LoadError;
use crate::threads::run_blocking;

/// Runs a function on a thread for blocking work.
///
/// # Errors
/// Returns the function's error, or [`LoadError::Panicked`].
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    run_blocking("loading", work).await.unwrap_or_else(|error| Err(LoadError::Panicked(error.to_string())))
}
