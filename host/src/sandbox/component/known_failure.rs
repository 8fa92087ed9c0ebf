//! Failures to compile that are remembered by the contents of the file, so that a later start, or a later attempt to
//! load the component, does not spend the same time again.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::compiler_limits::ATTEMPTS;
use super::compiler_process::Failure;
use super::precompile::CompileError;

/// A failure that was the component's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFailure {
    kind: Kind,
    /// The time of the failure, in seconds since 1970.
    time: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    /// The compiler refused the component.
    Refused(CompileError),
    /// The native code is larger than this number of bytes.
    Output(u64),
    /// The CPU time of this many attempts did not suffice.
    CpuTime { attempts: usize },
    /// The process needed more than its memory, or the machine had none left.
    Memory,
}

/// The time after which a component is tried again. The failure may have been the machine's, after all.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

impl KnownFailure {
    /// Returns the failure of an attempt (0 is the first), or `None` if another attempt may well succeed.
    pub fn new(failure: &Failure, attempt: usize) -> Option<Self> {
        let kind = match failure {
            Failure::Refused(CompileError::OutOfMemory) | Failure::Memory => Kind::Memory,
            Failure::Refused(error) => Kind::Refused(error.clone()),
            Failure::Output(max) => Kind::Output(*max),
            Failure::CpuTime => Kind::CpuTime { attempts: attempt + 1 },
            Failure::RealTime | Failure::Crashed(_) | Failure::Unreadable(_) | Failure::NotStarted(_) => return None,
        };
        Some(Self { kind, time: seconds_since_1970() })
    }

    /// Returns the failure with which a new attempt would end, or `None` if the component is to be compiled again.
    pub fn repeated(&self) -> Option<Failure> {
        if self.age() >= REMEMBERED {
            return None;
        }
        match &self.kind {
            Kind::Refused(error) => Some(Failure::Refused(error.clone())),
            Kind::Output(max) => Some(Failure::Output(*max)),
            Kind::CpuTime { attempts } => (*attempts >= ATTEMPTS).then_some(Failure::CpuTime),
            Kind::Memory => None,
        }
    }

    /// Returns the attempt to make next (0 is the first): those whose time has not sufficed are left out, and what has
    /// failed in another way is compiled after all others.
    pub fn next_attempt(&self) -> usize {
        let last = ATTEMPTS - 1;
        match self.kind {
            Kind::CpuTime { attempts } => attempts.min(last),
            Kind::Refused(_) | Kind::Output(_) | Kind::Memory => last,
        }
    }

    /// Returns the time since the failure. A time in the future counts as long ago.
    fn age(&self) -> Duration {
        seconds_since_1970().checked_sub(self.time).map_or(Duration::MAX, Duration::from_secs)
    }
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(failure: &Failure, attempt: usize) -> KnownFailure {
        KnownFailure::new(failure, attempt).expect("it is remembered")
    }

    #[test]
    fn attempts_that_did_not_suffice_are_left_out() {
        for attempt in 0..ATTEMPTS - 1 {
            let known = known(&Failure::CpuTime, attempt);
            assert!(known.repeated().is_none());
            assert_eq!(known.next_attempt(), attempt + 1);
        }
        let known = known(&Failure::CpuTime, ATTEMPTS - 1);
        assert!(matches!(known.repeated(), Some(Failure::CpuTime)));
    }

    #[test]
    fn failures_of_the_component_are_repeated_for_a_day() {
        let mut refused = known(&Failure::Refused(CompileError::NotWasm), 0);
        assert!(matches!(refused.repeated(), Some(Failure::Refused(CompileError::NotWasm))));
        assert!(matches!(known(&Failure::Output(5), 0).repeated(), Some(Failure::Output(5))));
        refused.time -= REMEMBERED.as_secs();
        assert!(refused.repeated().is_none());
        assert_eq!(refused.next_attempt(), ATTEMPTS - 1, "it is compiled after all others");
        refused.time = u64::MAX;
        assert!(refused.repeated().is_none(), "the clock was wrong");
    }

    #[test]
    fn failures_of_the_machine_are_not_repeated() {
        assert!(KnownFailure::new(&Failure::RealTime, 0).is_none());
        assert!(KnownFailure::new(&Failure::Crashed(String::new()), 0).is_none());
        let memory = known(&Failure::Memory, 0);
        assert!(memory.repeated().is_none() && memory.next_attempt() == ATTEMPTS - 1);
    }
}
