//! An envelope in the queue, and the number of its failures.

use std::time::{Duration, Instant, SystemTime};

use crate::sink::sentry::envelope::Kind;
use crate::sink::sentry::spool::SpooledEnvelope;

/// An envelope that waits or is in flight.
#[derive(Debug)]
pub struct QueuedEnvelope {
    pub spooled: SpooledEnvelope,
    /// The result of [`Backoff::on_send`](crate::sink::sentry::backoff::Backoff::on_send) for the current attempt.
    pub failures_at_send: u32,
    /// The number of times that the server has failed at this envelope while it accepted others.
    lone_failures: u32,
    first_lone_failure: Option<Instant>,
}

/// The number of lone failures after which an envelope is dropped as rejected, once [`LONE_FAILURE_TIME`] has passed
/// too. Until then, the failures may come from an outage of a part of the server.
pub const MAX_LONE_FAILURES: u32 = 10;
/// The time since its first lone failure after which an envelope may be dropped as rejected.
pub const LONE_FAILURE_TIME: Duration = Duration::from_secs(86_400);
/// The maximum age of an envelope: Sentry rejects older transactions.
const MAX_AGE: Duration = Duration::from_secs(5 * 86_400);
/// The maximum age of a check-in, whose status Sentry takes for the current one. The next one is due at most a minute
/// later.
const MAX_CHECK_IN_AGE: Duration = Duration::from_secs(90);

impl QueuedEnvelope {
    /// Creates an envelope that has not been tried yet.
    pub fn new(spooled: SpooledEnvelope) -> Self {
        Self { spooled, failures_at_send: 0, lone_failures: 0, first_lone_failure: None }
    }

    /// Records that the server has failed at this envelope while it accepted others.
    pub fn add_lone_failure(&mut self, now: Instant) {
        self.lone_failures += 1;
        self.first_lone_failure.get_or_insert(now);
    }

    /// Returns true if the envelope counts as rejected: it has [`MAX_LONE_FAILURES`], the first of them
    /// [`LONE_FAILURE_TIME`] ago.
    pub fn is_rejected(&self, now: Instant) -> bool {
        let failing_for = self.first_lone_failure.map(|first| now.saturating_duration_since(first));
        self.lone_failures >= MAX_LONE_FAILURES && failing_for >= Some(LONE_FAILURE_TIME)
    }

    /// Returns true if the envelope has become too old to be sent.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        let max_age = if self.spooled.kind == Kind::CheckIn { MAX_CHECK_IN_AGE } else { MAX_AGE };
        now.duration_since(self.spooled.added_at).is_ok_and(|age| age > max_age)
    }
}
