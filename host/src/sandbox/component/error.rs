//! The errors of loading a component.

use std::path::PathBuf;

use crate::capability::truncate;
use crate::sandbox::contract::{CONTRACT_VERSION, PROBER};
use crate::schema::InvalidSchema;

/// A reason why a component cannot be used as a probe. `name` is the module as the configuration names it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ComponentError {
    /// The file cannot be read, is no regular file, or is too large.
    #[error("cannot read {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason: lower case, no full stop.
        why: String,
    },
    /// The file's digest differs from the `sha256` in the configuration.
    #[error(
        "{} is not the pinned file: its sha256 is {digest}, but `sha256` of its module is {pinned}", path.display()
    )]
    OtherBytes {
        /// The file.
        path: PathBuf,
        /// The file's SHA-256, in hexadecimal digits.
        digest: String,
        /// The SHA-256 in the configuration.
        pinned: String,
    },
    /// The host has no built-in probe of this name.
    #[error("no probe `{0}` is built in")]
    Unknown(String),
    /// The file is not WebAssembly.
    #[error("{0} is not WebAssembly: expected a component, `.wasm`")]
    NotWasm(String),
    /// The file is a core module without the custom sections from which a component is made.
    #[error(
        "{0} is a core module without component type information: build it with wit-bindgen for the world `probe` in \
         the folder `wit`, and keep its custom sections"
    )]
    Untyped(String),
    /// The file is a core module that cannot be converted to a component.
    #[error("{name} cannot be converted to a component: {why}; build it for the world `probe` in the folder `wit`")]
    Unfit {
        /// The module.
        name: String,
        /// The converter's message.
        why: String,
    },
    /// The component is invalid, or uses features that the host does not enable.
    #[error("{name} is not a valid component: {why}")]
    Invalid {
        /// The module.
        name: String,
        /// wasmtime's message.
        why: String,
    },
    /// The component exceeds a bound on its structure.
    #[error("{name} is too complex to compile: {why}; make it smaller, or split it into several probes")]
    TooComplex {
        /// The module.
        name: String,
        /// The bound, and the value that exceeds it.
        why: String,
    },
    /// Compiling the component reached a limit.
    #[error("compiling {name} took more than {limit}; build it with optimisations, or make it smaller")]
    CompileLimit {
        /// The module.
        name: String,
        /// The limit, such as `60 s of CPU time`.
        limit: String,
    },
    /// The code of a component cannot be written.
    #[error("cannot write {}: {why}", path.display())]
    NotWritten {
        /// The file.
        path: PathBuf,
        /// The reason: lower case, no full stop.
        why: String,
    },
    /// The component is not compiled, and this host has no compiler.
    #[error("{name} is not compiled, and this host has no compiler: {advice}")]
    NotCompiled {
        /// The module.
        name: String,
        /// Advice to the operator: lower case, no full stop.
        advice: String,
    },
    /// The code that was compiled before cannot be used, and this host has no compiler.
    #[error("{name} cannot be loaded from {}: {why}; run `sentrynet compile` of this host's version again", file.display())]
    UnusableCode {
        /// The module.
        name: String,
        /// The file of the code.
        file: PathBuf,
        /// The reason: lower case, no full stop.
        why: String,
    },
    /// The process that compiles cannot be started.
    #[error("cannot compile {name}: the host cannot start its own program again as compiler: {why}")]
    Compiler {
        /// The module.
        name: String,
        /// The reason.
        why: String,
    },
    /// The component does not export the interface of a probe.
    #[error(
        "{name} is not a probe: it does not export `{PROBER}`, but {exports}; build it for the world `probe` in the \
         folder `wit`"
    )]
    NoProbe {
        /// The module.
        name: String,
        /// The component's exports.
        exports: String,
    },
    /// The component exports an incompatible version of a probe's interface.
    #[error(
        "{name} is built for version {version} of the contract, this host implements {CONTRACT_VERSION}: \
         build the probe with this version's `wit`, or use another version of the host"
    )]
    OtherVersion {
        /// The module.
        name: String,
        /// The version of the component.
        version: String,
    },
    /// The component imports interfaces of the contract that this version does not have.
    #[error(
        "{name} is built for another version of the contract: it imports {imports}, which is not in version \
         {CONTRACT_VERSION} of the contract; build the probe with this version's `wit`, or use a newer host"
    )]
    OtherImports {
        /// The module.
        name: String,
        /// The imports that the host does not have.
        imports: String,
    },
    /// The component imports interfaces outside of the contract that the host does not have.
    #[error("{name} imports {imports}, which this host does not have: {advice}")]
    Foreign {
        /// The module.
        name: String,
        /// The imports that the host does not have.
        imports: String,
        /// Advice on what to change.
        advice: &'static str,
    },
    /// The types of an import or export differ from the contract's.
    #[error("{name} does not fit the contract: {why}; build it with this version's `wit`")]
    Unlinkable {
        /// The module.
        name: String,
        /// wasmtime's message.
        why: String,
    },
    /// `describe` failed, or returned something unusable. The text is the reason.
    #[error("the probe's `describe` failed: {0}")]
    Describe(String),
    /// The settings schema that `describe` returned is invalid or uses unsupported keywords.
    #[error("the schema of its settings is invalid or not supported, {0}; the author of the probe must change it")]
    Schema(#[from] InvalidSchema),
    /// The operating system refused a thread. The text says what to do.
    #[error("cannot load it: {0}")]
    Thread(String),
    /// The compiler panicked.
    #[error("the compiler panicked: {0}; this is a bug, please report it")]
    Panicked(String),
}

/// Formats an error and its causes in one line.
pub fn one_line(error: &wasmtime::Error) -> String {
    shorten(&format!("{error:#}"))
}

/// Returns a text in one line of at most 500 bytes: names in a component can be of any length.
pub fn shorten(text: &str) -> String {
    const MAX_BYTES: usize = 500;
    truncate(text.split_whitespace().collect::<Vec<_>>().join(" "), MAX_BYTES)
}
