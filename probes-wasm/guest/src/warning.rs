//! Warnings of a run: checks that did not hold, and that do not make the run fail.

use crate::host::warning;
use crate::{Failure, Mismatch};

/// Reports a warning about the target, which does not change the outcome of the run.
///
/// Each is shown with the run, and is an Issue of its own, by its reason and the subjects of its mismatches. An attempt
/// keeps its first 20 warnings.
pub fn report(warning: Failure) {
    warning::report(&warning.into());
}

/// Reports checks that did not hold, as one warning for each subject. The mismatches of one subject are beside each
/// other. `place` is put in front of each message and subject, unless it is empty.
pub fn report_mismatches(mismatches: &[Mismatch], place: &str) {
    for mismatches in mismatches.chunk_by(|one, next| one.subject == next.subject) {
        if let Err(warning) = Failure::if_any(mismatches.to_vec()) {
            report(warning.at(place));
        }
    }
}
