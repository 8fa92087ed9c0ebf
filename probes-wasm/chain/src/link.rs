//! One step of a chain: a request that is filled in from the keys.

use sentrynet_guest::{Check, Failure, Trouble};
use sentrynet_step::{Body, Step};
use serde_json::{Map, Value};

use crate::template::{Shape, text};

pub struct Link {
    /// Counts from 0.
    index: usize,
    name: Option<String>,
    /// Whether it runs even after a step has failed.
    pub always: bool,
    step: Step,
    url: Shape,
    query: Shape,
    headers: Shape,
    body: Option<Shape>,
}

impl Link {
    /// Reads a step; `known` are the keys that may be set before it.
    pub fn read(index: usize, mut step: Map<String, Value>, known: &[String], check: &mut Check) -> Option<Self> {
        let at = format!("/steps/{index}");
        let name = match step.shift_remove("name") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => {
                check.problem(format!("{at}/name"), "expected text");
                None
            }
        };
        let always = match step.shift_remove("always") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(always)) => always,
            Some(_) => {
                check.problem(format!("{at}/always"), "expected true or false");
                false
            }
        };
        let step: Step = check.read(&at, step, &["name", "always"])?;
        let mut shape = |key: &str, value: &Value| {
            let (shape, problems) = Shape::parse(value, &|name| known.iter().any(|known| known == name));
            for (pointer, message) in problems {
                check.problem(format!("{at}/{key}{pointer}"), message);
            }
            shape
        };
        let url = shape("url", &Value::String(step.url.clone()));
        let query = shape("query", &Value::Object(step.query.clone()));
        let headers = shape("headers", &Value::Object(step.headers.clone()));
        let body = match &step.body {
            None => None,
            Some(Body::Text(text)) => Some(shape("body", &Value::String(text.clone()))),
            Some(Body::Json(value)) => Some(shape("body", value)),
        };
        Some(Self { index, name, always, step, url, query, headers, body })
    }

    /// The keys that it may set.
    pub fn sets(&self) -> impl Iterator<Item = &String> {
        self.step.set_keys.keys()
    }

    /// Notes what is wrong with it, as far as that can be known before it runs.
    pub fn check(mut self, known: &[String], check: &mut Check) {
        let at = format!("/steps/{}", self.index);
        let known = |key: &str| known.iter().any(|known| known == key);
        let parts = [("url", &self.url), ("query", &self.query), ("headers", &self.headers)];
        for (part, shape) in parts.into_iter().chain(self.body.iter().map(|body| ("body", body))) {
            for (pointer, key) in shape.keys().into_iter().filter(|(_, key)| !known(key)) {
                check.problem(
                    format!("{at}/{part}{pointer}"),
                    format!("no key `{key}` is set before this step: give it under `init_keys`, or an earlier step's `set_keys`"),
                );
            }
        }
        // What is yet to be filled in stands for what it may become; what is constant is as it will be.
        let constant = |shape: &Shape| shape.constant(&known);
        self.step.url = match constant(&self.url) {
            Some(Value::String(url)) => url,
            _ => "http://localhost/".to_owned(),
        };
        for (map, shape) in [(&mut self.step.headers, &self.headers), (&mut self.step.query, &self.query)] {
            for (name, value) in map.iter_mut().filter(|(_, value)| value.is_string()) {
                let filled = shape.entry(name).and_then(constant);
                *value = filled.unwrap_or_else(|| Value::String("x".to_owned()));
            }
        }
        self.step.build(&at, check);
        self.step.check(&at, &known, check);
    }

    /// # Errors
    /// What is wrong with the answer, or that there is none.
    pub fn run(&mut self, keys: &Map<String, Value>, cookies: bool) -> Result<Map<String, Value>, Trouble> {
        self.fill_in(keys)?;
        self.step.run(keys, cookies)
    }

    /// Makes the request what it becomes with the keys.
    fn fill_in(&mut self, keys: &Map<String, Value>) -> Result<(), Failure> {
        let fill = |part: &str, shape: &Shape| {
            shape.render(keys).map_err(|(pointer, why)| {
                let place = format!("{part}{}", pointer.replace('/', "."));
                Failure::new("key", format!("{place} cannot be filled in: {why}"))
            })
        };
        let lines = |part: &str, shape: &Shape, given: &Map<String, Value>| {
            let filled = fill(part, shape)?;
            Ok::<_, Failure>(given.iter().map(|(name, given)| (name.clone(), line(given, &filled[name]))).collect())
        };
        if let Some(shape) = &self.body {
            self.step.body = Some(match fill("body", shape)? {
                value @ (Value::Object(_) | Value::Array(_)) => Body::Json(value),
                value => Body::Text(text(&value)),
            });
        }
        self.step.url = text(&fill("url", &self.url)?);
        self.step.query = lines("query", &self.query, &self.step.query)?;
        self.step.headers = lines("headers", &self.headers, &self.step.headers)?;
        Ok(())
    }

    /// Which one it is: `step 2`, `step 2 (Log in)`.
    pub fn place(&self) -> String {
        let number = self.index + 1;
        self.name.as_ref().map_or_else(|| format!("step {number}"), |name| format!("step {number} ({name})"))
    }

    /// What its span is called.
    pub fn title(&self) -> String {
        let number = self.index + 1;
        match &self.name {
            Some(name) => format!("{number}. {name}"),
            None => format!("{number}. {} {}", self.step.method(), shown(&self.step.url)),
        }
    }
}

/// What a line of the headers or the query is: what was filled in as Python writes it, all else as it was given.
fn line(given: &Value, filled: &Value) -> Value {
    match (given, filled) {
        (Value::String(_), filled) => Value::String(text(filled)),
        (Value::Array(given), Value::Array(filled)) => given.iter().zip(filled).map(|(a, b)| line(a, b)).collect(),
        (given, _) => given.clone(),
    }
}

/// A URL to be filled in, as far as it may be shown: without credentials and query.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        None => url.to_owned(),
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
        }
    }
}
