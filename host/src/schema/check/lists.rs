//! What a schema says of a list.

use std::collections::HashSet;

use serde_json::Value;

use super::super::Endless;
use super::super::node::{Count, Node};
use super::super::words::What;
use super::{Outcome, Run, weight};

impl<'v> Run<'v> {
    pub fn list(&mut self, node: &'v Node, items: &'v [Value], outcome: &mut Outcome<'v>) -> Result<(), Endless> {
        let lists = &node.lists;
        if !lists.count.allows(items.len()) {
            self.note(outcome, What::Items { count: lists.count, got: items.len() });
        }
        if lists.unique {
            self.spend(items.iter().map(|item| weight(item, usize::MAX)).sum())?;
            let mut seen = HashSet::new();
            if !items.iter().all(|item| seen.insert(canonical(item))) {
                self.note(outcome, What::Twice);
            }
        }
        for (index, item) in items.iter().enumerate() {
            let Some(id) = lists.first.get(index).copied().or(lists.rest) else { break };
            let said = self.below(&index.to_string(), id, item)?;
            self.item(index, said, outcome);
        }
        if let Some(contains) = lists.contains {
            let mut count = 0;
            for (index, item) in items.iter().enumerate() {
                if self.below(&index.to_string(), contains, item)?.found.is_empty() {
                    count += 1;
                    outcome.evaluated.item(index);
                }
            }
            let wanted = Count { least: lists.contained.least.or(Some(1)), ..lists.contained };
            if !wanted.allows(count) {
                self.note(outcome, What::Contains { count: wanted, got: count });
            }
        }
        if let Some(rest) = lists.unevaluated {
            for (index, item) in items.iter().enumerate() {
                if !outcome.evaluated.has_item(index) {
                    let said = self.below(&index.to_string(), rest, item)?;
                    self.item(index, said, outcome);
                }
            }
        }
        Ok(())
    }

    fn item(&self, index: usize, said: Outcome<'v>, outcome: &mut Outcome<'v>) {
        if self.schema.tracks {
            outcome.evaluated.item(index);
        }
        outcome.found.extend(said.found);
    }
}

/// A text that two values share that are one to JSON Schema.
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => (float as i64).to_string(),
            _ => number.to_string(),
        },
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().map(|(key, value)| format!("{key:?}:{}", canonical(value))).collect();
            members.sort();
            format!("{{{}}}", members.join(","))
        }
        other => other.to_string(),
    }
}
