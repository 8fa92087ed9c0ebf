//! `sentrynet check`: checks a configuration and the settings of its probes, without running a probe.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;

use super::{INVALID_INPUT, read_and_load};

#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration, a YAML file; `-` reads it from standard input
    config: PathBuf,
}

pub async fn check(Arguments { config }: &Arguments) -> Result<u8> {
    let Some(loaded) = read_and_load(config).await? else { return Ok(INVALID_INPUT) };
    let (probes, name) = (loaded.probes.len(), config.display());
    let noun = if probes == 1 { "probe" } else { "probes" };
    // A write error is ignored, since the exit code shows the result too.
    let _ = writeln!(std::io::stdout(), "{name}: {probes} {noun}, no errors");
    Ok(0)
}
