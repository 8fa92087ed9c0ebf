//! The built-in probe `chain`: requests in a row, what one answers carried to the next.

mod link;
mod template;

use sentrynet_guest::{Check, Probe, Trouble, log, span};
use sentrynet_step::Step;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::link::Link;

struct Chain;

/// HTTP requests in a row, each with what its answer must be. Keys that one sets can be used in the next.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
// It has no title of its own: what several requests are about, only their author knows.
#[schemars(extend("required" = ["title", "steps"]))]
struct Settings {
    /// Keys and their values at the start.
    #[serde(default)]
    init_keys: Map<String, Value>,
    /// The requests, with all keys of the probe `http`. `url`, `query`, `headers` and `body` are filled in from the keys
    /// as Python's `str.format_map` does it: `{token}`, `{user[id]}`, `{price:.2f}`; a text that is just a key's name is
    /// the key's value. `name` says what a step is about, `always: true` has it run after a failure too.
    #[schemars(schema_with = "steps")]
    steps: Vec<Map<String, Value>>,
    /// Whether cookies are kept from step to step; true unless given.
    cookies: Option<bool>,
}

impl Probe for Chain {
    const NAME: &str = "chain";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &str = "HTTP requests in a row, what one answers carried to the next";
    type Settings = Settings;

    fn check(settings: &Settings, check: &mut Check) -> Option<String> {
        if settings.steps.is_empty() {
            check.problem("/steps", "a chain has at least one step");
        }
        let mut known: Vec<String> = settings.init_keys.keys().cloned().collect();
        for (index, step) in settings.steps.iter().enumerate() {
            if let Some(link) = Link::read(index, step.clone(), &known, check) {
                link.check(&known, check);
            }
            // Whatever is wrong with a step, what it sets is known to the next.
            known.extend(step.get("set_keys").and_then(Value::as_object).into_iter().flat_map(Map::keys).cloned());
        }
        None
    }

    fn run(settings: Settings) -> Result<(), Trouble> {
        let mut keys = settings.init_keys;
        let cookies = settings.cookies.unwrap_or(true);
        let mut known: Vec<String> = keys.keys().cloned().collect();
        let mut trouble = None;
        for (index, step) in settings.steps.into_iter().enumerate() {
            let mut check = Check::default();
            let link = Link::read(index, step, &known, &mut check);
            check.done()?;
            let Some(mut link) = link else { continue };
            known.extend(link.sets().cloned());
            if trouble.is_some() && !link.always {
                continue;
            }
            let ran = span::scope("chain.step", &link.title(), |_| link.run(&keys, cookies));
            match ran {
                Ok(set) => keys = set,
                Err(next) => {
                    let next = next.at(&link.place());
                    match &trouble {
                        None => trouble = Some(next),
                        // The first failure is the one to tell of; a step that cleans up may well fail for its sake.
                        Some(_) => log::error(&format!("after the failure, {}", next.message())),
                    }
                }
            }
        }
        trouble.map_or(Ok(()), Err)
    }
}

/// A step is a request with two keys more.
fn steps(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut step = <Step as schemars::JsonSchema>::json_schema(generator);
    if let Some(properties) = step.get_mut("properties").and_then(Value::as_object_mut) {
        for filled_in in ["url", "query", "headers", "body"] {
            // So that the host puts in what references stand for as it is, braces and all.
            properties[filled_in]["format"] = "str.format_map".into();
        }
        let name =
            serde_json::json!({ "type": ["string", "null"], "description": "What the step is about, for a person." });
        let about = "Whether to run even after a step has failed: to clean up.";
        let always = serde_json::json!({ "type": ["boolean", "null"], "default": false, "description": about });
        properties.shift_insert(0, "name".to_owned(), name);
        properties.shift_insert(1, "always".to_owned(), always);
    }
    schemars::json_schema!({ "type": "array", "minItems": 1, "items": step })
}

sentrynet_guest::export!(Chain);
