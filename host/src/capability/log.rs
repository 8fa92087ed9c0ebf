//! The interface `log`: lines that the guest writes to the run's log.

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::log::{Host, Level as Guest};
use crate::run::Level;

impl Host for Context {
    fn write(&mut self, level: Guest, message: String) -> wasmtime::Result<()> {
        let level = match level {
            Guest::Debug => Level::Debug,
            Guest::Info => Level::Info,
            Guest::Warn => Level::Warn,
            Guest::Error => Level::Error,
        };
        self.probe.write_log(&self.run.log, level, message);
        Ok(())
    }
}
