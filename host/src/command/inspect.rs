//! `sentrynet inspect`: describes a component, so that a person can decide whether to trust it. The component is
//! not run: only its `describe` is called.

use std::path::Path;

use anyhow::Result;
use sentrynet::config::{self, Module};
use sentrynet::propagation::EventDefaults;
use sentrynet::redaction::Secrets;
use sentrynet::sandbox::{ComponentError, Sandbox};

use super::{Format, INVALID_INPUT, code_source};
use crate::logging::print_error;
use crate::output::{print, print_json};

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

/// Prints the description of a component. Returns the exit code.
pub async fn inspect(Arguments { component, format }: &Arguments) -> Result<u8> {
    let built_in = config::built_in(component).map(|(_, name)| Module::BuiltIn(name));
    let module = match &built_in {
        Some(module) => module.clone(),
        // The path stays as it was given, because the error message below shows it.
        None => Module::File { path: Path::new(component).to_owned(), sha256: None },
    };
    let sandbox = Sandbox::new(1, None, EventDefaults::default(), Secrets::default(), code_source()?)?;
    let inspection = match sandbox.inspect(&module).await {
        Ok(inspection) => inspection,
        Err(error) => {
            let advice = match error {
                ComponentError::Unreadable { .. } => "; name a `.wasm` file, or `http`, `chain` or `ssh`",
                _ => "",
            };
            print_error(&format!("{error}{advice}"));
            return Ok(INVALID_INPUT);
        }
    };
    let inspected = Inspected { argument: component, is_built_in: built_in.is_some(), inspection };
    match format {
        Format::Text => print(&text::text(&inspected)),
        Format::Json => print_json(&inspected.json()),
    }
    Ok(0)
}
