//! The interface `log`: lines that the guest writes to the run's log.

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::log::{Host, Level as GuestLevel};
use crate::capability::text::truncate;
use crate::run::Level;

/// The maximum length of a warning about settings.
const MAX_WARNING_BYTES: usize = 1024;

impl Host for Context {
    fn write(&mut self, level: GuestLevel, message: String) -> wasmtime::Result<()> {
        let level = match level {
            GuestLevel::Debug => Level::Debug,
            GuestLevel::Info => Level::Info,
            GuestLevel::Warn => Level::Warn,
            GuestLevel::Error => Level::Error,
        };
        // While settings are checked, there is no run whose log could have the line.
        if self.is_outside_of_runs() && level == Level::Warn && self.probe.policy.grants.check_log().is_ok() {
            self.push_warning("/probe".to_owned(), truncate(message, MAX_WARNING_BYTES));
            return Ok(());
        }
        self.probe.write_log(&self.run.log, level, message);
        Ok(())
    }
}
