//! Warnings of a run: checks that did not hold, and that do not make the run fail; and warnings about settings.

use crate::bindings::sentrynet::probe::types::Problem;
use crate::host::warning;
use crate::{Failure, Mismatch};

/// Reports a warning about the target, which does not change the outcome of the run.
///
/// Each is shown with the run, and is an Issue of its own, by its reason and the subjects of its mismatches. An attempt
/// keeps its first 20 warnings.
pub fn report(warning: Failure) {
    warning::report(&warning.into());
}

/// Warns of a setting that is valid and probably not what is meant, during [`Probe::check`](crate::Probe::check).
/// `pointer` is the JSON pointer to the setting, as in [`Problems::add`](crate::Problems::add). Ignored during runs.
pub fn report_setting(pointer: impl Into<String>, message: impl Into<String>) {
    warning::report_setting(&Problem { pointer: pointer.into(), message: message.into() });
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
