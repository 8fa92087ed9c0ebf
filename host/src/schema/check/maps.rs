//! What a schema says of a map.

use serde_json::{Map, Value};

use super::super::Endless;
use super::super::node::{Id, Node};
use super::super::place::below;
use super::super::words::{Found, What};
use super::{Outcome, Run};

impl<'v> Run<'v> {
    pub fn map(
        &mut self,
        node: &'v Node,
        map: &'v Map<String, Value>,
        whole: &'v Value,
        outcome: &mut Outcome<'v>,
    ) -> Result<(), Endless> {
        let maps = &node.maps;
        self.spend(maps.required.len() as u64 / 8)?;
        for key in maps.required.iter().filter(|key| !map.contains_key(*key)) {
            self.note(outcome, What::Missing(vec![key]));
        }
        if !maps.count.allows(map.len()) {
            self.note(outcome, What::Keys { count: maps.count, got: map.len() });
        }
        for (key, value) in map {
            self.key(node, key, value, outcome)?;
        }
        for (key, needed) in &maps.beside {
            self.spend(1)?;
            for needed in needed.iter().filter(|needed| map.contains_key(key) && !map.contains_key(*needed)) {
                self.note(outcome, What::Beside { key, needed });
            }
        }
        for (key, id) in &maps.dependent {
            self.spend(1)?;
            if map.contains_key(key) {
                let said = self.node(*id, whole)?;
                self.take(said, outcome)?;
            }
        }
        if let Some(rest) = maps.unevaluated {
            // What is wrong in one part of the schema has not been evaluated there, but is no stranger.
            let mut known = Vec::new();
            if !outcome.found.is_empty() {
                self.known(node, &mut known, 0);
            }
            for (key, value) in map {
                if !outcome.evaluated.has_key(key) && !known.contains(&key.as_str()) {
                    self.other(node, rest, key, value, outcome)?;
                }
            }
        }
        Ok(())
    }

    fn key(
        &mut self,
        node: &'v Node,
        key: &'v str,
        value: &'v Value,
        outcome: &mut Outcome<'v>,
    ) -> Result<(), Endless> {
        let maps = &node.maps;
        let mut known = false;
        let mut applying = maps.properties.get(key).copied().into_iter().collect::<Vec<_>>();
        for (pattern, id) in &maps.patterns {
            self.spend(pattern.cost(key))?;
            if pattern.fits(key) {
                applying.push(*id);
            }
        }
        for id in applying {
            known = true;
            let said = self.below(key, id, value)?;
            outcome.found.extend(said.found);
        }
        if known && self.schema.tracks {
            outcome.evaluated.key(key);
        }
        if let (false, Some(additional)) = (known, maps.additional) {
            self.other(node, additional, key, value, outcome)?;
        }
        if let Some(names) = maps.names {
            let said = self.name(names, key)?;
            if !said {
                self.note(outcome, What::Name(key));
            }
        }
        Ok(())
    }

    /// A key that none of the known ones is.
    fn other(
        &mut self,
        node: &'v Node,
        id: Id,
        key: &'v str,
        value: &'v Value,
        outcome: &mut Outcome<'v>,
    ) -> Result<(), Endless> {
        if self.schema.nodes[id].never {
            let mut known = Vec::new();
            self.known(node, &mut known, 0);
            let what = What::Unknown { key, known };
            outcome.found.push(Found { pointer: below(&self.pointer, key), what });
            return Ok(());
        }
        let said = self.below(key, id, value)?;
        outcome.found.extend(said.found);
        if self.schema.tracks {
            outcome.evaluated.key(key);
        }
        Ok(())
    }

    /// The keys that a part knows, by itself or by what it takes in.
    fn known(&self, node: &'v Node, known: &mut Vec<&'v str>, hops: usize) {
        const MOST_HOPS: usize = 4;
        const MOST_KNOWN: usize = 100;
        let room = MOST_KNOWN.saturating_sub(known.len());
        if hops > MOST_HOPS || room == 0 {
            return;
        }
        known.extend(node.maps.known.iter().map(String::as_str).take(room));
        let branches = [&node.any, &node.one].into_iter().flatten().flatten();
        let taken_in = node.references.iter().map(|target| &target.to).chain(&node.all).chain(branches).copied();
        for id in taken_in.take(MOST_HOPS) {
            self.known(&self.schema.nodes[id], known, hops + 1);
        }
    }

    fn name(&mut self, id: Id, key: &str) -> Result<bool, Endless> {
        // What is found in it does not outlive it.
        let (schema, name) = (self.schema, Value::from(key));
        let mut run = Run {
            schema,
            steps: self.steps,
            depth: self.depth,
            pointer: String::new(),
            scope: self.scope.clone(),
            secrets: std::collections::HashSet::new(),
        };
        let said = run.node(id, &name)?.found.is_empty();
        self.steps = run.steps;
        Ok(said)
    }
}
