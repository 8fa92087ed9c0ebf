//! What a schema says of each value within a value, as far as that does not depend on whether it holds.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::{STEPS, STEPS_FOR_EACH, weight};
use super::node::{Id, Type};
use super::place::below;
use super::{Endless, Schema};

/// What all parts of a schema together say that apply to one value.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked<'s> {
    pub write_only: bool,
    pub formats: BTreeSet<&'s str>,
    types: BTreeSet<Type>,
}

impl Asked<'_> {
    /// Whether a value of this type is among what it can be.
    pub fn takes(&self, known: Type) -> bool {
        self.types.contains(&known)
    }
}

/// Changes a value, and tells whether there is no more to be done with it.
pub type Visit<'a> = dyn FnMut(&Asked, &mut Value, &str) -> bool + 'a;

impl Schema {
    /// Visits a value and all within it, each once.
    ///
    /// # Errors
    /// It does not come to an end.
    pub fn walk(&self, value: &mut Value, visit: &mut Visit) -> Result<(), Endless> {
        let steps = STEPS + STEPS_FOR_EACH * weight(value, usize::MAX);
        Walk { schema: self, steps, visit }.walk([0].into(), value, "")
    }
}

struct Walk<'w, 'v> {
    schema: &'w Schema,
    steps: u64,
    visit: &'w mut Visit<'v>,
}

impl<'w> Walk<'w, '_> {
    fn walk(&mut self, ids: BTreeSet<Id>, value: &mut Value, pointer: &str) -> Result<(), Endless> {
        let ids = self.with_applied(ids)?;
        if value.is_null() || ids.is_empty() {
            return Ok(());
        }
        let asked = self.asked(&ids)?;
        if (self.visit)(&asked, value, pointer) {
            return Ok(());
        }
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let below_it = self.of_key(&ids, key)?;
                    self.walk(below_it, value, &below(pointer, key))?;
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter_mut().enumerate() {
                    let below_it = self.of_item(&ids, index)?;
                    self.walk(below_it, value, &format!("{pointer}/{index}"))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// With the parts that these apply to the same value, and which those do.
    fn with_applied(&mut self, ids: BTreeSet<Id>) -> Result<BTreeSet<Id>, Endless> {
        let mut waiting: Vec<Id> = ids.iter().copied().collect();
        let mut all = ids;
        while let Some(id) = waiting.pop() {
            let node = &self.schema.nodes[id];
            let branches = [&node.any, &node.one].into_iter().flatten().flatten();
            let applied = node.references.iter().map(|target| &target.to).chain(&node.all).chain(branches);
            for id in applied {
                self.steps = self.steps.checked_sub(1).ok_or(Endless)?;
                if all.insert(*id) {
                    waiting.push(*id);
                }
            }
        }
        Ok(all)
    }

    fn asked(&mut self, ids: &BTreeSet<Id>) -> Result<Asked<'w>, Endless> {
        let mut asked = Asked::default();
        for id in ids {
            let schema = self.schema;
            let node = &schema.nodes[*id];
            let values = node.values.iter().map(Vec::len).sum::<usize>() as u64;
            self.steps = self.steps.checked_sub(1 + values).ok_or(Endless)?;
            asked.write_only |= node.write_only;
            asked.formats.extend(node.format.as_deref());
            asked.types.extend(&node.types);
            asked.types.extend(node.values.iter().flatten().map(Type::of));
        }
        Ok(asked)
    }

    fn of_key(&mut self, ids: &BTreeSet<Id>, key: &str) -> Result<BTreeSet<Id>, Endless> {
        let mut found = BTreeSet::new();
        for id in ids {
            let maps = &self.schema.nodes[*id].maps;
            let cost: u64 = maps.patterns.iter().map(|(pattern, _)| pattern.cost(key)).sum();
            self.steps = self.steps.checked_sub(1 + cost).ok_or(Endless)?;
            let matching = maps.patterns.iter().filter(|(pattern, _)| pattern.fits(key)).map(|(_, id)| *id);
            let before = found.len();
            found.extend(maps.properties.get(key).copied().into_iter().chain(matching));
            if found.len() == before {
                found.extend(maps.additional);
            }
        }
        Ok(found)
    }

    fn of_item(&mut self, ids: &BTreeSet<Id>, index: usize) -> Result<BTreeSet<Id>, Endless> {
        self.steps = self.steps.checked_sub(ids.len() as u64).ok_or(Endless)?;
        let lists = ids.iter().map(|id| &self.schema.nodes[*id].lists);
        Ok(lists.filter_map(|lists| lists.first.get(index).copied().or(lists.rest)).collect())
    }
}
