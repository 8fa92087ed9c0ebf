//! `sentrynet completions`: prints a script with which a shell completes the arguments of this program.

use clap_complete::{Shell, generate};

use crate::output::print_script;

#[derive(clap::Args)]
pub struct Arguments {
    /// The shell that reads the script
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script for the command line `program`. Returns the exit code.
pub fn completions(Arguments { shell }: &Arguments, program: &clap::Command) -> u8 {
    let mut script = Vec::new();
    generate(*shell, &mut without_hidden_commands(program), "sentrynet", &mut script);
    print_script(&script);
    0
}

/// Returns a command line without its hidden commands, which clap's scripts would complete too.
fn without_hidden_commands(program: &clap::Command) -> clap::Command {
    let commands = program.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    clap::Command::new("sentrynet").args(program.get_arguments().cloned()).subcommands(commands)
}
