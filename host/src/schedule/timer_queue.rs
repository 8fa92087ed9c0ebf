//! The queue of one worker's jobs. Waiting jobs are entries in a heap with one timer for all of them; a job that is due
//! runs in a task until it ends. The queue knows when a job is due, and not what the job does.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::period::next_due;
use super::skipped::SkipCause;

/// Jobs that are run repeatedly, each at its own period. The log names a job by its [`Display`](fmt::Display).
pub struct TimerQueue<J> {
    added: mpsc::UnboundedReceiver<NewJob<J>>,
    jobs: Vec<QueuedJob<J>>,
    /// The indices of the jobs by their keys.
    indices: HashMap<usize, usize>,
    /// Indices of the waiting jobs, earliest due time first, and lowest index first among equal due times.
    waiting: BinaryHeap<Reverse<(Instant, usize)>>,
}

/// A job for a [`TimerQueue`].
pub struct NewJob<J> {
    /// The key of the job. If the queue has a job with this key, `job` replaces it from its next start on, and its due
    /// times stay.
    pub key: usize,
    pub job: J,
    pub first_due: Instant,
    /// The time from one due time to the next.
    pub every: Duration,
}

struct QueuedJob<J> {
    job: J,
    first_due: Instant,
    every: Duration,
    due: Instant,
    /// The number of due times skipped immediately before `due`.
    missed: u32,
    /// The task that the job runs in, while it runs.
    task: Option<Id>,
}

/// The start of a job.
pub struct Start {
    /// The time at which the job was due.
    pub due: Instant,
    /// The number of due times that were skipped immediately before `due`.
    pub missed: u32,
}

/// The end of a job.
pub struct Finished {
    /// The time at which the job ended.
    pub at: Instant,
    /// The time that the runs of the job took.
    pub ran: Duration,
    /// The time that the job waited for permits to run.
    pub waited: Duration,
}

/// The time by which timers are armed before the due time: tokio's timer has ticks of 1 ms and rounds up twice, by 1 ms
/// on average. Starts are at most 750 µs early, and rarely 1 ms late.
const TIMER_LEAD: Duration = Duration::from_micros(750);

impl<J: fmt::Display> TimerQueue<J> {
    /// Creates an empty queue that takes jobs from a channel while it runs.
    pub fn new(added: mpsc::UnboundedReceiver<NewJob<J>>) -> Self {
        Self { added, jobs: Vec::new(), indices: HashMap::new(), waiting: BinaryHeap::new() }
    }

    /// Starts each job whenever it is due, in the order of due times, until `stopped` is true. Then no more jobs start,
    /// and the function returns when all running jobs have ended.
    ///
    /// A job never overlaps itself: due times that pass while it runs are skipped, and `on_skipped` is called with
    /// their number and cause.
    pub async fn run<F>(
        mut self,
        start: impl Fn(&J, Start) -> F,
        on_skipped: impl Fn(&J, u32, SkipCause),
        mut stopped: watch::Receiver<bool>,
    ) where
        F: Future<Output = Finished> + Send + 'static,
    {
        let mut running = JoinSet::new();
        let mut stop = pin!(stopped.wait_for(|stopped| *stopped));
        let mut timer = pin!(sleep_until(Instant::now()));
        loop {
            while let Ok(new) = self.added.try_recv() {
                self.add(new);
            }
            let now = Instant::now();
            while let Some(index) = self.pop_due(now) {
                let queued = &mut self.jobs[index];
                let work = start(&queued.job, Start { due: queued.due, missed: std::mem::take(&mut queued.missed) });
                queued.task = Some(running.spawn(async move { (index, work.await) }).id());
            }
            let next = self.waiting.peek().map(|Reverse((due, _))| timer_for(*due));
            if let Some(next) = next.filter(|next| *next != timer.deadline()) {
                timer.as_mut().reset(next);
            }
            tokio::select! {
                biased;
                _ = &mut stop => break,
                Some(ended) = running.join_next() => {
                    if let Some((index, finished)) = self.finished_job(ended) {
                        self.reschedule(index, &finished, &on_skipped);
                    }
                }
                Some(new) = self.added.recv() => self.add(new),
                () = &mut timer, if next.is_some() => {}
            }
        }
        while let Some(ended) = running.join_next().await {
            self.finished_job(ended);
        }
    }

