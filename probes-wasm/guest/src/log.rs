//! Lines that belong to the run: shown when it does not pass, sent as breadcrumbs with its error.

use crate::bindings::sentrynet::probe::log::{Level, write};

pub fn debug(message: &str) {
    write(Level::Debug, message);
}

pub fn info(message: &str) {
    write(Level::Info, message);
}

pub fn warn(message: &str) {
    write(Level::Warn, message);
}

pub fn error(message: &str) {
    write(Level::Error, message);
}
