//! Spans of the run's trace, which the host times and shows as a waterfall.

pub use crate::bindings::sentrynet::probe::types::Value;
pub use crate::host::span::{Status, set_data, set_tag};

use crate::Trouble;
use crate::host::span::Span;

/// Runs `work` in a span of its own, and passes the open span to it.
///
/// `op` is the category of the step: short, with dots, such as `json.parse`. `description` says what this step is
/// about. If `work` fails, the span ends with the status [`Status::InternalError`].
///
/// # Errors
/// Returns the error of `work`.
pub fn scope<T>(op: &str, description: &str, work: impl FnOnce(&Span) -> Result<T, Trouble>) -> Result<T, Trouble> {
    let span = Span::new(op, description);
    let result = work(&span);
    if result.is_err() {
        span.set_status(Status::InternalError);
    }
    result
}
