//! One stay in a guest: a fresh store, and the limits that end it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{Engine, Store};

use crate::capability::bindings::{Probe as Bindings, ProbePre};
use crate::capability::log_buffer::LogBuffer;
use crate::capability::quota::Quota;
use crate::capability::record_replay::RecordReplay;
use crate::capability::{Context, ProbeContext, RunHandles, SharedState};
use crate::config::Limits;
use crate::run::Fault;
use crate::sandbox::backtrace::with_last_words;
use crate::sandbox::cpu_permits::CpuPermits;
use crate::sandbox::cpu_timer::CpuTimer;
use crate::sandbox::executor::HomeRuntime;
use crate::sandbox::fault;
use crate::trace::Recorder;

/// How long past its deadline a guest in a call of the host's is waited for: the host ends its calls earlier.
const GRACE: Duration = Duration::from_millis(50);

/// Who watches over a stay.
pub struct DeadlineGuard {
    deadline: Instant,
    limits: Limits,
    meter: Quota,
    computing: Arc<CpuTimer>,
}

/// A store for one stay in a guest, which ends when `limits` are reached.
pub fn store(
    engine: &Engine,
    scope: &Arc<ProbeContext>,
    shared: &Arc<SharedState>,
    run: RunHandles,
    limits: Limits,
    computing: Arc<CpuTimer>,
) -> (Store<Context>, DeadlineGuard) {
    let deadline = Instant::now() + limits.deadline;
    let tape = run.record_replay.clone();
    let mut store = Store::new(
        engine,
        Context::new(Arc::clone(scope), Arc::clone(shared), run, limits, deadline, computing.exchanges().clone()),
    );
    store.limiter(|context| &mut context.accounting);
    store.set_max_component_handles(limits.handles);
    store.set_hostcall_fuel(limits.memory);
    store.set_epoch_deadline(computing.initial_epoch_deadline());
    let (meter, looked_at) = (store.data().accounting.quota.clone(), Arc::clone(&computing));
    store.epoch_deadline_callback(move |context| {
        tape.check()?;
        context.data().accounting.quota.check()?;
        fault::check_limits(deadline, looked_at.used(), limits)?;
        Ok(looked_at.on_epoch(deadline))
    });
    (store, DeadlineGuard { deadline, limits, meter, computing })
}

impl DeadlineGuard {
    /// Sees to it that a guest that waits for the host is not waited for past its deadline, nor when something that
    /// goes on for it reaches a limit.
    pub async fn guard<T>(&self, work: impl Future<Output = wasmtime::Result<T>>) -> Result<T, Fault> {
        let exceeded = async {
            let exceeded = self.meter.wait_exceeded().await;
            // The call that it waits in knows where the guest stands.
            tokio::time::sleep(GRACE).await;
            exceeded
        };
        let ended = async {
            tokio::select! {
                biased;
                ended = self.computing.measure(work) => ended,
                exceeded = exceeded => Err(exceeded.into()),
            }
        };
        match tokio::time::timeout_at((self.deadline + GRACE).into(), ended).await {
            // A task that goes on for it may have reached a limit that no call has told it of.
            Ok(Ok(done)) => match self.meter.check() {
                Ok(()) => Ok(done),
                Err(exceeded) => Err(fault::explain(&exceeded.into(), &self.limits)),
            },
            Ok(Err(error)) => Err(fault::explain(&error, &self.limits)),
            Err(_) => Err(fault::deadline_fault(&self.limits)),
        }
    }
}

/// One call that is no run: nothing is sent, and its trace is thrown away.
pub async fn call_once<T>(
    engine: &Engine,
    turns: &Arc<CpuPermits>,
    component: &ProbePre<Context>,
    scope: &Arc<ProbeContext>,
    shared: &Arc<SharedState>,
    question: impl AsyncFnOnce(Bindings, &mut Store<Context>) -> wasmtime::Result<T>,
) -> Result<T, Fault> {
    // What a component may use while it says who it is and checks settings.
    let limits = Limits { deadline: Duration::from_secs(5), ..Limits::default() };
    let recorder = Recorder::start(String::new(), String::new());
    let log = LogBuffer::new(recorder.clone(), limits);
    let run = RunHandles::new(recorder, log.clone(), RecordReplay::default());
    let computing = CpuTimer::new(Arc::clone(turns), HomeRuntime::current(), false);
    let (mut store, watch) = store(engine, scope, shared, run, limits, computing);
    let ended = watch
        .guard(async {
            let guest = component.instantiate_async(&mut store).await?;
            question(guest, &mut store).await
        })
        .await;
    ended.map_err(|fault| with_last_words(fault, &log))
}
