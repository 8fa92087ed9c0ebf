//! Components that have been loaded into the engine.

use wasmtime::Engine;
use wasmtime::component::Component;

use super::precompiled::{Facts, Precompiled};

/// A component that has been loaded into the engine.
pub struct Native {
    /// The component.
    pub component: Component,
    /// Facts about the component's file.
    pub facts: Facts,
    /// The place that the code comes from.
    pub origin: Origin,
}

/// The place that native code comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The directory that `sentrynet compile` has written.
    Directory,
    /// The store of code that this host has compiled earlier.
    #[cfg(feature = "compiler")]
    Store,
    /// The compiler.
    #[cfg(feature = "compiler")]
    Compiler,
}

impl Native {
    /// Loads a component's code into an engine.
    ///
    /// # Errors
    /// Returns the errors of [`Precompiled::load`].
    pub fn load(engine: &Engine, code: &Precompiled, origin: Origin) -> wasmtime::Result<Self> {
        Ok(Self { component: code.load(engine)?, facts: code.facts().clone(), origin })
    }
}
