//! Compiles the components of a command line and a configuration, several at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use sentrynet::config::{self, Module};
use sentrynet::printable::StyledText;
use sentrynet::sandbox::{CodeExporter, Compiler, Cpu};
use tokio::task::JoinSet;

use super::super::{INVALID_INPUT, compiler, read};
use crate::logging::{REDACTOR, print_error, print_warning};
use crate::output::print;

/// Compiles the built-in probes and the named components, and prints a line for each. Returns the exit code.
pub async fn export(components: &[PathBuf], config: Option<&Path>, output: &Path, cpu: &str) -> Result<u8> {
    let Compiler::Program(program) = compiler()? else { bail!("this program cannot find itself") };
    let configured = match config.map(configured) {
        Some(None) => return Ok(INVALID_INPUT),
        configured => configured.flatten().unwrap_or_default(),
    };
    let cpu: Cpu = cpu.parse().context("`--cpu` has another value")?;
    let exporter = match CodeExporter::new(program, cpu, output) {
        Ok(exporter) => Arc::new(exporter),
        Err(error) => {
            print_error(&format!("cannot use the directory {}: {error}", output.display()));
            return Ok(INVALID_INPUT);
        }
    };
    let built_in = config::built_ins().map(|(name, _)| Module::BuiltIn(name));
    let named = components.iter().map(|path| Module::File { path: path.clone(), sha256: None });
    let mut exports = JoinSet::new();
    for module in built_in.chain(named).chain(configured) {
        let exporter = Arc::clone(&exporter);
        exports.spawn(async move { (exporter.export(&module).await, module) });
    }
    let mut code = 0;
    while let Some(ended) = exports.join_next().await {
        match ended.context("compiling panicked: this is a bug, please report it")? {
            (Ok(written), module) => {
                let mib = written.size_bytes as f64 / f64::from(1 << 20);
                let mut text = StyledText::new();
                text.push_line(&format!(
                    "{module}: {} ({mib:.1} MiB, sha256 {})",
                    written.file.display(),
                    written.sha256
                ));
                print(&text);
            }
            (Err(error), _) => {
                print_error(&error.to_string());
                code = INVALID_INPUT;
            }
        }
    }
    Ok(code)
}

/// Returns the files of a configuration's components, each once: of its modules and of its probes. Returns `None` if it
/// cannot be read, and prints the error.
fn configured(path: &Path) -> Option<Vec<Module>> {
    let source = read(path)?;
    let environment = |name: &str| std::env::var(name).ok();
    let parsed = config::parse(&source, &environment);
    REDACTOR.install(parsed.config.secrets.clone());
    if !parsed.errors.is_empty() {
        print_warning(&format!(
            "{} has errors, so that some of its components may not be compiled: `sentrynet check` shows them",
            source.name
        ));
    }
    let mut modules = Vec::new();
    for probe in config::module_probes(&source, &environment).into_iter().chain(parsed.config.probes) {
        if probe.module.path().is_some() && !modules.contains(&probe.module) {
            modules.push(probe.module);
        }
    }
    Some(modules)
}
