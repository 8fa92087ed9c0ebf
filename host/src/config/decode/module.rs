//! Decodes `modules`, and finds the component that a probe names: a built-in one, a declared module, or a file.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::component::{Component, DeclaredModule, Modules, THIS_PROBE};
use super::decoder::Decoder;
use crate::config::diagnostic::{Diagnostic, below, quote};
use crate::config::limits::decode_limits;
use crate::config::section::Section;
use crate::config::table::{Field, Table, check_line, type_name};
use crate::config::{Allow, Limits, MissingFile, Module};
use crate::schema::closest;

/// The built-in probes: all values of `probe` that name them, the name that their runs are reported with, and the
/// name of the component.
pub const BUILT_IN: &[(&[&str], &str, &str)] = &[
    (&["http", "probes.http"], "probes.http", "http"),
    (&["chain", "script", "probes.chain", "probes.script"], "probes.script", "chain"),
    (&["ssh", "probes.ssh"], "probes.ssh", "ssh"),
];

/// The components that come with the program as examples, for messages.
const EXAMPLES: &str = "`examples/probes` of SentryNet has components for `dns`, `postgres` and `redis`";

/// Returns the name that the runs of a built-in probe are reported with, and the name of its component.
pub fn built_in(name: &str) -> Option<(&'static str, &'static str)> {
    BUILT_IN.iter().find(|(names, ..)| names.contains(&name)).map(|(_, full, component)| (*full, *component))
}

impl Decoder<'_> {
    pub fn modules(&mut self, field: Option<Field>, limits: Limits) -> Modules {
        let map = field.and_then(|field| field.into_map(&mut self.context));
        let (pointer, entries) = map.unwrap_or_default();
        let declare = |(name, value): (String, Value)| {
            let pointer = below(&pointer, &name);
            if let Err(message) = check_name(&name) {
                self.context.errors.push(Diagnostic::at_key(&pointer, message));
            }
            let field = Field { pointer: pointer.clone(), label: format!("the module {}", quote(&name)), value };
            let component = self.declared(&name, field, limits);
            (name, DeclaredModule { component, is_used: false, pointer })
        };
        entries.into_iter().map(declare).collect()
    }

    fn declared(&mut self, name: &str, field: Field, limits: Limits) -> Option<Component> {
        let mut table = Table::new(field, Section::MODULE, &mut self.context)?;
        let module = self.file(&mut table);
        let declared_by = format!("the module `{name}`");
        let allow = table.take("allow").and_then(|field| self.allow(field, declared_by.clone()));
        let (allow, environment) = allow.unwrap_or((Allow { declared_by, ..Allow::default() }, None));
        let own_limits = table.take_table("limits", Section::RUN_LIMITS, &mut self.context);
        let limits = own_limits.map(|table| decode_limits(table, &mut self.context).over(limits));
        let settings_pointer = below(&table.pointer, "settings");
        let settings = table.take("settings").and_then(|field| field.into_map(&mut self.context));
        let settings = settings.map(|(_, settings)| settings).unwrap_or_default();
        for key in settings.keys().filter(|key| Section::PROBE.has(key)) {
            let message = format!("`{key}` is each probe's own: write it there");
            self.context.errors.push(Diagnostic::at_key(below(&settings_pointer, key), message));
        }
        table.finish(&mut self.context);
        Some(Component {
            name: built_in(name).map_or(name, |(full, _)| full).to_owned(),
            module: module?,
            allow: vec![allow.or_deny()],
            environment: environment.unwrap_or_default(),
            limits,
            settings,
            settings_pointer,
        })
    }

    /// Decodes the component's file and its digest. Returns `None` if either has an error: without its
    /// digest the file would not be verified.
    fn file(&mut self, table: &mut Table) -> Option<Module> {
        let digest = table.take("sha256");
        let sha256 = digest.as_ref().and_then(|field| self.context.accept(field, sha256(field)));
        let Some(field) = table.take("component") else {
            if !table.rest.keys().any(|key| closest(key, &["component"]).is_some()) {
                let message = "the key `component` is missing: the path of a `.wasm` file";
                self.context.errors.push(Diagnostic::at_value(&table.pointer, message));
            }
            return None;
        };
        let path = match &field.value {
            Value::String(path) => self.find_file(path.trim(), &field.pointer),
            value => Err(format!("`component` must be the path of a `.wasm` file, not {}", type_name(value))),
        };
        let path = self.context.accept(&field, path)?;
        (digest.is_some() == sha256.is_some()).then_some(Module::File { path, sha256 })
    }

    /// Returns the component that `probe`, at this JSON pointer, names; `None` if the module of this name has an error,
    /// which was reported, or may be in a file that has one.
    pub fn named(&mut self, name: &str, pointer: &str) -> Result<Option<Component>, String> {
        let built_in = BUILT_IN.iter().find(|(names, ..)| names.contains(&name));
        let names = built_in.map_or(std::slice::from_ref(&name), |(names, ..)| names);
        if let Some(declared) = names.iter().find(|name| self.modules.contains_key(**name)) {
            let declared = self.modules.get_mut(*declared).expect("`contains_key` found this name above");
            declared.is_used = true;
            return Ok(declared.component.clone());
        }
        if let Some((_, name, component)) = built_in {
            return Ok(Some(Component::new((*name).to_owned(), Module::BuiltIn(component), Vec::new())));
        }
        if name.contains('/') || has_wasm_extension(name) {
            let path = self.find_file(name, pointer)?;
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            // The runs of a file must not look like those of a built-in probe.
            let is_built_in = BUILT_IN.iter().any(|(_, full, _)| *full == stem);
            let stem = if is_built_in { format!("{stem}.wasm") } else { stem };
            let allow = Allow { declared_by: THIS_PROBE.to_owned(), ..Allow::default() }.or_deny();
            return Ok(Some(Component::new(stem, Module::File { path, sha256: None }, vec![allow])));
        }
        if self.context.is_incomplete() {
            return Ok(None);
        }
        let known = BUILT_IN.iter().flat_map(|(names, ..)| *names).copied();
        let known: Vec<_> = known.chain(self.modules.keys().map(String::as_str)).collect();
        Err(match closest(name, &known) {
            Some(meant) => format!("unknown probe {}, did you mean `{meant}`?", quote(name)),
            None => format!("unknown probe {}; available: {}; {EXAMPLES}", quote(name), self.available()),
        })
    }

    /// Returns the absolute path of a component's file, so that the same file is one component however it is named.
    /// Adds a missing file to those of the configuration.
    fn find_file(&mut self, name: &str, pointer: &str) -> Result<PathBuf, String> {
        let path = self.directory.join(name);
        let path = std::path::absolute(&path).unwrap_or(path);
        let problem = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => return Ok(path),
            Ok(_) => return Err(format!("{} is not a file: name a `.wasm` file in it", quote(name))),
            Err(_) if name.contains("://") => {
                return Err("a probe is a file here, not a URL: download it".into());
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                format!("no file {}, as seen from the configuration's directory", quote(name))
            }
            Err(error) => format!("cannot read {}: {error}", quote(name)),
        };
        let error = Diagnostic::at_value(pointer, problem);
        self.context.missing_files.push(MissingFile { path: path.clone(), error });
        Ok(path)
    }

    /// Returns a list of the values that `probe` can have, for messages.
    pub fn available(&self) -> String {
        let built_in = BUILT_IN.iter().map(|(.., component)| *component);
        let names = built_in.chain(self.modules.keys().take(20).map(String::as_str));
        let names: String = names.map(|name| format!("`{name}`, ")).collect();
        format!("{names}or the path of a `.wasm` file")
    }

    pub fn warn_of_unused_modules(&mut self) {
        let is_complete = !self.context.is_incomplete();
        for module in self.modules.values().filter(|module| is_complete && !module.is_used) {
            let message = "no probe uses this module: name it in the key `probe` of a probe, or leave it out";
            self.context.warnings.push(Diagnostic::at_key(&module.pointer, message));
        }
    }
}

