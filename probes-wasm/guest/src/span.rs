//! The waterfall: steps of the run, timed by the host.

pub use crate::bindings::sentrynet::probe::span::{Status, set_data, set_tag};
pub use crate::bindings::sentrynet::probe::types::Value;

use crate::Trouble;
use crate::bindings::sentrynet::probe::span::Span;

/// Does `work` as a step of its own. A step that does not succeed is marked as failed.
///
/// # Errors
/// Those of `work`.
pub fn scope<T>(op: &str, description: &str, work: impl FnOnce(&Span) -> Result<T, Trouble>) -> Result<T, Trouble> {
    let span = Span::new(op, description);
    let result = work(&span);
    if result.is_err() {
        span.set_status(Status::InternalError);
    }
    result
}
