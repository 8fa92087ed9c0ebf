//! Collects the annotations in a schema for each value within a value, without validating the values.

use std::collections::BTreeSet;

use serde_json::Value;

use super::node::{NodeId, Type};
use super::pointer::child;
use super::types::{BudgetExceeded, Schema};
use super::validate::step_budget;

/// The annotations for one value, merged from all subschemas that can apply to it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Annotations<'s> {
    /// True if a subschema is marked `writeOnly`: the value is a secret.
    pub write_only: bool,
    /// The values of `format`.
    pub formats: BTreeSet<&'s str>,
    types: BTreeSet<Type>,
}

impl Annotations<'_> {
    /// Returns true if a subschema names this type as allowed, by `type`, `enum` or `const`.
    pub fn accepts(&self, known: Type) -> bool {
        self.types.contains(&known)
    }
}

/// A function that can change a value, given its annotations and the JSON pointer to it. If it returns true, the values
/// within the value are not visited.
pub type Visit<'a> = dyn FnMut(&Annotations, &mut Value, &str) -> bool + 'a;

impl Schema {
    /// Visits a value and the values within it, from the outside inwards. Skips values that no
    /// subschema applies to.
    ///
    /// Branches of `anyOf` and `oneOf` count as applying, whether or not the value is valid for them. Conditions
    /// (`not`, `if`, `then`, `else`, `dependentSchemas`) do not.
    ///
    /// # Errors
    /// Returns [`BudgetExceeded`] if the walk takes too many steps.
    pub fn walk(&self, value: &mut Value, visit: &mut Visit) -> Result<(), BudgetExceeded> {
        let steps = step_budget(value);
        Walker { schema: self, steps, visit }.walk([0].into(), value, "")
    }
}

struct Walker<'w, 'v> {
    schema: &'w Schema,
    steps: u64,
    visit: &'w mut Visit<'v>,
}

impl<'w> Walker<'w, '_> {
    fn walk(&mut self, ids: BTreeSet<NodeId>, value: &mut Value, pointer: &str) -> Result<(), BudgetExceeded> {
        let ids = self.with_referenced(ids)?;
        if ids.is_empty() {
            return Ok(());
        }
        let annotations = self.collect(&ids)?;
        if (self.visit)(&annotations, value, pointer) {
            return Ok(());
        }
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let ids = self.nodes_for_key(&ids, key)?;
                    self.walk(ids, value, &child(pointer, key))?;
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter_mut().enumerate() {
                    let ids = self.nodes_for_item(&ids, index)?;
                    self.walk(ids, value, &format!("{pointer}/{index}"))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds the nodes that these nodes apply to the same value, directly or through others.
    fn with_referenced(&mut self, ids: BTreeSet<NodeId>) -> Result<BTreeSet<NodeId>, BudgetExceeded> {
        let mut pending: Vec<NodeId> = ids.iter().copied().collect();
        let mut all = ids;
        while let Some(id) = pending.pop() {
            for id in self.schema.nodes[id].in_place() {
                self.spend(1)?;
                if all.insert(id) {
                    pending.push(id);
                }
            }
        }
        Ok(all)
    }

    fn collect(&mut self, ids: &BTreeSet<NodeId>) -> Result<Annotations<'w>, BudgetExceeded> {
        let mut annotations = Annotations::default();
        for id in ids {
            let schema = self.schema;
            let node = &schema.nodes[*id];
            self.spend(1 + node.allowed_values.iter().map(Vec::len).sum::<usize>() as u64)?;
            annotations.write_only |= node.write_only;
            annotations.formats.extend(node.format.as_deref());
            annotations.types.extend(&node.types);
            annotations.types.extend(node.allowed_values.iter().flatten().map(Type::of));
        }
        Ok(annotations)
    }

    fn nodes_for_key(&mut self, ids: &BTreeSet<NodeId>, key: &str) -> Result<BTreeSet<NodeId>, BudgetExceeded> {
        let mut found = BTreeSet::new();
        for id in ids {
            let object = &self.schema.nodes[*id].object;
            let patterns = &object.pattern_properties;
            self.spend(1 + patterns.iter().map(|(pattern, _)| pattern.steps(key)).sum::<u64>())?;
            let matching = patterns.iter().filter(|(pattern, _)| pattern.matches(key)).map(|(_, id)| *id);
            let before = found.len();
            found.extend(object.properties.get(key).copied().into_iter().chain(matching));
            if found.len() == before {
                found.extend(object.additional_properties);
            }
        }
        Ok(found)
    }

    fn nodes_for_item(&mut self, ids: &BTreeSet<NodeId>, index: usize) -> Result<BTreeSet<NodeId>, BudgetExceeded> {
        self.spend(ids.len() as u64)?;
        let arrays = ids.iter().map(|id| &self.schema.nodes[*id].array);
        Ok(arrays.filter_map(|array| array.prefix_items.get(index).copied().or(array.items)).collect())
    }

    fn spend(&mut self, steps: u64) -> Result<(), BudgetExceeded> {
        self.steps = self.steps.checked_sub(steps).ok_or(BudgetExceeded)?;
        Ok(())
    }
}
