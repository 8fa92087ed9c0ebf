//! Measures the CPU time of one call into a guest, and makes guests with long computations wait for CPU permits.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use wasmtime::UpdateDeadline;

use crate::capability::cpu_clock::thread_cpu_time;
use crate::sandbox::cpu_permits::{CpuPermit, CpuPermits};
use crate::sandbox::executor::HomeRuntime;

/// The CPU time after which a guest needs a permit to compute. Nearly all honest guests take less.
pub const PERMIT_AFTER: Duration = Duration::from_millis(10);

/// The CPU time after which a guest moves to the guest threads. It is checked only at epoch ticks, so a guest may use
/// more before it moves.
pub const MIGRATE_AFTER: Duration = Duration::from_millis(1);

/// The CPU time of one call into a guest. Shared by the future that polls the guest and the epoch callback that runs in
/// the middle of a poll.
pub struct CpuTimer {
    permits: Arc<CpuPermits>,
    home: HomeRuntime,
    /// True if the guest is predicted to compute for long, so that it needs a permit from the start.
    starts_with_permit: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The CPU time of all polls that have ended.
    used_before: Duration,
    /// The thread's CPU clock at the start of the current poll; `None` between polls.
    resumed_at: Option<Duration>,
    permit: Option<CpuPermit>,
    /// True if the guest has just waited for a permit, so that it may compute until the next epoch tick.
    has_waited: bool,
}

impl CpuTimer {
    /// Creates a timer at zero, for a call whose run started on `home`.
    pub fn new(permits: Arc<CpuPermits>, home: HomeRuntime, starts_with_permit: bool) -> Arc<Self> {
        Arc::new(Self { permits, home, starts_with_permit, state: Mutex::default() })
    }

    /// Runs `work` and measures its CPU time. Time between polls does not count, nor does other work on the same
    /// thread.
    pub async fn measure<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|task| {
            self.state.lock().resumed_at = Some(thread_cpu_time());
            let polled = work.as_mut().poll(task);
            let permit = {
                let mut state = self.state.lock();
                state.used_before = state.used();
                state.resumed_at = None;
                state.permit.take()
            };
            // Another guest can compute while this one waits.
            drop(permit);
            polled
        })
        .await
    }

    /// Returns the runtime on which the run's network exchanges take place.
    pub fn home_handle(&self) -> &Handle {
        &self.home.handle
    }

    /// Returns the CPU time used so far. During a poll it must be called on the thread that polls.
    pub fn used(&self) -> Duration {
        self.state.lock().used()
    }

    /// Decides at an epoch tick whether the guest continues, yields, or waits for a CPU permit. The epoch callback of
    /// the store calls this method.
    pub fn on_epoch(self: &Arc<Self>, deadline: Instant) -> UpdateDeadline {
        let used = self.used();
        if !self.starts_with_permit && used < MIGRATE_AFTER {
            return UpdateDeadline::Continue(1);
        }
        self.home.request_migration();
        if std::mem::take(&mut self.state.lock().has_waited) {
            return UpdateDeadline::Continue(1);
        }
        if !self.starts_with_permit && used < PERMIT_AFTER {
            return UpdateDeadline::Yield(1);
        }
        // Because of the 0, wasmtime calls the epoch callback again right after the wait, which checks the deadline.
        UpdateDeadline::YieldCustom(0, self.wait_for_permit(deadline))
    }

    /// Returns the store's first epoch deadline in ticks. With 0, the epoch callback is called as soon as the guest
    /// begins to compute, with 1 at the next tick.
    pub fn initial_epoch_deadline(&self) -> u64 {
        u64::from(!self.starts_with_permit)
    }

    fn wait_for_permit(self: &Arc<Self>, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let this = Arc::clone(self);
        Box::pin(async move {
            // Ends the poll, which releases the permit that the guest may have.
            tokio::task::yield_now().await;
            let used = this.used();
            // If the deadline comes first, the guest continues without a permit: the epoch callback then stops it at
            // the instruction that it has reached.
            let permit = tokio::time::timeout_at(deadline.into(), this.permits.acquire(used)).await;
            let mut state = this.state.lock();
            state.permit = permit.ok();
            state.has_waited = true;
        })
    }
}

impl State {
    fn used(&self) -> Duration {
        let current = self.resumed_at.map_or(Duration::ZERO, |resumed| thread_cpu_time().saturating_sub(resumed));
        self.used_before + current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compute(time: Duration) {
        let end = thread_cpu_time() + time;
        while thread_cpu_time() < end {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn only_cpu_time_during_polls_is_measured() {
        let timer = CpuTimer::new(CpuPermits::new(1), HomeRuntime::current(), false);
        let work = async {
            compute(Duration::from_millis(3));
            tokio::time::sleep(Duration::from_millis(200)).await;
            compute(Duration::from_millis(3));
            assert!(timer.used() >= Duration::from_millis(6), "CPU time is counted during a poll too");
        };
        timer.measure(work).await;
        // Other work on this thread does not count.
        compute(Duration::from_millis(200));
        let used = timer.used();
        assert!(used >= Duration::from_millis(6) && used < Duration::from_millis(100), "{used:?}");
    }

    #[tokio::test]
    async fn a_long_computation_waits_for_a_permit() {
        let deadline = Instant::now() + Duration::from_secs(60);
        let permits = CpuPermits::new(1);
        let brief = CpuTimer::new(Arc::clone(&permits), HomeRuntime::current(), false);
        brief
            .measure(async {
                assert!(matches!(brief.on_epoch(deadline), UpdateDeadline::Continue(1)));
                compute(MIGRATE_AFTER);
                assert!(matches!(brief.on_epoch(deadline), UpdateDeadline::Yield(1)));
            })
            .await;
        assert!(matches!(
            CpuTimer::new(Arc::clone(&permits), HomeRuntime::current(), true).on_epoch(deadline),
            UpdateDeadline::YieldCustom(0, _)
        ));

        let taken = permits.acquire(Duration::ZERO).await;
        let long = CpuTimer::new(Arc::clone(&permits), HomeRuntime::current(), false);
        let measured = long.measure(async {
            compute(PERMIT_AFTER);
            let UpdateDeadline::YieldCustom(0, wait) = long.on_epoch(deadline) else {
                panic!("the guest does not wait")
            };
            wait.await;
            assert!(matches!(long.on_epoch(deadline), UpdateDeadline::Continue(1)));
            assert!(long.state.lock().permit.is_some());
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(long.state.lock().permit.is_none(), "the permit is released while the guest waits");
        });
        let mut measured = pin!(measured);
        let waited = tokio::time::timeout(Duration::from_millis(50), measured.as_mut()).await;
        assert!(waited.is_err(), "the guest continued without a permit");
        drop(taken);
        measured.await;
    }

    #[tokio::test]
    async fn the_deadline_ends_the_wait() {
        let permits = CpuPermits::new(1);
        let _taken = permits.acquire(Duration::ZERO).await;
        let long = CpuTimer::new(Arc::clone(&permits), HomeRuntime::current(), true);
        let deadline = Instant::now() + Duration::from_millis(20);
        let UpdateDeadline::YieldCustom(0, wait) = long.on_epoch(deadline) else { panic!("the guest does not wait") };
        long.measure(wait).await;
        assert!(Instant::now() >= deadline);
        assert!(matches!(long.on_epoch(deadline), UpdateDeadline::Continue(1)));
    }
}
