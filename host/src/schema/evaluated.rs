//! What of a map or a list some part of a schema has looked at, for `unevaluatedProperties` and `unevaluatedItems`.

use std::collections::HashSet;

#[derive(Debug, Default)]
pub struct Evaluated<'v> {
    keys: HashSet<&'v str>,
    items: HashSet<usize>,
}

impl<'v> Evaluated<'v> {
    pub fn key(&mut self, key: &'v str) {
        self.keys.insert(key);
    }

    pub fn item(&mut self, index: usize) {
        self.items.insert(index);
    }

    pub fn has_key(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    pub fn has_item(&self, index: usize) -> bool {
        self.items.contains(&index)
    }

    pub fn add(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.items.extend(other.items);
    }

    pub fn len(&self) -> usize {
        self.keys.len() + self.items.len()
    }
}
