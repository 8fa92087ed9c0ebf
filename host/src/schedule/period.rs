//! The due times of a job.

use std::time::Duration;

use tokio::time::Instant;

/// Returns the first of the times `first_due + k * every` after `due` that is not before `now`, and the number of those
/// times after `due` that are before `now`. These are skipped and not made up for, since runs of one probe never
/// overlap.
pub fn next_due(first_due: Instant, every: Duration, due: Instant, now: Instant) -> (Instant, u32) {
    let following = due + every;
    if following >= now {
        return (following, 0);
    }
    let k = (now - first_due).as_nanos().div_ceil(every.as_nanos());
    let offset = every.checked_mul(u32::try_from(k).unwrap_or(u32::MAX));
    let next = offset.map_or(following, |offset| first_due + offset);
    let missed = (next - following).as_nanos() / every.as_nanos();
    (next, u32::try_from(missed).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_period_does_not_drift() {
        let first = Instant::now();
        let every = 10 * SECOND;
        let mut due = first;
        for k in 1..100 {
            let (following, skipped) = next_due(first, every, due, due + 1234 * MS);
            assert_eq!((following, skipped), (first + every * k, 0));
            due = following;
        }
    }

    #[test]
    fn missed_due_times_are_skipped_and_counted() {
        let first = Instant::now();
        let every = 10 * SECOND;
        assert_eq!(next_due(first, every, first, first + 10 * SECOND), (first + 10 * SECOND, 0));
        assert_eq!(next_due(first, every, first, first + 11 * SECOND), (first + 20 * SECOND, 1));
        assert_eq!(next_due(first, every, first, first + 30 * SECOND), (first + 30 * SECOND, 2));
        assert_eq!(next_due(first, every, first, first + 31 * SECOND), (first + 40 * SECOND, 3));
    }

    #[test]
    fn each_due_time_is_either_run_or_skipped() {
        let first = Instant::now();
        let every = 70 * MS;
        let (mut due, mut periods) = (first, 0);
        for run in 0..1000_u32 {
            let (following, skipped) = next_due(first, every, due, due + run * 37 % 500 * MS);
            (due, periods) = (following, periods + 1 + skipped);
            assert_eq!(due, first + every * periods);
        }
    }
}
