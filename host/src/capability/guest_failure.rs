//! Failures and warnings that a guest reports, with bounds on their texts.

use crate::capability::bindings::sentrynet::probe::types;
use crate::capability::text::truncate;
use crate::run::{Failure, Mismatch};

/// The maximal length of one text of a guest, in bytes.
pub const MAX_TEXT_BYTES: usize = 4096;

/// Converts a failure of a guest. Its texts are truncated, and mismatches after the first 100 are left out.
pub fn bounded_failure(failure: types::Failure) -> Failure {
    const MAX_MISMATCHES: usize = 100;
    const MAX_REASON_BYTES: usize = 64;
    let mismatches = failure.mismatches.into_iter().take(MAX_MISMATCHES).map(|mismatch| Mismatch {
        subject: truncate(mismatch.subject, MAX_TEXT_BYTES),
        expected: truncate(mismatch.expected, MAX_TEXT_BYTES),
        actual: truncate(mismatch.actual, MAX_TEXT_BYTES),
    });
    Failure {
        reason: truncate(failure.reason, MAX_REASON_BYTES),
        message: truncate(failure.message, MAX_TEXT_BYTES),
        mismatches: mismatches.collect(),
    }
}
