//! Components: the built-in ones, those that `modules` declares, and files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Decoder;
use super::allow::Environment;
use crate::config::diagnostic::{Diagnostic, below, quote};
use crate::config::known_keys::{LIMITS_OF_A_RUN, MODULE, PROBE, closest};
use crate::config::table::{Field, Table, bounded, kind};
use crate::config::{Allow, Limits, Module, Shared};

/// What `modules` says of a component.
pub struct Declared {
    /// None when it is wrong, which has been said.
    component: Option<Component>,
    used: bool,
    pointer: String,
}

/// A component, and what every probe of it has.
#[derive(Clone)]
pub struct Component {
    /// The name that its runs carry.
    pub name: String,
    pub module: Module,
    /// What it may do; empty for all.
    pub allow: Vec<Allow>,
    pub environment: Environment,
    pub limits: Option<Limits>,
    /// What its probes have for settings where they have none of their own.
    settings: Map<String, Value>,
    /// JSON pointer to them.
    pointer: String,
}

/// The declared modules, by name.
pub type Modules = BTreeMap<String, Declared>;

/// The built-in probes: all that `probe` may call one, the name that its runs carry, and its component.
pub const BUILT_IN: &[(&[&str], &str, &str)] = &[
    (&["http", "probes.http"], "probes.http", "http"),
    (&["chain", "script", "probes.chain", "probes.script"], "probes.script", "chain"),
    (&["ssh", "probes.ssh"], "probes.ssh", "ssh"),
];

/// The built-in probe that goes by a name: what its runs are called, and its component.
pub fn built_in(name: &str) -> Option<(&'static str, &'static str)> {
    BUILT_IN.iter().find(|(names, ..)| names.contains(&name)).map(|(_, full, component)| (*full, *component))
}

impl Decoder<'_> {
    pub fn modules(&mut self, field: Option<Field>, limits: Limits) -> Modules {
        let table = field.and_then(|field| Table::new(field, &mut self.report));
        let (pointer, entries) = table.map(|table| (table.pointer, table.rest)).unwrap_or_default();
        let declare = |(name, value): (String, Value)| {
            let pointer = below(&pointer, &name);
            if let Err(message) = right_name(&name) {
                self.report.problems.push(Diagnostic::key(&pointer, message));
            }
            let field = Field { pointer: pointer.clone(), key: format!("the module {}", quote(&name)), value };
            let component = self.declared(&name, field, limits);
            (name, Declared { component, used: false, pointer })
        };
        entries.into_iter().map(declare).collect()
    }

    fn declared(&mut self, name: &str, field: Field, limits: Limits) -> Option<Component> {
        let mut table = Table::new(field, &mut self.report)?;
        let module = self.file(&mut table);
        let of = format!("the module `{name}`");
        let allow = table.take("allow").and_then(|field| self.allow(field, of.clone()));
        let (allow, environment) = allow.unwrap_or((Allow { of, ..Allow::default() }, None));
        let own = table.take("limits").and_then(|field| Table::new(field, &mut self.report));
        let limits = own.map(|table| self.limits(table, limits, LIMITS_OF_A_RUN));
        let pointer = below(&table.pointer, "settings");
        let settings = table.take("settings").and_then(|field| Table::new(field, &mut self.report));
        let settings = settings.map(|settings| settings.rest).unwrap_or_default();
        for key in settings.keys().filter(|key| PROBE.contains(&key.as_str())) {
            let message = format!("`{key}` is each probe's own: write it there");
            self.report.problems.push(Diagnostic::key(below(&pointer, key), message));
        }
        table.finish(MODULE, &mut self.report);
        Some(Component {
            name: built_in(name).map_or(name, |(full, _)| full).to_owned(),
            module: module?,
            allow: vec![allow.first()],
            environment: environment.unwrap_or_default(),
            limits,
            settings,
            pointer,
        })
    }

    /// The component of a module, and the bytes that it must have.
    fn file(&mut self, table: &mut Table) -> Option<Module> {
        let pin = table.take("sha256");
        let sha256 = pin.as_ref().and_then(|field| self.report.at(field, sha256(field)));
        let Some(field) = table.take("component") else {
            if !table.rest.keys().any(|key| closest(key, &["component"]).is_some()) {
                let message = "the key `component` is missing: the path of a `.wasm` file";
                self.report.problems.push(Diagnostic::value(&table.pointer, message));
            }
            return None;
        };
        let path = match &field.value {
            Value::String(path) => file(path.trim(), self.directory),
            value => Err(format!("`component` must be the path of a `.wasm` file, not {}", kind(value))),
        };
        let path = self.report.at(&field, path)?;
        // A pin that is wrong is no reason to go without.
        (pin.is_some() == sha256.is_some()).then_some(Module::File { path, sha256 })
    }

    /// The component that `probe` names; none when the module of that name is wrong.
    pub fn named(&mut self, name: &str) -> Result<Option<Component>, String> {
        let built_in = BUILT_IN.iter().find(|(names, ..)| names.contains(&name));
        let names = built_in.map_or(std::slice::from_ref(&name), |(names, ..)| names);
        if let Some(declared) = names.iter().find(|name| self.modules.contains_key(**name)) {
            let declared = self.modules.get_mut(*declared).expect("it was just found");
            declared.used = true;
            return Ok(declared.component.clone());
        }
        if let Some((_, name, component)) = built_in {
            return Ok(Some(Component::new((*name).to_owned(), Module::BuiltIn(component), Vec::new())));
        }
        if name.contains('/') || has_extension(name) {
            let path = file(name, self.directory)?;
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let allow = Allow { of: THIS_PROBE.to_owned(), ..Allow::default() }.first();
            return Ok(Some(Component::new(stem, Module::File { path, sha256: None }, vec![allow])));
        }
        let known = BUILT_IN.iter().flat_map(|(names, ..)| *names).copied();
        let known: Vec<_> = known.chain(self.modules.keys().map(String::as_str)).collect();
        Err(match closest(name, &known) {
            Some(meant) => format!("unknown probe {}, did you mean `{meant}`?", quote(name)),
            None => format!("unknown probe {}; available: {}", quote(name), self.available()),
        })
    }

    /// What `probe` may be, in words.
    pub fn available(&self) -> String {
        let declared = self.modules.keys().take(20).map(|name| format!("`{name}`, "));
        format!("`http`, `chain`, `ssh`, {}or the path of a `.wasm` file", declared.collect::<String>())
    }

    /// Modules that nobody uses are mistakes, or waste.
    pub fn warn_of_unused(&mut self) {
        let unused: Vec<_> = self.modules.values().filter(|module| !module.used).collect();
        for module in unused {
            let message = "no probe uses this module: name it as one's `probe`, or leave it out";
            self.report.warnings.push(Diagnostic::key(&module.pointer, message));
        }
    }
}

