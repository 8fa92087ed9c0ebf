//! The delay before the next attempt to load a component.

use std::time::Duration;

/// A delay that doubles with each attempt, from the period of the probe to an hour.
pub struct RetryDelay(Duration);

/// The shortest delay, before it is randomised.
const MIN_DELAY: Duration = Duration::from_secs(1);
/// The longest delay, before it is randomised.
const MAX_DELAY: Duration = Duration::from_secs(3600);

impl RetryDelay {
    /// Creates the delay for a probe that runs once in `every`.
    pub fn new(every: Duration) -> Self {
        Self(every.clamp(MIN_DELAY, MAX_DELAY))
    }

    /// Returns the delay before the next attempt: between 3/4 and 5/4 of the nominal delay, at random, so that
    /// components that failed at the same time are not all loaded again at the same time.
    pub fn take(&mut self) -> Duration {
        let delay = self.0;
        self.0 = (delay * 2).min(MAX_DELAY);
        delay.mul_f64(0.75 + rand::random::<f64>() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_from_the_period_to_an_hour() {
        for (every, nominal) in [
            (0.05, [1.0, 2.0, 4.0, 8.0]),
            (300.0, [300.0, 600.0, 1200.0, 2400.0]),
            (1500.0, [1500.0, 3000.0, 3600.0, 3600.0]),
            (86_400.0, [3600.0; 4]),
        ] {
            let mut delay = RetryDelay::new(Duration::from_secs_f64(every));
            for nominal in nominal {
                let actual = delay.take().as_secs_f64();
                assert!((0.75 * nominal..=1.25 * nominal).contains(&actual), "{actual} s for {nominal} s");
            }
        }
    }
}