    fn add(&mut self, NewJob { key, job, first_due, every }: NewJob<J>) {
        if let Some(index) = self.indices.get(&key) {
            self.jobs[*index].job = job;
            return;
        }
        let index = self.jobs.len();
        self.indices.insert(key, index);
        self.jobs.push(QueuedJob { job, first_due, every, due: first_due, missed: 0, task: None });
        self.waiting.push(Reverse((first_due, index)));
    }

    /// Removes the earliest job from the heap and returns its index, if it is due.
    fn pop_due(&mut self, now: Instant) -> Option<usize> {
        let Reverse((due, index)) = *self.waiting.peek()?;
        (timer_for(due) <= now).then(|| {
            self.waiting.pop();
            index
        })
    }

    /// Returns the index of the job whose task ended, and the end of the job. Logs a panic; the job is started again at
    /// its next due time.
    fn finished_job(&self, ended: Result<(usize, Finished), JoinError>) -> Option<(usize, Finished)> {
        let error = match ended {
            Ok(finished) => return Some(finished),
            Err(error) => error,
        };
        let index = self.jobs.iter().position(|queued| queued.task == Some(error.id()))?;
        let probe = &self.jobs[index].job;
        tracing::error!(%probe, %error, "a run panicked and is not reported; this is a bug, please report it");
        let at = Instant::now();
        Some((index, Finished { at, ran: at - self.jobs[index].due, waited: Duration::ZERO }))
    }

    /// Puts a job that has ended back into the heap, with its next due time.
    fn reschedule(&mut self, index: usize, finished: &Finished, on_skipped: impl Fn(&J, u32, SkipCause)) {
        let queued = &mut self.jobs[index];
        queued.task = None;
        let (next, missed) = next_due(queued.first_due, queued.every, queued.due, finished.at);
        if missed > 0 {
            on_skipped(&queued.job, missed, SkipCause::new(finished.at - queued.due, finished.ran, finished.waited));
        }
        (queued.due, queued.missed) = (next, missed);
        self.waiting.push(Reverse((next, index)));
    }
}

