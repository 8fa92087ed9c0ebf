//! The end of a guest that is recorded or replayed.

use crate::run::Fault;

/// The reason why a guest that is recorded or replayed cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Halt {
    /// The recorded run was stopped here, or the recording has become too large.
    #[error("{}", .0.message)]
    Stopped(Fault),
    /// The guest makes other calls than in the recording, or the recording is damaged.
    #[error("{0}")]
    Diverged(String),
}
