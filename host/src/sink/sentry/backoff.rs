//! When a server that fails is tried again: each category by itself, for part of a server may be down. Pure.

use std::time::{Duration, Instant};

use super::envelope::Category;

/// How each category fares.
#[derive(Debug, Default)]
pub struct Backoff([CategoryState; Category::ALL.len() + 1]);

#[derive(Debug, Default)]
struct CategoryState {
    /// Failures in a row, and when to try again.
    failures: u32,
    pause: Option<Instant>,
    /// Failures since someone was in a hurry.
    tries: u32,
    in_flight: usize,
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Backoff {
    /// Notes that one of `category` is sent; gives what [`Backoff::failed`] wants to know.
    pub fn sent(&mut self, category: Option<Category>) -> u32 {
        let fate = self.of(category);
        fate.in_flight += 1;
        fate.failures
    }

    /// Notes that one of `category` is back.
    pub fn settled(&mut self, category: Option<Category>) {
        self.of(category).in_flight -= 1;
    }

    /// Takes in that one failed. Gives whether `category` was fine until then.
    pub fn failed(&mut self, category: Option<Category>, seen: u32, now: Instant) -> bool {
        let fate = self.of(category);
        let was_fine = fate.failures == 0;
        // Several in flight fail together: that is one failure.
        if seen >= fate.failures {
            fate.failures = fate.failures.saturating_add(1);
            fate.tries = fate.tries.saturating_add(1);
            let pause = (FIRST_PAUSE * 2_u32.pow((fate.failures - 1).min(10))).min(LONGEST_PAUSE);
            // Not all hosts are to come back in the same moment.
            fate.pause = Some(now + pause.mul_f64(rand::random_range(0.5..=1.0)));
        }
        was_fine
    }

    /// Takes in that the server spoke to one of `category`.
    pub fn answered(&mut self, category: Option<Category>) {
        let fate = self.of(category);
        fate.tries = 0;
        if fate.failures > 0 {
            // Where it comes back for one, it may for all. Else those that fail, fail by themselves.
            self.0.iter_mut().for_each(|fate| (fate.failures, fate.pause) = (0, None));
        }
    }

    /// Makes the next attempt of each come at once.
    pub fn retry_now(&mut self) {
        for fate in &mut self.0 {
            (fate.pause, fate.tries) = (None, 0);
        }
    }

    /// When `category` may be tried again, if it may not now.
    pub fn until(&self, category: Option<Category>, now: Instant) -> Option<Instant> {
        self.0[index(category)].pause.filter(|until| *until > now)
    }

    /// Whether one of what fails is under way: until it is back, no other is.
    pub fn is_asking(&self, category: Option<Category>) -> bool {
        let fate = &self.0[index(category)];
        fate.failures > 0 && fate.in_flight > 0
    }

    /// Failures in a row since someone was in a hurry.
    pub fn tries(&self, category: Option<Category>) -> u32 {
        self.0[index(category)].tries
    }

    /// Whether nothing fails.
    pub fn is_fine(&self) -> bool {
        self.0.iter().all(|fate| fate.failures == 0)
    }

    fn of(&mut self, category: Option<Category>) -> &mut CategoryState {
        &mut self.0[index(category)]
    }
}

/// What is in no category is behind all that are.
fn index(category: Option<Category>) -> usize {
    category.map_or(Category::ALL.len(), |category| category as usize)
}
