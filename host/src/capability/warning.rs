//! The interface `warning`: what is wrong with the target and does not make the run fail, and what is doubtful in the
//! settings.

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::types::{Failure as GuestFailure, Problem};
use crate::capability::bindings::sentrynet::probe::warning::Host;
use crate::capability::guest_failure::bounded_failure;
use crate::capability::text::truncate;
use crate::run::{Failure, Level};

/// The maximum number of warnings of one attempt. Further ones are left out.
const MAX_WARNINGS: usize = 20;
/// The number of bytes that are counted for a warning, and for each of its mismatches, in addition to their texts.
const OVERHEAD_BYTES: usize = 128;
/// The maximum length of a warning about a setting, and of the pointer to the setting, in bytes.
const MAX_SETTING_BYTES: usize = 1024;

impl Host for Context {
    fn report(&mut self, warning: GuestFailure) -> wasmtime::Result<()> {
        // While settings are checked, there is no run that could have the warning.
        if self.is_outside_of_runs() {
            return Ok(());
        }
        let warning = bounded_failure(warning);
        let bytes = text_bytes(&warning);
        if self.run_warnings.len() == MAX_WARNINGS || !self.accounting.take_warning_text(bytes) {
            if !std::mem::replace(&mut self.has_dropped_warning, true) {
                let message = "further warnings are left out: a run has at most 20, with 256 KiB of text together";
                self.run.log.write(Level::Warn, message.to_owned());
            }
            return Ok(());
        }
        let overhead = OVERHEAD_BYTES * (1 + warning.mismatches.len());
        self.held_arguments.hold_to_the_end(self.accounting.quota.hold(bytes + overhead)?);
        self.run_warnings.push(warning);
        Ok(())
    }

    fn report_setting(&mut self, warning: Problem) -> wasmtime::Result<()> {
        if self.is_outside_of_runs() {
            let Problem { pointer, message } = warning;
            self.push_warning(truncate(pointer, MAX_SETTING_BYTES), truncate(message, MAX_SETTING_BYTES));
        }
        Ok(())
    }
}

/// Returns the length of all texts of a warning.
fn text_bytes(Failure { reason, message, mismatches }: &Failure) -> usize {
    let of_mismatches = mismatches.iter().map(|it| it.subject.len() + it.expected.len() + it.actual.len());
    reason.len() + message.len() + of_mismatches.sum::<usize>()
}