/// Whose word it is that a probe has on its own component.
pub const THIS_PROBE: &str = "this probe";

impl Component {
    fn new(name: String, module: Module, allow: Vec<Allow>) -> Self {
        let (settings, pointer) = (Map::new(), String::new());
        Self { name, module, allow, environment: Environment::new(), limits: None, settings, pointer }
    }

    /// Takes a probe's own word on what it may do: of a file the only one, of others one that narrows.
    pub fn narrow(&mut self, own: Option<(Allow, Option<Environment>)>) {
        let Some((allow, environment)) = own else { return };
        let alone = self.allow.first().is_some_and(|first| first.of == THIS_PROBE);
        match alone {
            true => self.allow = vec![allow.first()],
            false => self.allow.push(allow),
        }
        let declared = !alone && self.allow.len() > 1;
        match environment {
            Some(own) if declared => self.environment.retain(|name, _| own.contains_key(name)),
            Some(own) => self.environment = own,
            None => {}
        }
    }

    /// Adds what all probes of the component have to the settings of one that has none of its own.
    pub fn share(&self, settings: &mut Map<String, Value>) -> Shared {
        let shared = self.settings.iter().filter(|(key, _)| !settings.contains_key(*key));
        let shared: Vec<_> = shared.map(|(key, value)| (key.clone(), value.clone())).collect();
        let keys = shared.iter().map(|(key, _)| key.clone()).collect();
        settings.extend(shared);
        Shared { pointer: self.pointer.clone(), keys }
    }
}

/// A module's name must not be taken for a path.
fn right_name(name: &str) -> Result<(), String> {
    bounded("the name of a module", name, 64)?;
    match name.contains(|c: char| c.is_whitespace() || c == '/') || has_extension(name) {
        true => Err(format!("{} cannot name a module: write it without `/`, spaces and `.wasm`", quote(name))),
        false => Ok(()),
    }
}

fn has_extension(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "wasm")
}

/// The path of a component. Absolute, so that the same file by two names from two places is still one component.
fn file(name: &str, directory: &Path) -> Result<PathBuf, String> {
    let path = directory.join(name);
    let path = std::path::absolute(&path).unwrap_or(path);
    match std::fs::metadata(&path) {
        Ok(found) if found.is_file() => Ok(path),
        Ok(_) => Err(format!("{} is not a file: name a `.wasm` file in it", quote(name))),
        Err(_) if name.contains("://") => Err("a probe is a file here, not a URL: download it".into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("no file {}, as seen from the configuration's directory", quote(name)))
        }
        Err(error) => Err(format!("cannot read {}: {error}", quote(name))),
    }
}

fn sha256(field: &Field) -> Result<String, String> {
    const DIGITS: usize = 64;
    let text = field.value.as_str().map(str::to_ascii_lowercase);
    let right = |text: &String| text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.filter(right).ok_or_else(|| field.wrong("must be the 64 hexadecimal digits that `sha256sum` prints"))
}
