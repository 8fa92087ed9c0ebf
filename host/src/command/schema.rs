//! `sentrynet schema`: one JSON Schema of a whole configuration, for editors.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use sentrynet::config::{self, ComponentSchema, Level, Module, Probe, Source};
use sentrynet::propagation::EventDefaults;
use sentrynet::sandbox::{Description, Sandbox};

use super::{INVALID_INPUT, read};
use crate::logging::{REDACTOR, print_diagnostics, print_warning};

#[derive(clap::Args)]
pub struct Arguments {
    /// A configuration whose components the schema covers too; `-` reads it from standard input
    config: Option<PathBuf>,
}

/// Prints the schema, with the components that a configuration names, as far as they can be loaded.
pub async fn schema(Arguments { config }: &Arguments) -> Result<u8> {
    let source = match config.as_deref().map(read) {
        Some(None) => return Ok(INVALID_INPUT),
        source => source.flatten(),
    };
    let mut components = built_in().await?;
    if let Some(source) = &source {
        let named = named(source).await?;
        let replaced: Vec<_> = named.iter().flat_map(|component| &component.names).cloned().collect();
        for built_in in &mut components {
            built_in.names.retain(|name| !replaced.contains(name));
        }
        components.retain(|built_in| !built_in.names.is_empty());
        components.extend(named);
    }
    let schema = config::schema(&components).context("a schema that was read cannot be read again")?;
    let mut out = std::io::stdout().lock();
    // Who closed the pipe has read enough.
    let _ = serde_json::to_writer_pretty(&mut out, &schema).map_err(std::io::Error::from).and_then(|()| writeln!(out));
    Ok(0)
}

/// The built-in probes, of which a configuration with one of each is asked.
async fn built_in() -> Result<Vec<ComponentSchema>> {
    let built_in: Vec<_> = config::built_ins().collect();
    let probes: Vec<_> = built_in.iter().map(|(module, _)| format!("{{probe: {module}}}")).collect();
    let text = format!("groups: [{{probes: [{}]}}]", probes.join(", "));
    let source = Source { name: "built in".to_owned(), text, path: None, directory: ".".into(), probe: None };
    let config = config::parse(&source, &|_| None).config;
    let mut sandbox = Sandbox::new(1, None, EventDefaults::new(&config.sentry), config.secrets.clone())?;
    let mut components = Vec::new();
    for ((module, names), probe) in built_in.into_iter().zip(&config.probes) {
        let described = sandbox.describe(probe).await?;
        components.push(component(module, names, &described));
    }
    Ok(components)
}

/// The components that a configuration declares, or names by their files; of those that cannot be loaded, a warning.
async fn named(source: &Source) -> Result<Vec<ComponentSchema>> {
    let environment = |name: &str| std::env::var(name).ok();
    let draft = config::parse(source, &environment);
    let config = draft.config;
    REDACTOR.install(config.secrets.clone());
    let mut sandbox = Sandbox::new(1, None, EventDefaults::new(&config.sentry), config.secrets.clone())?;
    let (mut components, mut warnings) = (Vec::new(), Vec::new());
    for probe in config::module_probes(source, &environment) {
        let name = probe.module_settings.pointer.split('/').nth(2).unwrap_or_default();
        match sandbox.describe(&probe).await {
            Ok(described) => {
                let given_keys = probe.module_settings.keys.iter().cloned().collect();
                let module = Some(name.to_owned());
                components.push(ComponentSchema {
                    module,
                    given_keys,
                    ..component(name, config::aliases(name), &described)
                });
            }
            Err(error) => warnings.push(config::Diagnostic::at_key(format!("/modules/{name}"), error.to_string())),
        }
    }
    let places: Vec<_> = config.probes.iter().map(|probe| format!("{}/probe", probe.pointer)).collect();
    let names = config::source_texts(source, &places);
    let mut by_file: BTreeMap<String, (&Probe, BTreeSet<String>)> = BTreeMap::new();
    for (probe, name) in config.probes.iter().zip(names) {
        let declared =
            |name: &String| components.iter().any(|component: &ComponentSchema| component.names.contains(name));
        if let (Module::File { path, .. }, Some(name)) = (&probe.module, name.filter(|name| !declared(name))) {
            let file = by_file.entry(path.display().to_string());
            file.or_insert_with(|| (probe, BTreeSet::new())).1.insert(name);
        }
    }
    for (probe, names) in by_file.into_values() {
        match sandbox.describe(probe).await {
            Ok(described) => components.push(component(&probe.name, names.into_iter().collect(), &described)),
            Err(error) => warnings.push(probe.diagnostic("/probe", &error.to_string())),
        }
    }
    print_diagnostics(source, Level::Warning, &warnings);
    if !draft.errors.is_empty() {
        print_warning(&format!(
            "{} has errors, so that the schema may lack some of its components: `sentrynet check` shows them",
            source.name
        ));
    }
    Ok(components)
}

fn component(key: &str, names: Vec<String>, described: &Description) -> ComponentSchema {
    let (summary, schema) = (described.summary.clone(), described.schema.clone());
    ComponentSchema { names, key: key.to_owned(), summary, schema, module: None, given_keys: Vec::new() }
}
