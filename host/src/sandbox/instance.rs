//! Makes one call into a guest, in a fresh store, and enforces the limits that end the call.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::Store;

use crate::capability::bindings::Probe as Bindings;
use crate::capability::log_buffer::LogBuffer;
use crate::capability::quota::Quota;
use crate::capability::record_replay::RecordReplay;
use crate::capability::{Context, ProbeContext, RunHandles};
use crate::config::Limits;
use crate::run::{Fault, FaultKind, LimitKind};
use crate::sandbox::backtrace::with_last_log_lines;
use crate::sandbox::cpu_timer::CpuTimer;
use crate::sandbox::executor::HomeRuntime;
use crate::sandbox::fault;
use crate::sandbox::loaded_component::LoadedComponent;
use crate::trace::Recorder;

/// The time by which a guest in a host call may overrun its limits before it is dropped. Most host calls end by
/// themselves within this time, with an error that has a backtrace.
const DEADLINE_GRACE: Duration = Duration::from_millis(50);

/// Enforces those limits of one call that can be reached while the guest waits for the host.
pub struct DeadlineGuard {
    deadline: Instant,
    limits: Limits,
    quota: Quota,
    cpu_timer: Arc<CpuTimer>,
}

/// Creates a store for one call into a component. The guest is stopped when it reaches one of `limits`: by the store
/// while it computes, and by the [`DeadlineGuard`] while it waits. The call must be awaited with
/// [`DeadlineGuard::await_call`].
pub fn store(
    component: &LoadedComponent,
    context: &Arc<ProbeContext>,
    run: RunHandles,
    limits: Limits,
    cpu_timer: Arc<CpuTimer>,
) -> (Store<Context>, DeadlineGuard) {
    let deadline = Instant::now() + limits.deadline;
    let record_replay = run.record_replay.clone();
    let exchanges = cpu_timer.home_handle().clone();
    let data = Context::new(Arc::clone(context), Arc::clone(&component.shared), run, limits, deadline, exchanges);
    let mut store = Store::new(component.pre.engine(), data);
    store.limiter(|data| &mut data.accounting);
    store.set_max_component_handles(limits.handles);
    store.set_hostcall_fuel(limits.memory);
    store.set_epoch_deadline(cpu_timer.initial_epoch_deadline());
    let (quota, timer) = (store.data().accounting.quota.clone(), Arc::clone(&cpu_timer));
    store.epoch_deadline_callback(move |store| {
        record_replay.check()?;
        store.data().accounting.quota.check()?;
        let used = timer.used() + store.data().accounting.quota.cpu_of_calls();
        fault::check_limits(deadline, used, limits)?;
        Ok(timer.on_epoch(deadline))
    });
    (store, DeadlineGuard { deadline, limits, quota, cpu_timer })
}

impl DeadlineGuard {
    /// Awaits a call into a guest, and measures its CPU time. A guest that waits for the host is dropped 50 ms after
    /// its deadline, or 50 ms after a task that works for the guest has reached a limit.
    ///
    /// # Errors
    /// Returns the fault that ended the call: a limit, a trap, or an error of the host.
    pub async fn await_call<T>(&self, call: impl Future<Output = wasmtime::Result<T>>) -> Result<T, Fault> {
        let exceeded = async {
            let exceeded = self.quota.wait_exceeded().await;
            // Most host calls end by themselves within this time, with an error that has a backtrace.
            tokio::time::sleep(DEADLINE_GRACE).await;
            exceeded
        };
        let ended = async {
            tokio::select! {
                biased;
                ended = self.cpu_timer.measure(call) => ended,
                exceeded = exceeded => Err(exceeded.into()),
            }
        };
        match tokio::time::timeout_at((self.deadline + DEADLINE_GRACE).into(), ended).await {
            // A task that works for the guest may have reached a limit that none of the guest's calls reported.
            Ok(Ok(done)) => match self.quota.check() {
                Ok(()) => Ok(done),
                Err(exceeded) => Err(fault::from_error(&exceeded.into(), &self.limits)),
            },
            Ok(Err(error)) => Err(fault::from_error(&error, &self.limits)),
            Err(_) => Err(fault::deadline_fault(&self.limits)),
        }
    }

    /// Checks that a failure that the guest reports may be one of the target.
    ///
    /// # Errors
    /// Returns the fault that the host lacks a resource, such as a thread for a lookup.
    pub fn check_failure(&self) -> Result<(), Fault> {
        self.quota.check_waiting_calls().map_err(|exceeded| fault::from_error(&exceeded.into(), &self.limits))
    }
}

/// A call into a component outside of a run.
pub trait LoadCall: Sync {
    /// The result of the call.
    type Output: Send;

    /// Makes the call in a fresh instance. May be called several times.
    fn call(
        &self,
        guest: &Bindings,
        store: &mut Store<Context>,
    ) -> impl Future<Output = wasmtime::Result<Self::Output>> + Send;
}

/// Makes one call into a component outside of a run, with the default limits and a deadline of 5 s. Its trace is
/// discarded.
///
/// The call first has a deadline of 250 ms, and then one of 1 s. If it reaches one of these, it is made again after the
/// calls that wait, with the next deadline. So a component that computes endlessly does not keep others from being
/// loaded.
///
/// # Errors
/// Returns the fault that ended the call: a limit, a trap, or an error of the host.
pub async fn call_once<C: LoadCall>(
    component: &LoadedComponent,
    context: &Arc<ProbeContext>,
    call: C,
) -> Result<C::Output, Fault> {
    const SHORT_DEADLINES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
    const DEADLINE: Duration = Duration::from_secs(5);
    for deadline in SHORT_DEADLINES {
        match call_within(deadline, component, context, &call).await {
            Err(Fault { kind: FaultKind::Limit(LimitKind::Deadline), .. }) => {}
            ended => return ended,
        }
    }
    call_within(DEADLINE, component, context, &call).await
}

/// Waits for a permit, and makes one call into a component.
async fn call_within<C: LoadCall>(
    deadline: Duration,
    component: &LoadedComponent,
    context: &Arc<ProbeContext>,
    call: &C,
) -> Result<C::Output, Fault> {
    let _permit = component.executor.load_permits().acquire().await;
    let limits = Limits { deadline, ..Limits::default() };
    let recorder = Recorder::start(String::new(), String::new());
    let log = LogBuffer::new(recorder.clone(), limits);
    let run = RunHandles::new(recorder, log.clone(), RecordReplay::default());
    let permits = Arc::clone(component.executor.cpu_permits());
    let cpu_timer = CpuTimer::new(permits, HomeRuntime::current(), false);
    let (mut store, guard) = store(component, context, run, limits, cpu_timer);
    let ended = guard
        .await_call(async {
            let guest = component.pre.instantiate_async(&mut store).await?;
            call.call(&guest, &mut store).await
        })
        .await;
    ended.map_err(|fault| with_last_log_lines(fault, &log))
}
