//! One lane's schedule. Whoever waits for its time lies in plain memory, with one timer for all; whoever is due is in a
//! task, until that has ended. Knows times, and not what runs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::skipped::Cause;

/// What is run over and over, and when.
pub struct TimerQueue<J> {
    slots: Vec<Slot<J>>,
    /// Numbers of those that wait, the earliest first; of those that are due at once, the first.
    waiting: BinaryHeap<Reverse<(Instant, usize)>>,
}

struct Slot<J> {
    job: J,
    first: Instant,
    every: Duration,
    due: Instant,
    /// Times that have passed since the one before that.
    missed: u32,
    /// Where it runs, while it does.
    task: Option<Id>,
}

/// What a job is to do now.
pub struct Start {
    pub due: Instant,
    /// Times before that, which have passed.
    pub missed: u32,
}

/// What has become of it.
pub struct Finished {
    pub at: Instant,
    pub ran: Duration,
    /// For a place.
    pub waited: Duration,
}

/// The event loop's clock ticks once a millisecond, and rounds up twice, which comes to one tick on average: with so much
/// of it taken off, a start is no earlier than that, and seldom a whole one late.
const TIMER_LEAD: Duration = Duration::from_micros(750);

impl<J> TimerQueue<J> {
    /// Jobs, each with the time of its first run and how long it is from one to the next.
    pub fn new(jobs: Vec<(J, Instant, Duration)>) -> Self {
        let slot = |(job, first, every)| Slot { job, first, every, due: first, missed: 0, task: None };
        let slots: Vec<_> = jobs.into_iter().map(slot).collect();
        let waiting = slots.iter().enumerate().map(|(number, slot)| Reverse((slot.due, number))).collect();
        Self { slots, waiting }
    }

    /// Begins each job whenever it is due, in the order in which they are, until `stopped` is true. Then nothing begins
    /// any more, and it returns when all that has begun has ended. `skipped` is told of times that have passed.
    pub async fn run<F>(
        mut self,
        begin: impl Fn(&J, Start) -> F,
        skipped: impl Fn(&J, u32, Cause),
        mut stopped: watch::Receiver<bool>,
    ) where
        F: Future<Output = Finished> + Send + 'static,
    {
        let mut running = JoinSet::new();
        let mut stop = pin!(stopped.wait_for(|stopped| *stopped));
        let mut timer = pin!(sleep_until(Instant::now()));
        loop {
            let now = Instant::now();
            while let Some(number) = self.pop_due(now) {
                let slot = &mut self.slots[number];
                let work = begin(&slot.job, Start { due: slot.due, missed: std::mem::take(&mut slot.missed) });
                slot.task = Some(running.spawn(async move { (number, work.await) }).id());
            }
            let next = self.waiting.peek().map(|Reverse((due, _))| timer_for(*due));
            if let Some(next) = next.filter(|next| *next != timer.deadline()) {
                timer.as_mut().reset(next);
            }
            tokio::select! {
                biased;
                _ = &mut stop => break,
                Some(ended) = running.join_next() => {
                    if let Some((number, ended)) = self.finished_slot(ended) {
                        self.reschedule(number, &ended, &skipped);
                    }
                }
                () = &mut timer, if next.is_some() => {}
            }
        }
        while let Some(ended) = running.join_next().await {
            self.finished_slot(ended);
        }
    }

    /// The next of those that are due, which waits no more.
    fn pop_due(&mut self, now: Instant) -> Option<usize> {
        let Reverse((due, number)) = *self.waiting.peek()?;
        (timer_for(due) <= now).then(|| {
            self.waiting.pop();
            number
        })
    }

    /// Whose task it was that ended, and how. One that panicked is told of, and is no reason not to go on.
    fn finished_slot(&self, ended: Result<(usize, Finished), JoinError>) -> Option<(usize, Finished)> {
        let error = match ended {
            Ok(ended) => return Some(ended),
            Err(error) => error,
        };
        tracing::error!("a run of a probe was lost: {error}; this is a bug, please report it");
        let number = self.slots.iter().position(|slot| slot.task == Some(error.id()))?;
        let at = Instant::now();
        Some((number, Finished { at, ran: at - self.slots[number].due, waited: Duration::ZERO }))
    }

    /// Has a job wait for its next time.
    fn reschedule(&mut self, number: usize, ended: &Finished, skipped: impl Fn(&J, u32, Cause)) {
        let Slot { job, first, every, due, missed: passed, task } = &mut self.slots[number];
        *task = None;
        let (following, missed) = next_due(*first, *every, *due, ended.at);
        if missed > 0 {
            skipped(job, missed, Cause::of(ended.at - *due, ended.ran, ended.waited));
        }
        (*due, *passed) = (following, missed);
        self.waiting.push(Reverse((following, number)));
    }
}

/// When the event loop is to be told that a start is due.
fn timer_for(due: Instant) -> Instant {
    due.checked_sub(TIMER_LEAD).unwrap_or(due)
}

