//! Converts the results of attempts to outcomes, with bounds on the guest's text.

use crate::capability::bindings::exports::sentrynet::probe::prober::Trouble;
use crate::capability::guest_failure::{MAX_TEXT_BYTES, bounded_failure};
use crate::capability::truncate;
use crate::run::{Fault, FaultKind, LimitKind, Outcome};
use crate::trace::Status;

/// Converts the value that a guest's `run` returned to an outcome.
pub fn from_guest(returned: Result<(), Trouble>) -> Outcome {
    match returned {
        Ok(()) => Outcome::Passed,
        Err(Trouble::Failed(failure)) => Outcome::Failed(bounded_failure(failure)),
        Err(Trouble::Broken(message)) => Outcome::Broken(Fault {
            kind: FaultKind::ReportedByProbe,
            message: truncate(message, MAX_TEXT_BYTES),
            backtrace: Vec::new(),
        }),
    }
}

/// Returns the status of the span of a run or an attempt. The status for an unreachable target differs from that for a
/// wrong response.
pub fn span_status(outcome: &Outcome) -> Status {
    match outcome {
        Outcome::Passed | Outcome::PassedAfterRetry(_) => Status::Ok,
        Outcome::Failed(failure) => match failure.reason.as_str() {
            "timeout" => Status::DeadlineExceeded,
            "dns" | "connect" | "tls" => Status::Unavailable,
            _ => Status::InternalError,
        },
        Outcome::Broken(fault) => match fault.kind {
            FaultKind::Limit(LimitKind::Deadline) => Status::DeadlineExceeded,
            FaultKind::Limit(_) => Status::ResourceExhausted,
            FaultKind::Trap
            | FaultKind::ReportedByProbe
            | FaultKind::Host
            | FaultKind::Load
            | FaultKind::Suspended
            | FaultKind::ReplayDiverged => Status::Aborted,
        },
    }
}
