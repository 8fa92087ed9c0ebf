//! The schema of a component's settings.

use serde_json::Value;

/// The schema of a component's settings, and the names of the component in a configuration.
#[derive(Debug, Clone)]
pub struct ComponentSchema {
    /// The values of `probe` that name the component.
    pub names: Vec<String>,
    /// The name of the component in the whole schema: in `$defs`, and as the title of its settings.
    pub key: String,
    /// One sentence that describes the component.
    pub summary: String,
    /// The JSON Schema of its settings.
    pub schema: Value,
    /// The name of the module that declares the component, if any.
    pub module: Option<String>,
    /// The keys of the settings that the module has, so that its probes need not have them.
    pub given_keys: Vec<String>,
}
