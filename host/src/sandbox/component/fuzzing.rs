//! Entry points for fuzzers.

use std::borrow::Cow;

use super::dwarf::without_unsafe_dwarf;
use super::structure_bounds;

/// Checks the structure of a component's file, and reads its debug information, as before it is compiled.
pub fn component(bytes: &[u8]) {
    match structure_bounds::check(bytes) {
        Ok(()) => _ = without_unsafe_dwarf(Cow::Borrowed(bytes)),
        Err(exceeded) => _ = exceeded.to_string(),
    }
}
