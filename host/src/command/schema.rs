//! `sentrynet schema`: prints one JSON Schema of the whole configuration, for editors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result};
use sentrynet::config::{self, ComponentSchema, Level, Module, Probe, Source};
use sentrynet::propagation::EventDefaults;
use sentrynet::sandbox::{Description, Sandbox};

use super::{INVALID_INPUT, code_source, read};
use crate::logging::{REDACTOR, print_diagnostics, print_warning};
use crate::output::print_json;

#[derive(clap::Args)]
pub struct Arguments {
    /// A configuration whose components the schema covers too; `-` reads it from standard input
    config: Option<PathBuf>,
}

/// Prints the schema for the built-in probes and for the components of a configuration, if one is given. Components
/// that cannot be loaded are left out. Returns the exit code.
pub async fn schema(Arguments { config }: &Arguments) -> Result<u8> {
    let source = match config.as_deref().map(read) {
        Some(None) => return Ok(INVALID_INPUT),
        source => source.flatten(),
    };
    let mut components = built_in_components().await?;
    if let Some(source) = &source {
        let configured = configured_components(source).await?;
        let replaced_names: Vec<_> = configured.iter().flat_map(|component| &component.names).cloned().collect();
        for built_in in &mut components {
            built_in.names.retain(|name| !replaced_names.contains(name));
        }
        components.retain(|built_in| !built_in.names.is_empty());
        components.extend(configured);
    }
    let schema = config::schema(&components).context("cannot combine the schemas of the components")?;
    print_json(&schema);
    Ok(0)
}

/// Returns the schemas of the built-in probes. They are loaded from a configuration that has one probe of each kind.
async fn built_in_components() -> Result<Vec<ComponentSchema>> {
    let built_in: Vec<_> = config::built_ins().collect();
    let probes: Vec<_> = built_in.iter().map(|(module, _)| format!("{{probe: {module}}}")).collect();
    let text = format!("groups: [{{probes: [{}]}}]", probes.join(", "));
    let source = Source::from_text("built in", text);
    let config = config::parse(&source, &|_| None).config;
    let sandbox = Sandbox::new(1, None, EventDefaults::new(&config.sentry), config.secrets.clone(), code_source()?)?;
    let mut components = Vec::new();
    for ((module, names), probe) in built_in.into_iter().zip(&config.probes) {
        let description = sandbox.describe(probe).await?;
        components.push(component_schema(module, names, &description));
    }
    Ok(components)
}

/// Returns the schemas of the components that a configuration declares under `modules`, and of the files that its
/// probes name. Prints a warning for each component that cannot be loaded.
async fn configured_components(source: &Source) -> Result<Vec<ComponentSchema>> {
    let environment = |name: &str| std::env::var(name).ok();
    let mut parsed = config::parse(source, &environment);
    let missing = parsed.require_files(|_| true);
    let has_file = |probe: &Probe| probe.module.path().is_none_or(|path| !missing.contains(path));
    let config = parsed.config;
    REDACTOR.install(config.secrets.clone());
    let sandbox = Sandbox::new(1, None, EventDefaults::new(&config.sentry), config.secrets.clone(), code_source()?)?;
    let (mut components, mut warnings) = (Vec::new(), Vec::new());
    for probe in config::module_probes(source, &environment).into_iter().filter(has_file) {
        let name = probe.module_settings.pointer.split('/').nth(2).unwrap_or_default();
        match sandbox.describe(&probe).await {
            Ok(description) => {
                let given_keys = probe.module_settings.keys.iter().cloned().collect();
                let module = Some(name.to_owned());
                components.push(ComponentSchema {
                    module,
                    given_keys,
                    ..component_schema(name, config::aliases(name), &description)
                });
            }
            Err(error) => warnings.push(config::Diagnostic::at_key(format!("/modules/{name}"), error.to_string())),
        }
    }
    let pointers: Vec<_> = config.probes.iter().map(|probe| format!("{}/probe", probe.pointer)).collect();
    let names = config::source_texts(source, &pointers);
    let mut by_file: BTreeMap<String, (&Probe, BTreeSet<String>)> = BTreeMap::new();
    for (probe, name) in config.probes.iter().zip(names).filter(|(probe, _)| has_file(probe)) {
        let is_declared =
            |name: &String| components.iter().any(|component: &ComponentSchema| component.names.contains(name));
        if let (Module::File { path, .. }, Some(name)) = (&probe.module, name.filter(|name| !is_declared(name))) {
            let entry = by_file.entry(path.display().to_string());
            entry.or_insert_with(|| (probe, BTreeSet::new())).1.insert(name);
        }
    }
    for (probe, names) in by_file.into_values() {
        match sandbox.describe(probe).await {
            Ok(description) => {
                components.push(component_schema(&probe.name, names.into_iter().collect(), &description));
            }
            Err(error) => warnings.push(probe.diagnostic("/probe", &error.to_string())),
        }
    }
    print_diagnostics(source, Level::Warning, &warnings);
    if !parsed.errors.is_empty() {
        print_warning(&format!(
            "{} has errors, so that the schema may lack some of its components: `sentrynet check` shows them",
            source.name
        ));
    }
    Ok(components)
}

/// Returns the schema of a component. Each of `names`, as a value of the key `probe`, selects the component.
fn component_schema(key: &str, names: Vec<String>, description: &Description) -> ComponentSchema {
    let (summary, schema) = (description.summary.clone(), description.schema.clone());
    ComponentSchema { names, key: key.to_owned(), summary, schema, module: None, given_keys: Vec::new() }
}
