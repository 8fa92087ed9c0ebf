//! A value held against a schema, in steps that are counted: a schema can ask for more of them than there is time for.

use std::collections::HashSet;

use serde_json::{Number, Value};

use super::evaluated::Evaluated;
use super::nearest::nearest;
use super::node::{Count, Id, Node, Type, compare, same};
use super::words::{Expected, Found, What, violation};
use super::{Endless, Schema, Violation};

mod lists;
mod maps;

/// Nobody reads on after so many.
const MOST: usize = 100;
/// Steps that any value may take, and those for each value within it. What people write takes some ten.
pub const STEPS: u64 = 20_000;
pub const STEPS_FOR_EACH: u64 = 500;
/// Parts of a schema within one another, and of each a few frames on the stack.
const DEEPEST: usize = 400;

pub fn check(schema: &Schema, value: &Value) -> Result<Vec<Violation>, Endless> {
    let steps = STEPS + STEPS_FOR_EACH * weight(value, usize::MAX);
    let mut run = Run { schema, steps, depth: 0, pointer: String::new(), scope: Vec::new(), secrets: HashSet::new() };
    let found = run.node(0, value)?.found;
    let mut violations = Vec::new();
    for found in found.into_iter().take(MOST) {
        let violation = violation(&found, run.is_secret(&found.pointer));
        if !violations.contains(&violation) {
            violations.push(violation);
        }
    }
    Ok(violations)
}

struct Run<'v> {
    schema: &'v Schema,
    /// That are left.
    steps: u64,
    depth: usize,
    /// Where in the value we are.
    pointer: String,
    /// The schemas within the schema that led here.
    scope: Vec<usize>,
    /// Where what is `writeOnly` is.
    secrets: HashSet<String>,
}

/// What a part of a schema says of a value.
#[derive(Default)]
struct Outcome<'v> {
    found: Vec<Found<'v>>,
    evaluated: Evaluated<'v>,
}

