//! The keys and items that a schema has evaluated, for `unevaluatedProperties` and `unevaluatedItems`.

use std::collections::HashSet;

/// The evaluated keys of an object, or the indices of the evaluated items of an array.
#[derive(Debug, Default)]
pub struct Evaluated<'v> {
    keys: HashSet<&'v str>,
    items: HashSet<usize>,
}

impl<'v> Evaluated<'v> {
    pub fn add_key(&mut self, key: &'v str) {
        self.keys.insert(key);
    }

    pub fn add_item(&mut self, index: usize) {
        self.items.insert(index);
    }

    pub fn has_key(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    pub fn has_item(&self, index: usize) -> bool {
        self.items.contains(&index)
    }

    pub fn merge(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.items.extend(other.items);
    }

    pub fn len(&self) -> usize {
        self.keys.len() + self.items.len()
    }
}
