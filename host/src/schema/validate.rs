//! Validates a value in a bounded number of steps.

use std::collections::HashSet;

use serde_json::Value;

use super::best_match::best_match;
use super::compare::{is_equal, is_multiple};
use super::evaluated::Evaluated;
use super::failure::{Expected, Failure, FailureKind};
use super::messages::to_violation;
use super::node::{CountLimits, Node, NodeId, Type};
use super::pointer::{child, is_within};
use super::types::{BudgetExceeded, Schema, Violation};

mod arrays;
mod objects;

/// The maximal number of failures.
const MAX_FAILURES: usize = 100;
/// The steps that every value is granted, beside [`STEPS_PER_VALUE`] for it and for each value within it. A schema
/// written by hand takes about ten steps for each value.
const BASE_STEPS: u64 = 20_000;
/// The steps for a value, and for each value within it.
const STEPS_PER_VALUE: u64 = 500;
/// The steps for `multipleOf`, whose exact arithmetic takes longer than other keywords.
const STEPS_PER_DIVISION: u64 = 8;
/// The maximal depth of nodes within nodes. Each takes a few frames of the stack.
const MAX_DEPTH: usize = 400;
/// The maximal number of steps that the comparison with one value of `enum` costs.
const MAX_COMPARED_VALUES: usize = 1000;

/// Validates a value and words what is wrong with it.
pub fn validate(schema: &Schema, value: &Value) -> Result<Vec<Violation>, BudgetExceeded> {
    let mut validator = Validator {
        schema,
        steps: step_budget(value),
        depth: 0,
        pointer: String::new(),
        scope: Vec::new(),
        secrets: HashSet::new(),
    };
    let failures = validator.apply(0, value)?.failures;
    let mut violations = Vec::new();
    for failure in failures.into_iter().take(MAX_FAILURES) {
        let violation = to_violation(&failure, validator.is_secret(&failure.pointer));
        if !violations.contains(&violation) {
            violations.push(violation);
        }
    }
    Ok(violations)
}

/// Returns the steps that a value is granted.
pub fn step_budget(value: &Value) -> u64 {
    BASE_STEPS + STEPS_PER_VALUE * count_values(value, usize::MAX)
}

struct Validator<'v> {
    schema: &'v Schema,
    /// The steps that are left.
    steps: u64,
    depth: usize,
    /// The JSON pointer to the current value.
    pointer: String,
    /// The schema resources on the path to the current node, for `$dynamicRef`.
    scope: Vec<usize>,
    /// JSON pointers to the values that are `writeOnly`.
    secrets: HashSet<String>,
}

/// The result of applying a node to a value, which is valid if there are no failures.
#[derive(Default)]
struct Outcome<'v> {
    failures: Vec<Failure<'v>>,
    /// The keys and items that were evaluated. Complete only if the schema tracks them.
    evaluated: Evaluated<'v>,
}

impl<'v> Validator<'v> {
    /// Applies a node to the current value.
    fn apply(&mut self, id: NodeId, value: &'v Value) -> Result<Outcome<'v>, BudgetExceeded> {
        self.spend(1)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(BudgetExceeded);
        }
        let node = &self.schema.nodes[id];
        let enters_resource = self.scope.last() != Some(&node.resource);
        if enters_resource {
            self.scope.push(node.resource);
        }
        let mut outcome = Outcome::default();
        if node.write_only {
            self.secrets.insert(self.pointer.clone());
        }
        if node.is_false {
            self.fail(&mut outcome, FailureKind::FalseSchema);
        } else if let Some(expected) = self.unexpected(node, value)? {
            // Other failures would only confuse: they are about a value of another kind.
            self.fail(&mut outcome, FailureKind::Unexpected(expected));
        } else {
            self.apply_scalar_keywords(node, value, &mut outcome)?;
            self.apply_in_place(node, value, &mut outcome)?;
            match value {
                Value::Array(items) => self.apply_array_keywords(node, items, &mut outcome)?,
                Value::Object(map) => self.apply_object_keywords(node, map, value, &mut outcome)?,
                _ => {}
            }
        }
        if enters_resource {
            self.scope.pop();
        }
        self.depth -= 1;
        Ok(outcome)
    }

    /// Applies a node to a member of the current value.
    fn apply_to_child(&mut self, segment: &str, id: NodeId, value: &'v Value) -> Result<Outcome<'v>, BudgetExceeded> {
        let length = self.pointer.len();
        self.spend(length as u64 / 64)?;
        self.pointer = child(&self.pointer, segment);
        let outcome = self.apply(id, value);
        self.pointer.truncate(length);
        outcome
    }

    /// Returns what is expected if the value has none of the types, or is not among the allowed values.
    fn unexpected(&mut self, node: &'v Node, value: &'v Value) -> Result<Option<Expected<'v>>, BudgetExceeded> {
        for allowed in &node.allowed_values {
            self.spend(allowed.len() as u64 * count_values(value, MAX_COMPARED_VALUES))?;
            if !allowed.iter().any(|allowed| is_equal(allowed, value)) {
                return Ok(Some(Expected { allowed: allowed.iter().collect(), ..Expected::new(value) }));
            }
        }
        if node.types.is_empty() || node.types.iter().any(|known| known.allows(value)) {
            return Ok(None);
        }
        let only_strings = node.types.iter().all(|known| matches!(known, Type::String | Type::Null));
        let any_string = only_strings && node.types.contains(&Type::String) && node.pattern.is_none();
        Ok(Some(Expected {
            types: node.types.clone(),
            range: Some(&node.range),
            format: node.format.as_deref(),
            keys: &node.object.property_order,
            any_string,
            ..Expected::new(value)
        }))
    }

