//! Resources that one attempt uses, compared with its limits.

use crate::capability::memory_budget::Reservation;
use crate::capability::quota::{Exceeded, Quota};
use crate::config::Limits;

/// Resources that one attempt has used so far, and its limits.
pub struct Accounting {
    /// The limits of the run.
    pub limits: Limits,
    /// Requests, connections and traffic.
    pub quota: Quota,
    /// Bytes of all linear memories.
    pub memory: Growth,
    /// Elements of all tables.
    pub table_elements: Growth,
    /// The memory that this attempt has reserved from the pool of all runs.
    pub reservation: Reservation,
    /// Bytes that the host holds on the guest's behalf.
    held: usize,
    /// Bytes of text that the guest may still put on spans.
    span_text_left: usize,
}

/// The size and the last growth of all memories of a guest together, in bytes, or of all its tables, in elements.
#[derive(Default)]
pub struct Growth {
    /// The current total.
    pub total: usize,
    /// The part of the total that was added last. It is subtracted again if wasmtime fails to allocate it.
    pub last: usize,
}

/// The error that the host would hold more bytes on the guest's behalf than the guest's `memory` limit. The field is
/// the limit in bytes.
#[derive(Debug, thiserror::Error)]
#[error("the host would hold more than {} MiB for the guest", self.0 >> 20)]
pub struct HostMemoryExceeded(pub usize);

impl Accounting {
    /// The maximum bytes of text that the guest may put on the spans of one attempt. Sentry rejects larger
    /// transactions.
    const MAX_SPAN_TEXT_BYTES: usize = 1 << 20;

    /// Returns the accounting of an attempt that has used nothing yet.
    pub fn new(limits: Limits, reservation: Reservation) -> Self {
        Self {
            limits,
            quota: Quota::new(limits),
            memory: Growth::default(),
            table_elements: Growth::default(),
            reservation,
            held: 0,
            span_text_left: Self::MAX_SPAN_TEXT_BYTES,
        }
    }

    /// Adds bytes that the host is about to hold on the guest's behalf.
    ///
    /// # Errors
    /// [`HostMemoryExceeded`] when the host would hold more than the guest's own `memory` limit, and [`Exceeded`] when
    /// fewer than `bytes` are left of the memory that all runs share.
    pub fn charge(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.held = self.held.saturating_add(bytes);
        if self.held > self.limits.memory {
            return Err(HostMemoryExceeded(self.limits.memory).into());
        }
        let reserved: Result<(), Exceeded> = self.reservation.reserve(bytes);
        Ok(reserved?)
    }

    /// Subtracts bytes that were charged, once the host has dropped them.
    pub fn release(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
        self.reservation.release(bytes);
    }

    /// Counts bytes of text for a span. Returns false, and counts none, if fewer bytes are left for the attempt.
    pub fn take_span_text(&mut self, bytes: usize) -> bool {
        let bytes_left = self.span_text_left.checked_sub(bytes);
        self.span_text_left = bytes_left.unwrap_or(self.span_text_left);
        bytes_left.is_some()
    }
}
