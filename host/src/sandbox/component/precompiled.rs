//! Native code of components, and facts about their files that the code does not contain.

use serde::{Deserialize, Serialize};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The version of [`Facts`]. It changes whenever the same file has other facts, so that stored ones are not used any
/// more.
#[cfg(feature = "compiler")]
pub const FACTS_VERSION: u32 = 2;

/// Facts about a component's file that its compiled code does not contain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The tools with which the component was made. Each has a field, such as `language`, a name and a version.
    pub producers: Vec<[String; 3]>,
    /// True for a core module, which was converted to a component.
    pub is_core_module: bool,
    /// True if debug information was removed because it is unsafe to read.
    pub has_unsafe_dwarf: bool,
}

/// A component as native code, which the compiler of this program made: in this process, in a process that this one has
/// started, or earlier, in which case the store of compiled code has authenticated it.
#[derive(Debug)]
pub struct Precompiled {
    facts: Facts,
    code: Vec<u8>,
}

impl Precompiled {
    /// Creates a component from native code, which is executed without any further check. The caller must know that
    /// this program's compiler has made the code.
    pub fn trust(facts: Facts, code: Vec<u8>) -> Self {
        Self { facts, code }
    }

    /// Returns the facts about the component's file.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Returns the native code.
    #[cfg(feature = "compiler")]
    pub fn code(&self) -> &[u8] {
        &self.code
    }

    /// Loads the component into an engine.
    ///
    /// # Errors
    /// Returns wasmtime's error if the code is for an engine with other settings, or if the component needs more than
    /// the engine's pool has for one component.
    #[expect(unsafe_code, reason = "wasmtime cannot check native code; this is the only place where the host loads it")]
    pub fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the code was made by `Engine::precompile_component` and not changed since. A `Precompiled` is only
        // made by `Precompiled::trust`, which has four callers: `precompile` has just called the compiler,
        // `compiler_process` reads what a process of this program wrote into a pipe that nobody else has, `code_store`
        // has verified the code's MAC with a key that only this user can read, and `compiled_directory` has read the
        // file from a directory that the operator has named, both of which only this user and root can have written.
        unsafe { Component::deserialize(engine, &self.code) }
    }
}