impl<'v> Run<'v> {
    fn node(&mut self, id: Id, value: &'v Value) -> Result<Outcome<'v>, Endless> {
        self.spend(1)?;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Endless);
        }
        let node = &self.schema.nodes[id];
        let entered = self.scope.last() != Some(&node.resource);
        if entered {
            self.scope.push(node.resource);
        }
        let mut outcome = Outcome::default();
        if node.write_only {
            self.secrets.insert(self.pointer.clone());
        }
        if node.never {
            self.note(&mut outcome, What::Never);
        } else if let Some(expected) = self.kind(node, value)? {
            // What else is wrong with it would be said of something that it is not.
            self.note(&mut outcome, What::Expected(expected));
        } else {
            self.scalar(node, value, &mut outcome)?;
            self.applied(node, value, &mut outcome)?;
            match value {
                Value::Array(items) => self.list(node, items, &mut outcome)?,
                Value::Object(map) => self.map(node, map, value, &mut outcome)?,
                _ => {}
            }
        }
        if entered {
            self.scope.pop();
        }
        self.depth -= 1;
        Ok(outcome)
    }

    /// What it should be, if it is neither of the types nor among the values.
    fn kind(&mut self, node: &'v Node, value: &'v Value) -> Result<Option<Expected<'v>>, Endless> {
        for allowed in &node.values {
            self.spend(allowed.len() as u64 * weight(value, 1000))?;
            if !allowed.iter().any(|allowed| same(allowed, value)) {
                return Ok(Some(Expected { allowed: allowed.iter().collect(), ..Expected::new(value) }));
            }
        }
        if node.types.is_empty() || node.types.iter().any(|known| known.allows(value)) {
            return Ok(None);
        }
        let other = |known: &Type| !matches!(known, Type::Text | Type::Null);
        let any_text = node.types.contains(&Type::Text) && !node.types.iter().any(other) && node.pattern.is_none();
        Ok(Some(Expected {
            types: node.types.clone(),
            numbers: Some(&node.numbers),
            keys: &node.maps.known,
            any_text,
            ..Expected::new(value)
        }))
    }

    fn scalar(&mut self, node: &'v Node, value: &'v Value, outcome: &mut Outcome<'v>) -> Result<(), Endless> {
        match value {
            Value::Number(number) => {
                let numbers = &node.numbers;
                let within = numbers.least.as_ref().is_none_or(|least| least.allows_from_above(number))
                    && numbers.most.as_ref().is_none_or(|most| most.allows_from_below(number));
                if !within {
                    let types = if node.types.is_empty() { vec![Type::Number] } else { node.types.clone() };
                    let expected = Expected { types, numbers: Some(numbers), ..Expected::new(value) };
                    self.note(outcome, What::Bound(expected));
                } else if let Some(of) = numbers.multiple_of.as_ref().filter(|of| !is_multiple(number, of)) {
                    self.note(outcome, What::Multiple { of, value });
                }
            }
            Value::String(text) => {
                if node.length != Count::default() {
                    self.spend(text.len() as u64 / 1024)?;
                    let length = text.chars().count();
                    if !node.length.allows(length) {
                        self.note(outcome, What::Length { count: node.length, got: length });
                    }
                }
                if let Some(pattern) = &node.pattern {
                    self.spend(pattern.cost(text))?;
                    if !pattern.fits(text) {
                        self.note(outcome, What::Pattern(&pattern.text));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What other parts of the schema say of the same value.
    fn applied(&mut self, node: &'v Node, value: &'v Value, outcome: &mut Outcome<'v>) -> Result<(), Endless> {
        for target in &node.references {
            let dynamic = self.scope.iter().find_map(|resource| target.dynamic.get(resource));
            let said = self.node(*dynamic.unwrap_or(&target.to), value)?;
            self.take(said, outcome)?;
        }
        for id in &node.all {
            let said = self.node(*id, value)?;
            self.take(said, outcome)?;
        }
        if let Some(any) = &node.any {
            self.branches(any, value, false, outcome)?;
        }
        if let Some(one) = &node.one {
            self.branches(one, value, true, outcome)?;
        }
        if let Some(not) = node.not
            && self.node(not, value)?.found.is_empty()
        {
            self.note(outcome, What::Not);
        }
        if let Some(condition) = node.condition {
            let said = self.node(condition, value)?;
            let then = if said.found.is_empty() { node.then } else { node.otherwise };
            if said.found.is_empty() {
                self.take(said, outcome)?;
            }
            if let Some(then) = then {
                let said = self.node(then, value)?;
                self.take(said, outcome)?;
            }
        }
        Ok(())
    }

    /// `anyOf`, and with `only` one `oneOf`.
    fn branches(
        &mut self,
        ids: &'v [Id],
        value: &'v Value,
        only: bool,
        outcome: &mut Outcome<'v>,
    ) -> Result<(), Endless> {
        let mut wrong = Vec::new();
        let mut right = 0;
        for id in ids {
            let said = self.node(*id, value)?;
            if !said.found.is_empty() {
                wrong.push(said.found);
                continue;
            }
            right += 1;
            self.take(said, outcome)?;
            if !only && !self.schema.tracks {
                break;
            }
        }
        match right {
            0 => outcome.found.extend(nearest(wrong, &self.pointer, value)),
            1 => {}
            _ if only => self.note(outcome, What::Ambiguous),
            _ => {}
        }
        Ok(())
    }

    /// Adds what a part has said to what is said of the whole.
    fn take(&mut self, said: Outcome<'v>, outcome: &mut Outcome<'v>) -> Result<(), Endless> {
        if self.schema.tracks && said.found.is_empty() {
            self.spend(said.evaluated.len() as u64)?;
            outcome.evaluated.add(said.evaluated);
        }
        let room = MOST.saturating_sub(outcome.found.len());
        outcome.found.extend(said.found.into_iter().take(room));
        Ok(())
    }

    /// What a part says of a value one level down.
    fn below(&mut self, segment: &str, id: Id, value: &'v Value) -> Result<Outcome<'v>, Endless> {
        let length = self.pointer.len();
        self.spend(length as u64 / 64)?;
        self.pointer = super::place::below(&self.pointer, segment);
        let said = self.node(id, value);
        self.pointer.truncate(length);
        said
    }

    fn note(&self, outcome: &mut Outcome<'v>, what: What<'v>) {
        if outcome.found.len() < MOST {
            outcome.found.push(Found { pointer: self.pointer.clone(), what });
        }
    }

    fn spend(&mut self, steps: u64) -> Result<(), Endless> {
        self.steps = self.steps.checked_sub(steps).ok_or(Endless)?;
        Ok(())
    }

    fn is_secret(&self, pointer: &str) -> bool {
        self.secrets.iter().any(|secret| {
            pointer.strip_prefix(secret.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// How many values there are within a value, it included, up to a bound.
pub fn weight(value: &Value, most: usize) -> u64 {
    let (mut waiting, mut count) = (vec![value], 0);
    while let Some(value) = waiting.pop() {
        count += 1;
        match value {
            _ if count as usize >= most => break,
            Value::Array(items) => waiting.extend(items),
            Value::Object(map) => waiting.extend(map.values()),
            _ => {}
        }
    }
    count
}

fn is_multiple(number: &Number, of: &Number) -> bool {
    if let (Some(number), Some(of)) = (number.as_i128(), of.as_i128()) {
        return of != 0 && number % of == 0;
    }
    let times = number.as_f64().unwrap_or(f64::NAN) / of.as_f64().unwrap_or(f64::NAN);
    // 0.0075 is 75 times 0.0001, but not to the last bit.
    times.is_finite() && (times - times.round()).abs() <= 1e-9 * times.abs().max(1.0)
        || compare(number, &Number::from(0)).is_eq()
}
