//! The project of a probe's author, and the shell commands in it.

use std::path::Path;
use std::process::Command;

use crate::support::{CommandOutput, run_command, sentrynet};

/// Returns the lines of the `sh` code blocks of a Markdown page.
pub fn shell_commands(page: &str) -> impl Iterator<Item = &str> {
    page.split("```sh\n").skip(1).flat_map(|block| block.split("```").next().unwrap_or_default().lines())
}

/// Runs a shell command in a project, as its author would.
pub fn run_shell(project: &Path, command: &str) -> CommandOutput {
    // If rustup cannot fetch the target, the standard library is built as for the built-in probes.
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../probes-wasm/build");
    let command = match std::env::var_os("SENTRYNET_TEST_RUST") {
        Some(_) if command.starts_with("rustup target add") => return run_command(&mut Command::new("true"), ""),
        Some(_) if command.starts_with("cargo build") => format!("{source} --with {command}"),
        _ => command.to_owned(),
    };
    let program = Path::new(env!("CARGO_BIN_EXE_sentrynet")).parent().expect("a program lies in a folder").to_owned();
    let path = std::env::var("PATH").expect("PATH is set");
    let mut bash = Command::new("bash");
    bash.args(["-euc", &command]).current_dir(project).env("PATH", format!("{}:{path}", program.display()));
    // Cargo's variables for these tests must not affect the project.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_") && name != "CARGO_HOME") {
        bash.env_remove(name);
    }
    let program = sentrynet();
    bash.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)).filter(|(name, _)| *name != "HOME")));
    run_command(&mut bash, "")
}
