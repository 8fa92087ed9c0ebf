//! The pauses after which a failing server is tried again. Each category has pauses of its own, since only a part of a
//! server may be down. Does no I/O.

use std::time::{Duration, Instant};

use super::envelope::Category;

/// The state of every category, and the state of envelopes without a category.
#[derive(Debug, Default)]
pub struct Backoff([CategoryState; Category::ALL.len() + 1]);

#[derive(Debug, Default)]
struct CategoryState {
    /// Failures in a row.
    failures: u32,
    /// The end of the current pause.
    retry_at: Option<Instant>,
    /// Failures in a row since [`Backoff::retry_now`].
    failures_since_retry_now: u32,
    in_flight: usize,
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The upper bound of a pause.
pub const MAX_PAUSE: Duration = Duration::from_secs(30);

impl Backoff {
    /// Records that an envelope of `category` is being sent. Returns the number of failures in a row so far, for
    /// [`Backoff::on_failure`].
    pub fn on_send(&mut self, category: Option<Category>) -> u32 {
        let state = self.state_mut(category);
        state.in_flight += 1;
        state.failures
    }

    /// Records that sending an envelope of `category` has ended, successfully or not.
    pub fn on_send_end(&mut self, category: Option<Category>) {
        self.state_mut(category).in_flight -= 1;
    }

    /// Records a failure of the server, and begins a pause: up to 1 s, twice as long after each further failure, at
    /// most [`MAX_PAUSE`]. `failures_at_send` is the result of [`Backoff::on_send`] for the envelope. Returns true if
    /// the failure is the first in a row.
    pub fn on_failure(&mut self, category: Option<Category>, failures_at_send: u32, now: Instant) -> bool {
        let state = self.state_mut(category);
        let is_first = state.failures == 0;
        // Envelopes that are in flight at the same time fail together: that counts as one failure.
        if failures_at_send >= state.failures {
            state.failures = state.failures.saturating_add(1);
            state.failures_since_retry_now = state.failures_since_retry_now.saturating_add(1);
            let pause = (FIRST_PAUSE * 2_u32.pow((state.failures - 1).min(10))).min(MAX_PAUSE);
            // Jitter of up to half the pause, so that not all hosts try again at the same time.
            state.retry_at = Some(now + pause.mul_f64(rand::random_range(0.5..=1.0)));
        }
        is_first
    }

    /// Records that the server has answered a request for `category`.
    pub fn on_answer(&mut self, category: Option<Category>) {
        let state = self.state_mut(category);
        state.failures_since_retry_now = 0;
        if state.failures > 0 {
            // A server that is back for one category may be back for all. The next attempt for each other category
            // shows whether it is.
            self.0.iter_mut().for_each(|state| (state.failures, state.retry_at) = (0, None));
        }
    }

    /// Ends all pauses.
    pub fn retry_now(&mut self) {
        for state in &mut self.0 {
            (state.retry_at, state.failures_since_retry_now) = (None, 0);
        }
    }

    /// Returns the end of the pause of `category`, or `None` if it may be sent now.
    pub fn paused_until(&self, category: Option<Category>, now: Instant) -> Option<Instant> {
        self.0[index(category)].retry_at.filter(|retry_at| *retry_at > now)
    }

    /// Returns true if `category` fails and an attempt is in flight. No further attempt begins until this one has
    /// ended.
    pub fn is_retrying(&self, category: Option<Category>) -> bool {
        let state = &self.0[index(category)];
        state.failures > 0 && state.in_flight > 0
    }

    /// Returns the number of failures in a row since [`Backoff::retry_now`].
    pub fn failures_since_retry_now(&self, category: Option<Category>) -> u32 {
        self.0[index(category)].failures_since_retry_now
    }

    /// Returns true if no category fails.
    pub fn is_healthy(&self) -> bool {
        self.0.iter().all(|state| state.failures == 0)
    }

    fn state_mut(&mut self, category: Option<Category>) -> &mut CategoryState {
        &mut self.0[index(category)]
    }
}

/// Envelopes without a category come after all categories.
fn index(category: Option<Category>) -> usize {
    category.map_or(Category::ALL.len(), |category| category as usize)
}
