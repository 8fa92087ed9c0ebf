//! `sentrynet inspect`: what a component is and could do, for whoever is to decide whether to trust it.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use sentrynet::config::{self, Module};
use sentrynet::propagation::EventDefaults;
use sentrynet::redaction::Secrets;
use sentrynet::sandbox::{LoadError, Sandbox};

use super::{Format, INVALID_INPUT};
use crate::logging::print_error;

mod grants;
mod inspected;
mod layout;
mod text;

use inspected::Inspected;

#[derive(clap::Args)]
pub struct Arguments {
    /// The component, a `.wasm` file; or a built-in probe: `http`, `chain` or `ssh`
    component: String,
    /// The format of the description on standard output; `json` has the whole schema of the settings too
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub async fn inspect(Arguments { component, format }: &Arguments) -> Result<u8> {
    let built_in = config::built_in(component).map(|(_, name)| Module::BuiltIn(name));
    let module = match &built_in {
        Some(module) => module.clone(),
        // The name as it was given: it is what the answer speaks of.
        None => Module::File { path: Path::new(component).to_owned(), sha256: None },
    };
    let mut sandbox = Sandbox::new(1, None, EventDefaults::default(), Secrets::default())?;
    let found = match sandbox.inspect(&module).await {
        Ok(found) => found,
        Err(error) => {
            let advice = match error {
                LoadError::Unreadable { .. } => "; name a `.wasm` file, or `http`, `chain` or `ssh`",
                _ => "",
            };
            print_error(&format!("{error}{advice}"));
            return Ok(INVALID_INPUT);
        }
    };
    let inspected = Inspected { asked: component, built_in: built_in.is_some(), found };
    let shown = match format {
        Format::Text => text::text(&inspected),
        Format::Json => format!("{:#}\n", inspected.json()),
    };
    // Who closed the pipe has read enough.
    let _ = std::io::stdout().write_all(shown.as_bytes());
    Ok(0)
}
