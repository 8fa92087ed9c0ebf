//! `sentrynet inspect`: what a component is and could do, for whoever is to decide whether to trust it.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use sentrynet::config::{self, Module};
use sentrynet::propagation::Origin;
use sentrynet::redaction::Secrets;
use sentrynet::sandbox::{Inspection, LoadError, Sandbox};
use serde_json::{Value, json};

use crate::{Format, INVALID_INPUT, print_error, red};

mod grants;
mod text;

#[derive(clap::Args)]
pub struct Arguments {
    /// A `.wasm` file, or `http`, `chain` or `ssh`
    component: String,
    /// How to write it: for a person, or as JSON, the whole schema of its settings included
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
    let mut sandbox = Sandbox::new(1, None, Origin::default(), Secrets::default())?;
    let found = match sandbox.inspect(&module).await {
        Ok(found) => found,
        Err(error) => {
            let advice = match error {
                LoadError::Unreadable { .. } => "; name a `.wasm` file, or `http`, `chain` or `ssh`",
                _ => "",
            };
            print_error(format_args!("{}: {error}{advice}\n", red("error")));
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

/// A component that was inspected, and by what name it was asked for.
struct Inspected<'a> {
    asked: &'a str,
    built_in: bool,
    found: Inspection,
}

impl Inspected<'_> {
    /// All of it, the whole schema too.
    fn json(&self) -> Value {
        let Inspection { description, contract, imports, producers, core, size, sha256 } = &self.found;
        let imports = imports.iter().map(|import| {
            let can = Some(import.power.words).filter(|words| !words.is_empty());
            json!({ "interface": import.interface, "functions": import.functions, "can": can })
        });
        let producers =
            producers.iter().map(|[field, name, version]| json!({ "field": field, "name": name, "version": version }));
        json!({
            "name": description.name,
            "version": description.version,
            "summary": description.summary,
            "component": self.asked,
            "built_in": self.built_in,
            "core_module": core,
            "size": size,
            "sha256": sha256,
            "contract": contract,
            "producers": producers.collect::<Vec<_>>(),
            "imports": imports.collect::<Vec<_>>(),
            "allow": grants::needed(&self.found.imports),
            "schema": description.schema,
        })
    }

    /// What a configuration calls the component: its own name, unless that would take a built-in's place.
    fn module(&self) -> String {
        const LONGEST: usize = 50;
        let stem = Path::new(self.asked).file_stem().unwrap_or_default();
        let names = [&self.found.description.name, &*stem.to_string_lossy(), "probe"].map(slug::slugify);
        let name: String = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        let name: String = name.chars().take(LONGEST).collect();
        if config::built_in(&name).is_some() { format!("other-{name}") } else { name }
    }
}
