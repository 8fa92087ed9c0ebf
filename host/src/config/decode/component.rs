//! The component of a probe, with the settings and permissions that all probes of the component share.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::config::{Allow, Limits, Module, SharedSettings};

/// Values of environment variables, by name.
pub type Environment = BTreeMap<String, SecretString>;

/// An entry of `modules`.
pub struct DeclaredModule {
    /// `None` if the entry has an error, which was reported.
    pub component: Option<Component>,
    pub is_used: bool,
    /// The JSON pointer to the entry.
    pub pointer: String,
}

/// A component, with the settings and permissions that all its probes share.
#[derive(Clone)]
pub struct Component {
    /// The name that its runs are reported with.
    pub name: String,
    pub module: Module,
    /// The `allow` blocks, each of which narrows those before it; empty if everything is allowed.
    pub allow: Vec<Allow>,
    pub environment: Environment,
    pub limits: Option<Limits>,
    /// Settings of its probes that a probe's own settings override.
    pub settings: Map<String, Value>,
    /// The JSON pointer to `settings`.
    pub settings_pointer: String,
}

/// The declared modules, by name.
pub type Modules = BTreeMap<String, DeclaredModule>;

/// The owner of a probe's own `allow` block, as messages name it.
pub const THIS_PROBE: &str = "this probe";

impl Component {
    /// Returns a component with no settings and no environment.
    pub fn new(name: String, module: Module, allow: Vec<Allow>) -> Self {
        let (settings, settings_pointer) = (Map::new(), String::new());
        Self { name, module, allow, environment: Environment::new(), limits: None, settings, settings_pointer }
    }

    /// Applies a probe's own `allow` block. For a component from a file it is the only block; for a module or a
    /// built-in probe it narrows the blocks before it.
    pub fn narrow(&mut self, own: Option<(Allow, Option<Environment>)>) {
        let Some((allow, environment)) = own else { return };
        let is_file = self.allow.first().is_some_and(|first| first.declared_by == THIS_PROBE);
        if is_file {
            self.allow = vec![allow.or_deny()];
        } else {
            self.allow.push(allow);
        }
        let is_module = !is_file && self.allow.len() > 1;
        // A probe of a module can give up variables of the module, but not add any.
        match environment {
            Some(own) if is_module => self.environment.retain(|name, _| own.contains_key(name)),
            Some(own) => self.environment = own,
            None => {}
        }
    }

    /// Adds the module's settings to those of a probe, except where the probe or its group has its own. Returns those
    /// that were added.
    pub fn add_settings(&self, settings: &mut Map<String, Value>) -> SharedSettings {
        SharedSettings::add(&self.settings, &self.settings_pointer, settings)
    }
}