    /// Applies the keywords for numbers and strings.
    fn apply_scalar_keywords(
        &mut self,
        node: &'v Node,
        value: &'v Value,
        outcome: &mut Outcome<'v>,
    ) -> Result<(), BudgetExceeded> {
        match value {
            Value::Number(number) => {
                let range = &node.range;
                if !range.contains(number) {
                    let types = if node.types.is_empty() { vec![Type::Number] } else { node.types.clone() };
                    let format = node.format.as_deref();
                    let expected = Expected { types, range: Some(range), format, ..Expected::new(value) };
                    self.fail(outcome, FailureKind::OutOfRange(expected));
                } else if let Some(of) = &range.multiple_of {
                    self.spend(STEPS_PER_DIVISION)?;
                    if !is_multiple(number, of) {
                        self.fail(outcome, FailureKind::NotMultiple { of, value });
                    }
                }
            }
            Value::String(text) => {
                if node.length != CountLimits::default() {
                    self.spend(text.len() as u64 / 1024)?;
                    let length = text.chars().count();
                    if !node.length.allow(length) {
                        self.fail(outcome, FailureKind::Length { limits: node.length, got: length });
                    }
                }
                if let Some(pattern) = &node.pattern {
                    self.spend(pattern.steps(text))?;
                    if !pattern.matches(text) {
                        self.fail(outcome, FailureKind::Pattern(&pattern.text));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Applies the keywords that apply other nodes to the same value.
    fn apply_in_place(
        &mut self,
        node: &'v Node,
        value: &'v Value,
        outcome: &mut Outcome<'v>,
    ) -> Result<(), BudgetExceeded> {
        for target in &node.references {
            let dynamic = self.scope.iter().find_map(|resource| target.dynamic.get(resource));
            let referenced = self.apply(*dynamic.unwrap_or(&target.node), value)?;
            self.merge(referenced, outcome)?;
        }
        for id in &node.all_of {
            let branch = self.apply(*id, value)?;
            self.merge(branch, outcome)?;
        }
        if let Some(any_of) = &node.any_of {
            self.apply_branches(any_of, value, false, outcome)?;
        }
        if let Some(one_of) = &node.one_of {
            self.apply_branches(one_of, value, true, outcome)?;
        }
        if let Some(not) = node.not
            && self.apply(not, value)?.failures.is_empty()
        {
            self.fail(outcome, FailureKind::Not);
        }
        if let Some(if_schema) = node.if_schema {
            let condition = self.apply(if_schema, value)?;
            let holds = condition.failures.is_empty();
            if holds {
                self.merge(condition, outcome)?;
            }
            if let Some(id) = if holds { node.then_schema } else { node.else_schema } {
                let branch = self.apply(id, value)?;
                self.merge(branch, outcome)?;
            }
        }
        Ok(())
    }

    /// Applies `anyOf`, or `oneOf` if only one branch may match.
    fn apply_branches(
        &mut self,
        ids: &'v [NodeId],
        value: &'v Value,
        only_one: bool,
        outcome: &mut Outcome<'v>,
    ) -> Result<(), BudgetExceeded> {
        let mut failures = Vec::new();
        let mut matches = 0;
        for id in ids {
            let branch = self.apply(*id, value)?;
            if !branch.failures.is_empty() {
                failures.push(branch.failures);
                continue;
            }
            matches += 1;
            self.merge(branch, outcome)?;
            if !only_one && !self.schema.tracks_evaluated {
                break;
            }
        }
        if matches == 0 {
            outcome.failures.extend(best_match(failures, &self.pointer, value));
        } else if matches > 1 && only_one {
            self.fail(outcome, FailureKind::Ambiguous);
        }
        Ok(())
    }

    /// Merges the outcome of another node for the same value.
    fn merge(&mut self, other: Outcome<'v>, outcome: &mut Outcome<'v>) -> Result<(), BudgetExceeded> {
        if self.schema.tracks_evaluated && other.failures.is_empty() {
            self.spend(other.evaluated.len() as u64)?;
            outcome.evaluated.merge(other.evaluated);
        }
        let free = MAX_FAILURES.saturating_sub(outcome.failures.len());
        outcome.failures.extend(other.failures.into_iter().take(free));
        Ok(())
    }

    fn fail(&self, outcome: &mut Outcome<'v>, kind: FailureKind<'v>) {
        if outcome.failures.len() < MAX_FAILURES {
            outcome.failures.push(Failure { pointer: self.pointer.clone(), kind });
        }
    }

    fn spend(&mut self, steps: u64) -> Result<(), BudgetExceeded> {
        self.steps = self.steps.checked_sub(steps).ok_or(BudgetExceeded)?;
        Ok(())
    }

    fn is_secret(&self, pointer: &str) -> bool {
        self.secrets.iter().any(|secret| is_within(pointer, secret))
    }
}

/// Counts a value and the values within it. Stops at `max`.
fn count_values(value: &Value, max: usize) -> u64 {
    let (mut pending, mut count) = (vec![value], 0);
    while let Some(value) = pending.pop() {
        count += 1;
        match value {
            _ if count as usize >= max => break,
            Value::Array(items) => pending.extend(items),
            Value::Object(map) => pending.extend(map.values()),
            _ => {}
        }
    }
    count
}
