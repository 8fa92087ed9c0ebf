//! `sentrynet man`: writes the manual pages of the program and of its commands, for packages.

use std::path::PathBuf;

use super::BROKEN;
use crate::logging::print_error;

#[derive(clap::Args)]
pub struct Arguments {
    /// The directory to write the pages to; it must exist
    directory: PathBuf,
}

/// Writes the pages of the command line `program`. Returns the exit code.
pub fn man(Arguments { directory }: &Arguments, program: clap::Command) -> u8 {
    match clap_mangen::generate_to(program, directory) {
        Ok(()) => 0,
        Err(error) => {
            print_error(&format!("cannot write the manual pages to {}: {error}", directory.display()));
            BROKEN
        }
    }
}
