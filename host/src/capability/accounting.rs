//! Resources that one attempt uses, compared with its limits.

use std::sync::Arc;

use crate::capability::connection_budget::RunConnections;
use crate::capability::memory_budget::Reservation;
use crate::capability::quota::Quota;
use crate::config::Limits;

/// Resources that one attempt has used so far, and its limits.
pub struct Accounting {
    /// The limits of the run.
    pub limits: Limits,
    /// Requests, connections, traffic, and the memory that the host holds.
    pub quota: Quota,
    /// Bytes of all linear memories.
    pub memory: Growth,
    /// Elements of all tables.
    pub table_elements: Growth,
    /// Bytes of text that the guest may still put on spans.
    span_text_left: usize,
    /// Bytes of text that the guest's warnings may still have.
    warning_text_left: usize,
}

/// The size and the last growth of all memories of a guest together, in bytes, or of all its tables, in elements.
#[derive(Default)]
pub struct Growth {
    /// The current total.
    pub total: usize,
    /// The part of the total that was added last. This part is subtracted again if wasmtime fails to allocate it.
    pub last: usize,
}

impl Accounting {
    /// The maximum bytes of text that the guest may put on the spans of one attempt. Sentry rejects larger
    /// transactions.
    const MAX_SPAN_TEXT_BYTES: usize = 1 << 20;

    /// The maximum bytes of text of all warnings of one attempt. They are kept until the run is reported.
    const MAX_WARNING_TEXT_BYTES: usize = 256 << 10;

    /// Returns the accounting of an attempt that has used nothing yet.
    pub fn new(limits: Limits, reservation: Reservation, connections: Arc<RunConnections>) -> Self {
        Self {
            limits,
            quota: Quota::new(limits, reservation, connections),
            memory: Growth::default(),
            table_elements: Growth::default(),
            span_text_left: Self::MAX_SPAN_TEXT_BYTES,
            warning_text_left: Self::MAX_WARNING_TEXT_BYTES,
        }
    }

    /// Counts bytes of text for a span. Returns false, and counts none, if fewer bytes are left for the attempt.
    pub fn take_span_text(&mut self, bytes: usize) -> bool {
        take(&mut self.span_text_left, bytes)
    }

    /// Counts bytes of text for a warning. Returns false, and counts none, if fewer bytes are left for the attempt.
    pub fn take_warning_text(&mut self, bytes: usize) -> bool {
        take(&mut self.warning_text_left, bytes)
    }
}

/// Takes bytes of those that are left. Returns false, and takes none, if there are fewer.
fn take(left: &mut usize, bytes: usize) -> bool {
    let rest = left.checked_sub(bytes);
    *left = rest.unwrap_or(*left);
    rest.is_some()
}
