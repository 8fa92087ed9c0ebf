//! Formats that outlive a release: what is on the wire or in a file stays as it is, whatever it is called in the code.
//!
//! `tests/compatibility/expected` holds texts that this version must still write, byte for byte. After an intended change,
//! for instance of a message, `UPDATE=1 tests/run compatibility::` writes them anew. `tests/compatibility/written` holds
//! files of the version of commit 28ac5f9, which this version must still read. Those files are never written anew.

mod configuration;
mod contract;
mod envelopes;
mod expected;
mod normalize;
mod program;
mod recordings;
mod runs;
mod spool;
mod words;
