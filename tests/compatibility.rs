//! The formats of data on the wire and in files, which must not change from release to release, even if names in the
//! code change.
//!
//! `tests/compatibility/expected` has texts that this version must still write, byte for byte. After an intended
//! change, such as that of a message, `UPDATE=1 tests/run compatibility::` rewrites them. `tests/compatibility/written`
//! has files that were written by the version of commit 28ac5f9, and that this version must still read. They are never
//! rewritten. Only `configuration.yaml` gets each new key, by hand.

mod configuration;
mod contract;
mod enum_names;
mod envelopes;
mod expected;
mod normalize;
mod program;
mod recordings;
mod runs;
mod spool;
