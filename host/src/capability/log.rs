//! The interface `log`: lines that the guest writes to the run's log.

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::log::{Host, Level as GuestLevel};
use crate::run::Level;

impl Host for Context {
    fn write(&mut self, level: GuestLevel, message: String) -> wasmtime::Result<()> {
        let level = match level {
            GuestLevel::Debug => Level::Debug,
            GuestLevel::Info => Level::Info,
            GuestLevel::Warn => Level::Warn,
            GuestLevel::Error => Level::Error,
        };
        self.probe.write_log(&self.run.log, level, message);
        Ok(())
    }
}
