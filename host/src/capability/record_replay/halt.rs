//! The reasons for which recording or replaying stops a guest.

use crate::run::Fault;

/// The reason why a guest that is recorded or replayed is stopped.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Halt {
    /// A replay has reached the call at which the recorded run was stopped, or a recording has become too large.
    #[error("{}", .0.message)]
    Stopped(Fault),
    /// The guest makes another call than the recorded one, or the recording is damaged.
    #[error("{0}")]
    Diverged(String),
}
