//! The built-in probe `chain`: sends HTTP requests in order. Values from a response can be used in later requests.

mod step;
mod template;

use sentrynet_guest::{Probe, Problems, Trouble, log, span};
use sentrynet_step::Step;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::step::ChainStep;
#[cfg(fuzzing)]
pub use crate::template::Template;

struct Chain;

/// HTTP requests in order, each with what its response must be. A request can use the keys that earlier ones have set.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
// `title` is required, since no good title can be made from several requests.
#[schemars(extend("required" = ["title", "steps"]))]
struct Settings {
    /// Keys that are set before the first step, with their values.
    #[serde(default)]
    init_keys: Map<String, Value>,
    /// The requests in order, each with the keys of the probe `http`. Texts in `url`, `query`, `headers` and `body` are
    /// templates, filled in from the keys as by Python's `str.format_map`: `{token}`, `{user[id]}`, `{price:.2f}`; a
    /// text that is exactly a key's name is replaced by the key's value. `name` is a name for the step, and `always:
    /// true` has it run even after another has failed.
    #[schemars(schema_with = "steps_schema")]
    steps: Vec<Map<String, Value>>,
    /// Keeps cookies from step to step; true unless given.
    cookies: Option<bool>,
}

impl Probe for Chain {
    const NAME: &str = "chain";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &str = "Sends HTTP requests in order, which can use values from earlier responses";
    type Settings = Settings;

    fn check(settings: &Settings, problems: &mut Problems) -> Option<String> {
        if settings.steps.is_empty() {
            problems.add("/steps", "a chain has at least one step");
        }
        let mut known_keys: Vec<String> = settings.init_keys.keys().cloned().collect();
        for (index, step) in settings.steps.iter().enumerate() {
            if let Some(parsed) = ChainStep::parse(index, step.clone(), &known_keys, problems) {
                parsed.check(&known_keys, problems);
            }
            // The keys of a step with a mistake are known too, so that later steps that use them have no mistake.
            known_keys.extend(step.get("set_keys").and_then(Value::as_object).into_iter().flat_map(Map::keys).cloned());
        }
        None
    }

    fn run(settings: Settings) -> Result<(), Trouble> {
        let mut keys = settings.init_keys;
        let cookies = settings.cookies.unwrap_or(true);
        let mut known_keys: Vec<String> = keys.keys().cloned().collect();
        let mut first_trouble = None;
        for (index, step) in settings.steps.into_iter().enumerate() {
            let mut problems = Problems::default();
            let step = ChainStep::parse(index, step, &known_keys, &mut problems);
            problems.into_result()?;
            let Some(mut step) = step else { continue };
            known_keys.extend(step.keys_to_set().cloned());
            if first_trouble.is_some() && !step.always {
                continue;
            }
            let ran = span::scope("chain.step", &step.span_description(), |_| step.run(&keys, cookies));
            match ran {
                Ok(keys_after) => keys = keys_after,
                Err(trouble) => {
                    let trouble = trouble.at(&step.label());
                    match &first_trouble {
                        None => first_trouble = Some(trouble),
                        // The run fails with the first failure. The failure of a later step, which may be a
                        // consequence, is only logged.
                        Some(_) => log::error(&format!("after the failure, {}", trouble.message())),
                    }
                }
            }
        }
        first_trouble.map_or(Ok(()), Err)
    }
}

/// Returns the schema of the steps: that of a request, with two more keys.
fn steps_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut step = <Step as schemars::JsonSchema>::json_schema(generator);
    if let Some(properties) = step.get_mut("properties").and_then(Value::as_object_mut) {
        for templated in ["url", "query", "headers", "body"] {
            // The host doubles the braces in values from the environment or a file, so that these are not parsed as
            // fields.
            properties[templated]["format"] = "str.format_map".into();
        }
        let about = "A name for the step, which its span and messages show.";
        let name = serde_json::json!({ "type": ["string", "null"], "format": "text", "description": about });
        let about = "Runs the step even after another has failed, for example to clean up; false unless given.";
        let always = serde_json::json!({ "type": ["boolean", "null"], "default": false, "description": about });
        properties.shift_insert(0, "name".to_owned(), name);
        properties.shift_insert(1, "always".to_owned(), always);
    }
    schemars::json_schema!({ "type": "array", "minItems": 1, "items": step })
}

sentrynet_guest::export!(Chain);