/// Returns the time for which to arm the timer of a start that is due at `due`.
fn timer_for(due: Instant) -> Instant {
    due.checked_sub(TIMER_LEAD).unwrap_or(due)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    /// The jobs that a queue has started, in order.
    type Started = Arc<Mutex<Vec<(u32, Start)>>>;

    /// Runs a queue for `duration`, and returns the jobs that were started. Each job is a number; `work` is done after
    /// its start is recorded.
    async fn run_for<F>(
        queue: TimerQueue<u32>,
        duration: Duration,
        work: impl Fn(u32) -> F + Clone + Send + 'static,
    ) -> Vec<(u32, Start)>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let all = Started::default();
        let (stop_sender, stopped) = watch::channel(false);
        let start = |job: &u32, start: Start| {
            let (job, all, work) = (*job, Arc::clone(&all), work.clone());
            async move {
                let started = Instant::now();
                all.lock().unwrap().push((job, start));
                work(job).await;
                let at = Instant::now();
                Finished { at, ran: at - started, waited: Duration::ZERO }
            }
        };
        let stop = async {
            tokio::time::sleep(duration).await;
            stop_sender.send_replace(true);
        };
        tokio::join!(queue.run(start, |_, _, _| {}, stopped), stop);
        std::mem::take(&mut *all.lock().unwrap())
    }

    /// Returns a queue with these jobs, each a key, a first due time and a period. It takes no others.
    fn queue(jobs: impl IntoIterator<Item = (u32, Instant, Duration)>) -> TimerQueue<u32> {
        let (sender, added) = mpsc::unbounded_channel();
        jobs.into_iter().for_each(|job| assert!(sender.send(new(job)).is_ok()));
        TimerQueue::new(added)
    }

    fn new((job, first_due, every): (u32, Instant, Duration)) -> NewJob<u32> {
        NewJob { key: job as usize, job, first_due, every }
    }

    fn jobs(started: &[(u32, Start)]) -> Vec<u32> {
        started.iter().map(|(job, _)| *job).collect()
    }

    #[tokio::test]
    async fn jobs_start_in_the_order_of_due_times() {
        let now = Instant::now();
        // All are overdue, so that they start together, in an order that depends on their due times alone.
        let late = |job: u32| (job, now - (job * 7 % 1000) * MS, 3600 * SECOND);
        let started = run_for(queue((0..1000).map(late)), 50 * MS, |_| async {}).await;
        assert_eq!(started.len(), 1000);
        assert!(started.is_sorted_by_key(|(_, start)| start.due));
        let same = |job: u32| (job, now, 3600 * SECOND);
        let started = run_for(queue((0..200).map(same)), 50 * MS, |_| async {}).await;
        assert_eq!(jobs(&started), (0..200).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_job_is_due_again_after_it_ends_and_never_overlaps_itself() {
        let now = Instant::now();
        let (brief, long) = ((0, now, 20 * MS), (1, now, 20 * MS));
        let now_running = Arc::new(Mutex::new(0));
        let started = run_for(queue([brief, long]), 300 * MS, move |job| {
            let running = Arc::clone(&now_running);
            async move {
                if job == 1 {
                    assert_eq!(
                        std::mem::replace(&mut *running.lock().unwrap(), 1),
                        0,
                        "job 1 must not run while it is running"
                    );
                    tokio::time::sleep(50 * MS).await;
                    *running.lock().unwrap() = 0;
                }
            }
        })
        .await;
        for job in [0, 1] {
            let starts: Vec<_> = started.iter().filter(|(other, _)| *other == job).map(|(_, start)| start).collect();
            assert!(starts.len() >= 3, "{} starts", starts.len());
            for pair in starts.windows(2) {
                let periods = ((pair[1].due - pair[0].due).as_millis() / 20) as u32;
                assert_eq!(pair[1].due, pair[0].due + 20 * MS * periods);
                assert_eq!(periods, 1 + pair[1].missed);
                assert!(job == 0 || pair[1].missed >= 2, "job 1 takes more than two periods");
            }
        }
    }

    #[tokio::test]
    async fn a_panic_ends_one_run_only() {
        // A machine under load gets more time.
        for time in [200 * MS, 2000 * MS, 20_000 * MS] {
            let now = Instant::now();
            let queue = queue([(0, now, 20 * MS), (1, now, 20 * MS)]);
            let started = run_for(queue, time, |job| async move { assert_ne!(job, 0, "this is a test") }).await;
            let starts_of = |job| jobs(&started).iter().filter(|other| **other == job).count();
            if starts_of(0) >= 3 && starts_of(1) >= 3 {
                return;
            }
        }
        panic!("a job does not go on after a panic");
    }

    #[tokio::test]
    async fn after_the_stop_no_job_starts_and_running_jobs_end() {
        let now = Instant::now();
        let ended = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&ended);
        let started = run_for(queue([(0, now, 10 * MS), (1, now + 100 * MS, 10 * MS)]), 50 * MS, move |_| {
            let ended = Arc::clone(&counted);
            async move {
                tokio::time::sleep(150 * MS).await;
                *ended.lock().unwrap() += 1;
            }
        })
        .await;
        assert_eq!((jobs(&started), *ended.lock().unwrap()), (vec![0], 1));
    }

    #[tokio::test]
    async fn jobs_are_added_and_replaced_while_the_queue_runs() {
        // A machine under load gets more time.
        for time in [200 * MS, 2000 * MS, 20_000 * MS] {
            let (sender, added) = mpsc::unbounded_channel();
            assert!(sender.send(new((1, Instant::now(), 20 * MS))).is_ok());
            let add_others = move |job| {
                let sender = sender.clone();
                async move {
                    if job == 1 {
                        assert!(sender.send(new((2, Instant::now(), 3600 * SECOND))).is_ok());
                        let replacement = new((3, Instant::now() + 3600 * SECOND, 3600 * SECOND));
                        assert!(sender.send(NewJob { key: 1, ..replacement }).is_ok());
                    }
                }
            };
            let started = jobs(&run_for(TimerQueue::new(added), time, add_others).await);
            let starts_of = |job| started.iter().filter(|other| **other == job).count();
            assert_eq!(starts_of(1), 1, "job 3 has replaced job 1: {started:?}");
            // Job 3 has the due times of job 1.
            if starts_of(2) == 1 && starts_of(3) >= 2 {
                return;
            }
        }
        panic!("the jobs that were added are not started");
    }
}
