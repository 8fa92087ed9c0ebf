//! `sentrynet check`: checks a configuration and the settings of its probes, without running a probe.

use std::path::PathBuf;

use anyhow::Result;
use sentrynet::printable::StyledText;

use super::{INVALID_INPUT, read_and_load};
use crate::output::print;

#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration: a YAML file, a folder of them, or `-` for standard input
    config: PathBuf,
}

pub async fn check(Arguments { config }: &Arguments) -> Result<u8> {
    let Some(loaded) = read_and_load(config).await? else { return Ok(INVALID_INPUT) };
    let (probes, name) = (loaded.probes.len(), config.display());
    let noun = if probes == 1 { "probe" } else { "probes" };
    let mut text = StyledText::new();
    text.push_line(&format!("{name}: {probes} {noun}, no errors"));
    print(&text);
    Ok(0)
}
