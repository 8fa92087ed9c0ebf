//! `sentrynet compile`: compiles components into a directory, from which hosts load their code instead of compiling it.

use std::path::PathBuf;

use anyhow::Result;

#[cfg(feature = "compiler")]
mod exporting;

/// The arguments, also of a program without a compiler, which refuses the command with a reason.
#[derive(clap::Args)]
pub struct Arguments {
    /// Components to compile beside the built-in probes, `.wasm` files
    components: Vec<PathBuf>,
    /// A configuration whose components are compiled too; `-` reads it from standard input
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory to write the code to; it is created if it does not exist
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// The processors that the code is for: `baseline` for all of this architecture, `native` for those that have all
    /// features of this machine's
    #[arg(long, value_name = "KIND", default_value = "baseline", value_parser = ["baseline", "native"])]
    cpu: String,
}

/// Compiles the built-in probes and the named components. Returns the exit code.
#[cfg(feature = "compiler")]
pub async fn compile(Arguments { components, config, output, cpu }: &Arguments) -> Result<u8> {
    exporting::export(components, config.as_deref(), output, cpu).await
}

/// Says that the program has no compiler. Returns the exit code.
#[cfg(not(feature = "compiler"))]
#[expect(clippy::unused_async, reason = "it is called as with a compiler")]
pub async fn compile(_: &Arguments) -> Result<u8> {
    crate::logging::print_error(
        "this program was built without a compiler: compile with a `sentrynet` of the same version that has one, and \
         name the directory that it has written with `--compiled`",
    );
    Ok(super::INVALID_INPUT)
}