/// Checks the name of a module, which must not look like a path.
fn check_name(name: &str) -> Result<(), String> {
    const MAX_LENGTH: usize = 64;
    check_line("the name of a module", name, MAX_LENGTH)?;
    if name.contains(|c: char| c.is_whitespace() || c == '/') || has_wasm_extension(name) {
        return Err(format!("{} cannot name a module: write it without `/`, spaces and `.wasm`", quote(name)));
    }
    Ok(())
}

fn has_wasm_extension(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "wasm")
}

fn sha256(field: &Field) -> Result<String, String> {
    const DIGITS: usize = 64;
    let text = field.value.as_str().map(str::to_ascii_lowercase);
    let is_digest = |text: &String| text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.filter(is_digest).ok_or_else(|| field.mismatch("must be the 64 hexadecimal digits that `sha256sum` prints"))
}

#[cfg(test)]
mod tests {
    use crate::config::{Source, parse};

    #[test]
    fn a_file_does_not_have_the_name_of_a_built_in_probe() {
        let directory = std::env::temp_dir().join(format!("sentrynet-names-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let name = |file: &str| {
            std::fs::write(directory.join(file), "").unwrap();
            let text = format!("groups: [{{probes: [{{probe: {file}}}]}}]");
            let source = Source {
                name: "test".into(),
                text,
                path: None,
                directory: directory.clone(),
                probe: None,
                files: Vec::new(),
            };
            let parsed = parse(&source, &|_| None);
            assert_eq!(parsed.errors, []);
            parsed.config.probes[0].name.clone()
        };
        assert_eq!(name("redis.wasm"), "redis");
        assert_eq!(name("probes.http.wasm"), "probes.http.wasm");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