/// The next of `first + k * every` that is not past, and how many have passed before it. These are skipped: runs of one
/// probe never overlap, and none is made up for.
fn next_due(first: Instant, every: Duration, due: Instant, now: Instant) -> (Instant, u32) {
    let following = due + every;
    if following >= now {
        return (following, 0);
    }
    let k = (now - first).as_nanos().div_ceil(every.as_nanos());
    let offset = every.checked_mul(u32::try_from(k).unwrap_or(u32::MAX));
    let next = offset.map_or(following, |offset| first + offset);
    let passed = (next - following).as_nanos() / every.as_nanos();
    (next, u32::try_from(passed).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

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
    fn what_has_passed_is_skipped_and_counted() {
        let first = Instant::now();
        let every = 10 * SECOND;
        assert_eq!(next_due(first, every, first, first + 10 * SECOND), (first + 10 * SECOND, 0));
        assert_eq!(next_due(first, every, first, first + 11 * SECOND), (first + 20 * SECOND, 1));
        assert_eq!(next_due(first, every, first, first + 30 * SECOND), (first + 30 * SECOND, 2));
        assert_eq!(next_due(first, every, first, first + 31 * SECOND), (first + 40 * SECOND, 3));
    }

    #[test]
    fn each_time_is_either_due_or_skipped() {
        let first = Instant::now();
        let every = 70 * MS;
        let (mut due, mut counted) = (first, 0);
        for run in 0..1000_u32 {
            let (following, skipped) = next_due(first, every, due, due + run * 37 % 500 * MS);
            (due, counted) = (following, counted + 1 + skipped);
            assert_eq!(due, first + every * counted);
        }
    }

    /// What a lane has begun: the jobs, and for each its time and how many had passed, in the order in which they began.
    type Begun = Arc<Mutex<Vec<(u32, Start)>>>;

    /// Keeps a lane for so long. Each job is a number; what it does comes after it has been noted.
    async fn keep<F>(
        lane: TimerQueue<u32>,
        lasting: Duration,
        work: impl Fn(u32) -> F + Clone + Send + 'static,
    ) -> Vec<(u32, Start)>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let all = Begun::default();
        let (stopping, stopped) = watch::channel(false);
        let begin = |job: &u32, start: Start| {
            let (job, all, work) = (*job, Arc::clone(&all), work.clone());
            async move {
                let asked = Instant::now();
                all.lock().unwrap().push((job, start));
                work(job).await;
                let at = Instant::now();
                Finished { at, ran: at - asked, waited: Duration::ZERO }
            }
        };
        let stop = async {
            tokio::time::sleep(lasting).await;
            stopping.send_replace(true);
        };
        tokio::join!(lane.run(begin, |_, _, _| {}, stopped), stop);
        std::mem::take(&mut *all.lock().unwrap())
    }

    fn jobs(begun: &[(u32, Start)]) -> Vec<u32> {
        begun.iter().map(|(job, _)| *job).collect()
    }

    #[tokio::test]
    async fn they_begin_in_the_order_in_which_they_are_due() {
        let now = Instant::now();
        // All are late, so that one look at the clock finds all of them, and the order is the times' alone.
        let late = |job: u32| (job, now - (job * 7 % 1000) * MS, 3600 * SECOND);
        let begun = keep(TimerQueue::new((0..1000).map(late).collect()), 50 * MS, |_| async {}).await;
        assert_eq!(begun.len(), 1000);
        assert!(begun.is_sorted_by_key(|(_, start)| start.due));
        let same = |job: u32| (job, now, 3600 * SECOND);
        let begun = keep(TimerQueue::new((0..200).map(same).collect()), 50 * MS, |_| async {}).await;
        assert_eq!(jobs(&begun), (0..200).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_has_ended_is_due_again_and_nothing_overlaps() {
        let now = Instant::now();
        let (brief, long) = ((0, now, 20 * MS), (1, now, 20 * MS));
        let now_running = Arc::new(Mutex::new(0));
        let begun = keep(TimerQueue::new(vec![brief, long]), 300 * MS, move |job| {
            let running = Arc::clone(&now_running);
            async move {
                if job == 1 {
                    assert_eq!(std::mem::replace(&mut *running.lock().unwrap(), 1), 0, "it runs already");
                    tokio::time::sleep(50 * MS).await;
                    *running.lock().unwrap() = 0;
                }
            }
        })
        .await;
        for job in [0, 1] {
            let starts: Vec<_> = begun.iter().filter(|(of, _)| *of == job).map(|(_, start)| start).collect();
            assert!(starts.len() >= 3, "{} starts", starts.len());
            for pair in starts.windows(2) {
                let periods = ((pair[1].due - pair[0].due).as_millis() / 20) as u32;
                assert_eq!(pair[1].due, pair[0].due + 20 * MS * periods);
                assert_eq!(periods, 1 + pair[1].missed);
                assert!(job == 0 || pair[1].missed >= 2, "it takes more than two periods");
            }
        }
    }

    #[tokio::test]
    async fn a_panic_ends_one_run_and_nothing_else() {
        let now = Instant::now();
        let lane = TimerQueue::new(vec![(0, now, 20 * MS), (1, now, 20 * MS)]);
        let begun = keep(lane, 200 * MS, |job| async move { assert_ne!(job, 0, "this is a test") }).await;
        for job in [0, 1] {
            assert!(jobs(&begun).iter().filter(|of| **of == job).count() >= 3, "{job} goes on");
        }
    }

    #[tokio::test]
    async fn after_the_stop_nothing_begins_and_what_has_begun_ends() {
        let now = Instant::now();
        let ended = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&ended);
        let begun = keep(TimerQueue::new(vec![(0, now, 10 * MS), (1, now + 100 * MS, 10 * MS)]), 50 * MS, move |_| {
            let ended = Arc::clone(&counted);
            async move {
                tokio::time::sleep(150 * MS).await;
                *ended.lock().unwrap() += 1;
            }
        })
        .await;
        assert_eq!((jobs(&begun), *ended.lock().unwrap()), (vec![0], 1));
    }
}
