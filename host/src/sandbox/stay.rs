//! One stay in a guest: a fresh store, and the limits that end it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{Engine, Store};

use crate::capability::bindings::{Probe as Bindings, ProbePre};
use crate::capability::log::Journal;
use crate::capability::meter::Meter;
use crate::capability::tape::Tape;
use crate::capability::{Context, Scope};
use crate::config::Limits;
use crate::run::Fault;
use crate::sandbox::backtrace::with_last_words;
use crate::sandbox::computing::Computing;
use crate::sandbox::fault;
use crate::sandbox::threads::Place;
use crate::sandbox::turns::Turns;
use crate::trace::Recorder;

/// How long past its deadline a guest in a call of the host's is waited for: the host ends its calls earlier.
const GRACE: Duration = Duration::from_millis(50);

/// Who watches over a stay.
pub struct Watch {
    deadline: Instant,
    limits: Limits,
    meter: Meter,
    computing: Arc<Computing>,
}

/// A store for one stay in a guest, which ends when `limits` are reached.
pub fn store(
    engine: &Engine,
    scope: &Arc<Scope>,
    recorder: Recorder,
    tape: Tape,
    log: Journal,
    limits: Limits,
    computing: Arc<Computing>,
) -> (Store<Context>, Watch) {
    let deadline = Instant::now() + limits.deadline;
    let mut store = Store::new(
        engine,
        Context::new(Arc::clone(scope), computing.exchanges().clone(), recorder, tape.clone(), log, limits, deadline),
    );
    store.limiter(|context| context);
    store.set_max_component_handles(limits.handles);
    store.set_hostcall_fuel(limits.memory);
    store.set_epoch_deadline(computing.first_look());
    let (meter, looked_at) = (store.data().meter.clone(), Arc::clone(&computing));
    store.epoch_deadline_callback(move |context| {
        tape.look()?;
        context.data().meter.check()?;
        fault::look(deadline, looked_at.used(), limits)?;
        Ok(looked_at.go_on(deadline))
    });
    (store, Watch { deadline, limits, meter, computing })
}

impl Watch {
    /// Sees to it that a guest that waits for the host is not waited for past its deadline, nor when something that
    /// goes on for it reaches a limit.
    pub async fn guard<T>(&self, work: impl Future<Output = wasmtime::Result<T>>) -> Result<T, Fault> {
        let exceeded = async {
            let exceeded = self.meter.exceeded().await;
            // The call that it waits in knows where the guest stands.
            tokio::time::sleep(GRACE).await;
            exceeded
        };
        let ended = async {
            tokio::select! {
                biased;
                ended = self.computing.around(work) => ended,
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
            Err(_) => Err(fault::overdue(&self.limits)),
        }
    }
}

/// One call that is no run: nothing is sent, and its trace is thrown away.
pub async fn ask<T>(
    engine: &Engine,
    turns: &Arc<Turns>,
    component: &ProbePre<Context>,
    scope: &Arc<Scope>,
    question: impl AsyncFnOnce(Bindings, &mut Store<Context>) -> wasmtime::Result<T>,
) -> Result<T, Fault> {
    // What a component may use while it says who it is and checks settings.
    let limits = Limits { deadline: Duration::from_secs(5), ..Limits::default() };
    let recorder = Recorder::start(String::new(), String::new());
    let log = Journal::new(recorder.clone(), limits);
    let computing = Computing::new(Arc::clone(turns), Place::here(), false);
    let (mut store, watch) = store(engine, scope, recorder, Tape::default(), log.clone(), limits, computing);
    let ended = watch
        .guard(async {
            let guest = component.instantiate_async(&mut store).await?;
            question(guest, &mut store).await
        })
        .await;
    ended.map_err(|fault| with_last_words(fault, &log))
}
