//! Work that blocks a thread, in asynchronous functions.

use super::error::ComponentError;
use crate::threads::{REFUSED, run_blocking};

/// Runs a function on a thread for blocking work.
///
/// # Errors
/// Returns the function's error, [`ComponentError::Thread`] or [`ComponentError::Panicked`].
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ComponentError> + Send + 'static,
) -> Result<T, ComponentError> {
    run_blocking("loading", work).await.unwrap_or_else(|error| {
        let why = error.to_string();
        Err(if why.starts_with(REFUSED) { ComponentError::Thread(why) } else { ComponentError::Panicked(why) })
    })
}
