//! Validates objects.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::super::failure::{Failure, FailureKind};
use super::super::node::{Node, NodeId};
use super::super::pointer::child;
use super::super::types::BudgetExceeded;
use super::{Outcome, Validator};

/// The bound of the search for known keys, which a message names: how many levels of nodes it visits below a node, and
/// how many nodes below each.
const MAX_HOPS: usize = 4;
/// The maximal number of known keys that are collected for a message.
const MAX_KNOWN_KEYS: usize = 100;

impl<'v> Validator<'v> {
    /// Applies the keywords for objects. `value` is the same object as `map`.
    pub fn apply_object_keywords(
        &mut self,
        node: &'v Node,
        map: &'v Map<String, Value>,
        value: &'v Value,
        outcome: &mut Outcome<'v>,
    ) -> Result<(), BudgetExceeded> {
        let object = &node.object;
        self.spend(object.required.len() as u64 / 8)?;
        for key in object.required.iter().filter(|key| !map.contains_key(*key)) {
            self.fail(outcome, FailureKind::MissingKey(vec![key]));
        }
        if !object.count.allow(map.len()) {
            self.fail(outcome, FailureKind::KeyCount { limits: object.count, got: map.len() });
        }
        for (key, value) in map {
            self.apply_to_key(node, key, value, outcome)?;
        }
        for (key, required) in &object.dependent_required {
            self.spend(1)?;
            for required in required.iter().filter(|required| map.contains_key(key) && !map.contains_key(*required)) {
                self.fail(outcome, FailureKind::MissingDependency { key, required });
            }
        }
        for (key, id) in &object.dependent_schemas {
            self.spend(1)?;
            if map.contains_key(key) {
                let dependent = self.apply(*id, value)?;
                self.merge(dependent, outcome)?;
            }
        }
        if let Some(id) = object.unevaluated_properties {
            // A subschema that fails has evaluated nothing. Its keys are not reported as unknown: the failure is
            // reported.
            let mut known = Vec::new();
            if !outcome.failures.is_empty() {
                self.collect_known_keys(node, &mut known, 0);
            }
            for (key, value) in map {
                if !outcome.evaluated.has_key(key) && !known.contains(&key.as_str()) {
                    self.apply_to_other_key(node, id, key, value, outcome)?;
                }
            }
        }
        Ok(())
    }

    fn apply_to_key(
        &mut self,
        node: &'v Node,
        key: &'v str,
        value: &'v Value,
        outcome: &mut Outcome<'v>,
    ) -> Result<(), BudgetExceeded> {
        let object = &node.object;
        let mut ids: Vec<_> = object.properties.get(key).copied().into_iter().collect();
        for (pattern, id) in &object.pattern_properties {
            self.spend(pattern.steps(key))?;
            if pattern.matches(key) {
                ids.push(*id);
            }
        }
        if ids.is_empty() {
            if let Some(id) = object.additional_properties {
                self.apply_to_other_key(node, id, key, value, outcome)?;
            }
        } else if self.schema.tracks_evaluated {
            outcome.evaluated.add_key(key);
        }
        for id in ids {
            let member = self.apply_to_child(key, id, value)?;
            outcome.failures.extend(member.failures);
        }
        if let Some(id) = object.property_names
            && !self.allows_name(id, key)?
        {
            self.fail(outcome, FailureKind::InvalidKey(key));
        }
        Ok(())
    }

    /// Applies the node of `additionalProperties` or `unevaluatedProperties` to a member.
    fn apply_to_other_key(
        &mut self,
        node: &'v Node,
        id: NodeId,
        key: &'v str,
        value: &'v Value,
        outcome: &mut Outcome<'v>,
    ) -> Result<(), BudgetExceeded> {
        if self.schema.nodes[id].is_false {
            let mut known = Vec::new();
            self.collect_known_keys(node, &mut known, 0);
            let kind = FailureKind::UnknownKey { key, known };
            outcome.failures.push(Failure { pointer: child(&self.pointer, key), kind });
            return Ok(());
        }
        let member = self.apply_to_child(key, id, value)?;
        outcome.failures.extend(member.failures);
        if self.schema.tracks_evaluated {
            outcome.evaluated.add_key(key);
        }
        Ok(())
    }

    /// Collects the keys of `properties`, of a node and of those that it applies to the same value.
    fn collect_known_keys(&self, node: &'v Node, known: &mut Vec<&'v str>, hops: usize) {
        let free = MAX_KNOWN_KEYS.saturating_sub(known.len());
        if hops > MAX_HOPS || free == 0 {
            return;
        }
        known.extend(node.object.property_order.iter().map(String::as_str).take(free));
        for id in node.in_place().take(MAX_HOPS) {
            self.collect_known_keys(&self.schema.nodes[id], known, hops + 1);
        }
    }

    /// Returns true if the node of `propertyNames` allows a key.
    fn allows_name(&mut self, id: NodeId, key: &str) -> Result<bool, BudgetExceeded> {
        // This needs another validator: failures borrow from the value, and `name` lives only until the end of the
        // call.
        let (schema, name) = (self.schema, Value::from(key));
        let mut validator = Validator {
            schema,
            steps: self.steps,
            depth: self.depth,
            pointer: String::new(),
            scope: self.scope.clone(),
            secrets: HashSet::new(),
        };
        let is_allowed = validator.apply(id, &name)?.failures.is_empty();
        self.steps = validator.steps;
        Ok(is_allowed)
    }
}
