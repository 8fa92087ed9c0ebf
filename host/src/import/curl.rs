//! Imports curl's command lines: of scripts, and as browsers copy them.

mod command;
mod options;
mod shell;

use super::input::Input;
use super::model::{Configuration, Group};
use super::report::Report;

/// Returns a probe for each URL of each command.
pub fn import(inputs: &[Input], report: &mut Report) -> Configuration {
    let mut group = Group::default();
    for input in inputs {
        for script_command in shell::commands(&input.name, &input.text, report) {
            group.probes.extend(command::probes(&script_command, report));
        }
    }
    Configuration { groups: vec![group], ..Configuration::default() }
}
