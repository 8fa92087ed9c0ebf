//! The queue of one worker's jobs. Waiting jobs are entries in a heap with one timer for all of them; a job that is due
//! runs in a task until it ends. The queue knows when a job is due, and not what the job does.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::period::next_due;
use super::skipped::SkipCause;

/// Jobs that are run repeatedly, each at its own period. The log names a job by its [`Display`](fmt::Display).
pub struct TimerQueue<J> {
    changes: mpsc::UnboundedReceiver<Vec<Change<J>>>,
    /// The jobs by their keys.
    jobs: HashMap<usize, QueuedJob<J>>,
    /// The keys of the waiting jobs, earliest due time first, and lowest key first among equal due times.
    waiting: BinaryHeap<Reverse<(Instant, usize)>>,
}

/// A change of the jobs of a [`TimerQueue`]. Those that are sent together take effect together, between two starts.
pub enum Change<J> {
    /// Adds a job.
    Set(NewJob<J>),
    /// Removes the job with this key. If it is running, it runs to its end, and is not started again.
    Remove(usize),
    /// Changes nothing, and answers when the queue has come to it.
    Ping(oneshot::Sender<()>),
}

/// A job for a [`TimerQueue`].
pub struct NewJob<J> {
    /// The key of the job. If the queue has a job with this key, `job` replaces it from its next start on, and its due
    /// times stay. The key of a job that was removed must not be used again.
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
    /// Creates an empty queue that takes changes from a channel while it runs.
    pub fn new(changes: mpsc::UnboundedReceiver<Vec<Change<J>>>) -> Self {
        Self { changes, jobs: HashMap::new(), waiting: BinaryHeap::new() }
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
            while let Ok(changes) = self.changes.try_recv() {
                self.apply(changes);
            }
            let now = Instant::now();
            while let Some((key, queued)) = self.pop_due(now) {
                let work = start(&queued.job, Start { due: queued.due, missed: std::mem::take(&mut queued.missed) });
                queued.task = Some(running.spawn(async move { (key, work.await) }).id());
            }
            let next = self.waiting.peek().map(|Reverse((due, _))| timer_for(*due));
            if let Some(next) = next.filter(|next| *next != timer.deadline()) {
                timer.as_mut().reset(next);
            }
            tokio::select! {
                biased;
                _ = &mut stop => break,
                Some(ended) = running.join_next() => {
                    if let Some((key, finished)) = self.finished_job(ended) {
                        self.reschedule(key, &finished, &on_skipped);
                    }
                }
                Some(changes) = self.changes.recv() => self.apply(changes),
                () = &mut timer, if next.is_some() => {}
            }
        }
        while let Some(ended) = running.join_next().await {
            self.finished_job(ended);
        }
    }

    fn apply(&mut self, changes: Vec<Change<J>>) {
        let mut has_removed = false;
        for change in changes {
            match change {
                Change::Set(job) => self.set(job),
                Change::Remove(key) => has_removed |= self.jobs.remove(&key).is_some(),
                // An error means that nobody waits for the answer any more.
                Change::Ping(answer) => _ = answer.send(()),
            }
        }
        if has_removed {
            self.waiting.retain(|Reverse((_, key))| self.jobs.contains_key(key));
        }
    }

    fn set(&mut self, NewJob { key, job, first_due, every }: NewJob<J>) {
        if let Some(queued) = self.jobs.get_mut(&key) {
            queued.job = job;
            return;
        }
        self.jobs.insert(key, QueuedJob { job, first_due, every, due: first_due, missed: 0, task: None });
        self.waiting.push(Reverse((first_due, key)));
    }

    /// Removes the earliest job from the heap and returns it with its key, if it is due.
    fn pop_due(&mut self, now: Instant) -> Option<(usize, &mut QueuedJob<J>)> {
        let Reverse((due, key)) = *self.waiting.peek()?;
        if timer_for(due) > now {
            return None;
        }
        self.waiting.pop();
        self.jobs.get_mut(&key).map(|queued| (key, queued))
    }

    /// Returns the key of the job whose task ended, and the end of the job. Logs a panic; the job is started again at
    /// its next due time.
    fn finished_job(&self, ended: Result<(usize, Finished), JoinError>) -> Option<(usize, Finished)> {
        let error = match ended {
            Ok(finished) => return Some(finished),
            Err(error) => error,
        };
        let (key, queued) = self.jobs.iter().find(|(_, queued)| queued.task == Some(error.id()))?;
        let probe = &queued.job;
        tracing::error!(%probe, %error, "a run panicked and is not reported; this is a bug, please report it");
        let at = Instant::now();
        Some((*key, Finished { at, ran: at - queued.due, waited: Duration::ZERO }))
    }

    /// Puts a job that has ended back into the heap, with its next due time, unless it was removed meanwhile.
    fn reschedule(&mut self, key: usize, finished: &Finished, on_skipped: impl Fn(&J, u32, SkipCause)) {
        let Some(queued) = self.jobs.get_mut(&key) else { return };
        queued.task = None;
        let (next, missed) = next_due(queued.first_due, queued.every, queued.due, finished.at);
        if missed > 0 {
            on_skipped(&queued.job, missed, SkipCause::new(finished.at - queued.due, finished.ran, finished.waited));
        }
        (queued.due, queued.missed) = (next, missed);
        self.waiting.push(Reverse((next, key)));
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
        let (sender, changes) = mpsc::unbounded_channel();
        assert!(sender.send(jobs.into_iter().map(|job| Change::Set(new(job))).collect()).is_ok());
        TimerQueue::new(changes)
    }

    fn new((job, first_due, every): (u32, Instant, Duration)) -> NewJob<u32> {
        NewJob { key: job as usize, job, first_due, every }
    }

    fn set(job: (u32, Instant, Duration)) -> Vec<Change<u32>> {
        vec![Change::Set(new(job))]
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
            let (sender, changes) = mpsc::unbounded_channel();
            assert!(sender.send(set((1, Instant::now(), 20 * MS))).is_ok());
            let add_others = move |job| {
                let sender = sender.clone();
                async move {
                    if job == 1 {
                        assert!(sender.send(set((2, Instant::now(), 3600 * SECOND))).is_ok());
                        let replacement = new((3, Instant::now() + 3600 * SECOND, 3600 * SECOND));
                        assert!(sender.send(vec![Change::Set(NewJob { key: 1, ..replacement })]).is_ok());
                    }
                }
            };
            let started = jobs(&run_for(TimerQueue::new(changes), time, add_others).await);
            let starts_of = |job| started.iter().filter(|other| **other == job).count();
            assert_eq!(starts_of(1), 1, "job 3 has replaced job 1: {started:?}");
            // Job 3 has the due times of job 1.
            if starts_of(2) == 1 && starts_of(3) >= 2 {
                return;
            }
        }
        panic!("the jobs that were added are not started");
    }

    #[tokio::test]
    async fn a_job_that_is_removed_while_it_waits_or_runs_is_not_started_again() {
        // A machine under load gets more time.
        for time in [200 * MS, 2000 * MS, 20_000 * MS] {
            let (sender, changes) = mpsc::unbounded_channel();
            let now = Instant::now();
            let first = [(1, now, MS), (2, now + 3600 * SECOND, 3600 * SECOND), (3, now, 10 * MS)];
            assert!(sender.send(first.into_iter().flat_map(set).collect()).is_ok());
            let ended = Arc::new(Mutex::new(Vec::new()));
            let all_ended = Arc::clone(&ended);
            let remove_others = move |job| {
                let (sender, ended) = (sender.clone(), Arc::clone(&ended));
                async move {
                    if job == 1 {
                        let (answer, answered) = oneshot::channel();
                        let changes = [Change::Remove(1), Change::Remove(2), Change::Remove(9), Change::Ping(answer)];
                        assert!(sender.send(changes.into()).is_ok());
                        assert!(answered.await.is_ok());
                    }
                    ended.lock().unwrap().push(job);
                }
            };
            let started = jobs(&run_for(TimerQueue::new(changes), time, remove_others).await);
            let starts_of = |job| started.iter().filter(|other| **other == job).count();
            assert_eq!((starts_of(1), starts_of(2)), (1, 0), "{started:?}");
            assert_eq!(all_ended.lock().unwrap().len(), started.len(), "a removed job runs to its end");
            if starts_of(3) >= 3 {
                return;
            }
        }
        panic!("a job does not go on after others were removed");
    }
}
