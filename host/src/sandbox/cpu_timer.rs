//! The time that one stay in a guest computes: how much it is so far, and whether it has to wait for a turn.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use wasmtime::UpdateDeadline;

use crate::sandbox::cpu_permits::{CpuPermit, CpuPermits};
use crate::sandbox::executor::HomeRuntime;

/// Who computes no longer than this need not wait for a turn: nearly all honest guests.
pub const PERMIT_AFTER: Duration = Duration::from_millis(10);

/// Who computes no longer than this stays where its run is: a tick that comes just then is no reason to move it.
const MIGRATE_AFTER: Duration = Duration::from_millis(1);

/// One stay's time, shared by whoever polls it and whoever looks at it on the way.
pub struct CpuTimer {
    turns: Arc<CpuPermits>,
    place: HomeRuntime,
    /// It is known to compute for long, so that it need not be given the time to show it again.
    long: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Up to the last wait.
    before: Duration,
    /// The thread's own clock when it went on, while it does.
    since: Option<Duration>,
    turn: Option<CpuPermit>,
    /// It has waited just now, and may go on until the next tick.
    waited: bool,
}

impl CpuTimer {
    pub fn new(turns: Arc<CpuPermits>, place: HomeRuntime, long: bool) -> Arc<Self> {
        Arc::new(Self { turns, place, long, state: Mutex::default() })
    }

    /// Does `work`, and measures how long it computes: waiting is not computing, and neither is what others do on the
    /// same thread.
    pub async fn measure<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|task| {
            self.lock().since = Some(thread_time());
            let polled = work.as_mut().poll(task);
            let turn = {
                let mut state = self.lock();
                state.before = state.used();
                state.since = None;
                state.turn.take()
            };
            // Whatever it waits for now, somebody else can compute meanwhile.
            drop(turn);
            polled
        })
        .await
    }

    /// Where the targets of its run are waited for.
    pub fn exchanges(&self) -> &Handle {
        &self.place.exchanges
    }

    /// How long it has computed so far. Wants to be asked on the thread that it computes on, or while it waits.
    pub fn used(&self) -> Duration {
        self.lock().used()
    }

    /// How a guest that computes goes on, at a tick of the clock.
    pub fn on_epoch(self: &Arc<Self>, deadline: Instant) -> UpdateDeadline {
        let used = self.used();
        if !self.long && used < MIGRATE_AFTER {
            return UpdateDeadline::Continue(1);
        }
        self.place.interrupt();
        if std::mem::take(&mut self.lock().waited) {
            return UpdateDeadline::Continue(1);
        }
        if !self.long && used < PERMIT_AFTER {
            return UpdateDeadline::Yield(1);
        }
        // It is looked at again as soon as it has waited: the deadline may have come.
        UpdateDeadline::YieldCustom(0, self.wait_for_permit(deadline))
    }

    /// Whether a guest is to be looked at as soon as it begins to compute, and not only at the next tick.
    pub fn initial_epoch_deadline(&self) -> u64 {
        u64::from(!self.long)
    }

    fn wait_for_permit(self: &Arc<Self>, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let this = Arc::clone(self);
        Box::pin(async move {
            // This gives back a turn that it has.
            tokio::task::yield_now().await;
            let computed = this.used();
            // One whose deadline comes meanwhile goes on, to be stopped where it stands.
            let turn = tokio::time::timeout_at(deadline.into(), this.turns.acquire(computed)).await;
            let mut state = this.lock();
            state.turn = turn.ok();
            state.waited = true;
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn used(&self) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| thread_time().saturating_sub(since))
    }
}

/// How long the current thread has computed.
fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compute(time: Duration) {
        let end = thread_time() + time;
        while thread_time() < end {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn waiting_is_not_computing() {
        let computing = CpuTimer::new(CpuPermits::new(1), HomeRuntime::current(), false);
        let work = async {
            compute(Duration::from_millis(3));
            tokio::time::sleep(Duration::from_millis(200)).await;
            compute(Duration::from_millis(3));
            assert!(computing.used() >= Duration::from_millis(6), "it is known while it computes too");
        };
        computing.measure(work).await;
        // Others compute on this thread meanwhile, which is not its time.
        compute(Duration::from_millis(200));
        let used = computing.used();
        assert!(used >= Duration::from_millis(6) && used < Duration::from_millis(100), "{used:?}");
    }

    #[tokio::test]
    async fn who_computes_for_long_waits_for_a_turn() {
        let deadline = Instant::now() + Duration::from_secs(60);
        let turns = CpuPermits::new(1);
        let brief = CpuTimer::new(Arc::clone(&turns), HomeRuntime::current(), false);
        brief
            .measure(async {
                assert!(matches!(brief.on_epoch(deadline), UpdateDeadline::Continue(1)));
                compute(MIGRATE_AFTER);
                assert!(matches!(brief.on_epoch(deadline), UpdateDeadline::Yield(1)));
            })
            .await;
        assert!(matches!(
            CpuTimer::new(Arc::clone(&turns), HomeRuntime::current(), true).on_epoch(deadline),
            UpdateDeadline::YieldCustom(0, _)
        ));

        let taken = turns.acquire(Duration::ZERO).await;
        let long = CpuTimer::new(Arc::clone(&turns), HomeRuntime::current(), false);
        let going_on = long.measure(async {
            compute(PERMIT_AFTER);
            let UpdateDeadline::YieldCustom(0, wait) = long.on_epoch(deadline) else { panic!("it need not wait") };
            wait.await;
            assert!(matches!(long.on_epoch(deadline), UpdateDeadline::Continue(1)));
            assert!(long.lock().turn.is_some());
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(long.lock().turn.is_none(), "it gave its turn back while it waited");
        });
        let mut going_on = pin!(going_on);
        let waited = tokio::time::timeout(Duration::from_millis(50), going_on.as_mut()).await;
        assert!(waited.is_err(), "it went on without a turn");
        drop(taken);
        going_on.await;
    }

    #[tokio::test]
    async fn a_deadline_ends_the_wait() {
        let turns = CpuPermits::new(1);
        let _taken = turns.acquire(Duration::ZERO).await;
        let long = CpuTimer::new(Arc::clone(&turns), HomeRuntime::current(), true);
        let deadline = Instant::now() + Duration::from_millis(20);
        let UpdateDeadline::YieldCustom(0, wait) = long.on_epoch(deadline) else { panic!("it need not wait") };
        long.measure(wait).await;
        assert!(Instant::now() >= deadline);
        assert!(matches!(long.on_epoch(deadline), UpdateDeadline::Continue(1)));
    }
}
