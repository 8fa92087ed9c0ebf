//! One step of a chain: a request whose texts are templates.

use sentrynet_guest::{Failure, Problems, Trouble, warning};
use sentrynet_step::{Body, Step};
use serde_json::{Map, Value};

use crate::template::{TemplatedValue, text};

/// A step of a chain, with its templates parsed.
pub struct ChainStep {
    /// The position of the step, from 0.
    index: usize,
    name: Option<String>,
    /// True if the step runs even after another has failed.
    pub always: bool,
    step: Step,
    url: TemplatedValue,
    query: TemplatedValue,
    headers: TemplatedValue,
    body: Option<TemplatedValue>,
}

impl ChainStep {
    /// Parses a step, and adds all mistakes in its keys, values and templates. `known_keys` are the keys that may be
    /// set before it. Returns `None` if the step cannot be deserialized, for example without `url`.
    pub fn parse(
        index: usize,
        mut step: Map<String, Value>,
        known_keys: &[String],
        problems: &mut Problems,
    ) -> Option<Self> {
        let at = format!("/steps/{index}");
        let name = match step.shift_remove("name") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => {
                problems.add(format!("{at}/name"), "expected text");
                None
            }
        };
        let always = match step.shift_remove("always") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(always)) => always,
            Some(_) => {
                problems.add(format!("{at}/always"), "expected true or false");
                false
            }
        };
        let step: Step = problems.deserialize(&at, step, &["name", "always"])?;
        let mut parse_templates = |key: &str, value: &Value| {
            let (templated, found) = TemplatedValue::parse(value, &|name| known_keys.iter().any(|known| known == name));
            for (pointer, message) in found {
                problems.add(format!("{at}/{key}{pointer}"), message);
            }
            templated
        };
        let url = parse_templates("url", &Value::String(step.url.clone()));
        let query = parse_templates("query", &Value::Object(step.query.clone()));
        let headers = parse_templates("headers", &Value::Object(step.headers.clone()));
        let body = match &step.body {
            None => None,
            Some(Body::Text(text)) => Some(parse_templates("body", &Value::String(text.clone()))),
            Some(Body::Json(value)) => Some(parse_templates("body", value)),
        };
        Some(Self { index, name, always, step, url, query, headers, body })
    }

    /// Returns the keys that the step may set.
    pub fn keys_to_set(&self) -> impl Iterator<Item = &String> {
        self.step.set_keys.keys()
    }

    /// Adds all mistakes that can be found before the run.
    pub fn check(mut self, known_keys: &[String], problems: &mut Problems) {
        let at = format!("/steps/{}", self.index);
        let is_known = |key: &str| known_keys.iter().any(|known| known == key);
        let parts = [("url", &self.url), ("query", &self.query), ("headers", &self.headers)];
        for (part, templated) in parts.into_iter().chain(self.body.iter().map(|body| ("body", body))) {
            for (pointer, key) in templated.keys().into_iter().filter(|(_, key)| !is_known(key)) {
                problems.add(
                    format!("{at}/{part}{pointer}"),
                    format!(
                        "no key `{key}` is set before this step: give it under `init_keys`, or an earlier step's `set_keys`"
                    ),
                );
            }
        }
        self.warn_of_replaced_texts(&is_known);
        // A text without fields is checked as it is. A text that is filled in during the run is replaced by a valid
        // one.
        let constant = |templated: &TemplatedValue| templated.constant(&is_known);
        self.step.url = match constant(&self.url) {
            Some(Value::String(url)) => url,
            _ => "http://localhost/".to_owned(),
        };
        for (map, templated) in [(&mut self.step.headers, &self.headers), (&mut self.step.query, &self.query)] {
            for (name, value) in map.iter_mut().filter(|(_, value)| value.is_string()) {
                let filled_in = templated.entry(name).and_then(constant);
                *value = filled_in.unwrap_or_else(|| Value::String("x".to_owned()));
            }
        }
        self.step.build_request(&at, problems);
        self.step.check_request(&at, problems);
        self.step.check_expectations(&at, &is_known, problems);
    }

    /// Warns of each text that is replaced by the value of a key whose name it happens to be.
    fn warn_of_replaced_texts(&self, is_known: &dyn Fn(&str) -> bool) {
        let parts = [("query", &self.query), ("headers", &self.headers)];
        for (part, templated) in parts.into_iter().chain(self.body.iter().map(|body| ("body", body))) {
            for (pointer, key) in templated.replaced_texts(is_known) {
                let message = format!(
                    "the value of the key `{key}` is sent here, since the text is exactly its name: write `{{{key}}}` to \
                     say so, or give the key another name if the text is meant"
                );
                warning::report_setting(format!("/steps/{}/{part}{pointer}", self.index), message);
            }
        }
    }

    /// Fills in the templates, and runs the step. Returns all keys that are set after it.
    ///
    /// # Errors
    /// Returns [`Trouble::Failed`] with the reason `key` if a template cannot be filled in, and otherwise the errors of
    /// [`Step::run`].
    pub fn run(&mut self, keys: &Map<String, Value>, cookies: bool) -> Result<Map<String, Value>, Trouble> {
        self.fill_in(keys)?;
        self.step.run(keys, cookies, &self.label())
    }

    /// Replaces the templates of the step by their values.
    fn fill_in(&mut self, keys: &Map<String, Value>) -> Result<(), Failure> {
        let render = |part: &str, templated: &TemplatedValue| {
            templated.render(keys).map_err(|(pointer, why)| {
                let place = format!("{part}{}", pointer.replace('/', "."));
                Failure::new("key", format!("{place} cannot be filled in: {why}"))
            })
        };
        let render_map = |part: &str, templated: &TemplatedValue, given: &Map<String, Value>| {
            let rendered = render(part, templated)?;
            let entries = given.iter();
            let entries = entries.map(|(name, given)| (name.clone(), text_if_templated(given, &rendered[name])));
            Ok::<_, Failure>(entries.collect())
        };
        if let Some(templated) = &self.body {
            self.step.body = Some(match render("body", templated)? {
                value @ (Value::Object(_) | Value::Array(_)) => Body::Json(value),
                value => Body::Text(text(&value)),
            });
        }
        self.step.url = text(&render("url", &self.url)?);
        self.step.query = render_map("query", &self.query, &self.step.query)?;
        self.step.headers = render_map("headers", &self.headers, &self.step.headers)?;
        Ok(())
    }

    /// Returns the label of the step in messages: `step 2`, `step 2 (Log in)`.
    pub fn label(&self) -> String {
        let number = self.index + 1;
        self.name.as_ref().map_or_else(|| format!("step {number}"), |name| format!("step {number} ({name})"))
    }

    /// Returns the description of the step's span: `2. Log in`, `2. GET https://example.org/`.
    pub fn span_description(&self) -> String {
        let number = self.index + 1;
        match &self.name {
            Some(name) => format!("{number}. {name}"),
            None => format!("{number}. {} {}", self.step.method(), without_secrets(&self.step.url)),
        }
    }
}

/// Returns a value of the headers or the query. A text is rendered, and the result is text as by Python's `str`. Any
/// other value stays as it was given.
fn text_if_templated(given: &Value, rendered: &Value) -> Value {
    match (given, rendered) {
        (Value::String(_), rendered) => Value::String(text(rendered)),
        (Value::Array(given), Value::Array(rendered)) => {
            given.iter().zip(rendered).map(|(given, rendered)| text_if_templated(given, rendered)).collect()
        }
        (given, _) => given.clone(),
    }
}

/// Returns the template of a URL without credentials, query and fragment, which may contain secrets.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        None => url.to_owned(),
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
        }
    }
}
