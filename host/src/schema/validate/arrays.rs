//! Validates arrays.

use std::collections::HashSet;

use serde_json::Value;

use super::super::compare::canonical;
use super::super::failure::FailureKind;
use super::super::node::{CountLimits, Node};
use super::super::types::BudgetExceeded;
use super::{Outcome, Validator, count_values};

impl<'v> Validator<'v> {
    pub fn apply_array_keywords(
        &mut self,
        node: &'v Node,
        items: &'v [Value],
        outcome: &mut Outcome<'v>,
    ) -> Result<(), BudgetExceeded> {
        let array = &node.array;
        if !array.count.allow(items.len()) {
            self.fail(outcome, FailureKind::ItemCount { limits: array.count, got: items.len() });
        }
        if array.unique_items {
            self.spend(items.iter().map(|item| count_values(item, usize::MAX)).sum())?;
            let mut seen = HashSet::new();
            if !items.iter().all(|item| seen.insert(canonical(item))) {
                self.fail(outcome, FailureKind::DuplicateItems);
            }
        }
        for (index, item) in items.iter().enumerate() {
            let Some(id) = array.prefix_items.get(index).copied().or(array.items) else { break };
            let child = self.apply_to_child(&index.to_string(), id, item)?;
            self.merge_item(index, child, outcome);
        }
        if let Some(contains) = array.contains {
            let mut count = 0;
            for (index, item) in items.iter().enumerate() {
                if self.apply_to_child(&index.to_string(), contains, item)?.failures.is_empty() {
                    count += 1;
                    outcome.evaluated.add_item(index);
                }
            }
            let limits = CountLimits { min: array.contains_count.min.or(Some(1)), ..array.contains_count };
            if !limits.allow(count) {
                self.fail(outcome, FailureKind::Contains { limits, got: count });
            }
        }
        if let Some(id) = array.unevaluated_items {
            for (index, item) in items.iter().enumerate() {
                if !outcome.evaluated.has_item(index) {
                    let child = self.apply_to_child(&index.to_string(), id, item)?;
                    self.merge_item(index, child, outcome);
                }
            }
        }
        Ok(())
    }

    fn merge_item(&self, index: usize, child: Outcome<'v>, outcome: &mut Outcome<'v>) {
        if self.schema.tracks_evaluated {
            outcome.evaluated.add_item(index);
        }
        outcome.failures.extend(child.failures);
    }
}
