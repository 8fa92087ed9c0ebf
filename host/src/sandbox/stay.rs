//! One stay in a guest: a fresh store, and the limits that end it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{Engine, Store, UpdateDeadline};

use crate::capability::bindings::{Probe as Bindings, ProbePre};
use crate::capability::log::Journal;
use crate::capability::{Context, Scope};
use crate::config::{Limits, MOST_MEMORY};
use crate::run::Fault;
use crate::sandbox::fault;
use crate::trace::Recorder;

/// What a component may use while it says who it is and checks settings.
const LIMITS_OF_CHECK: Limits = Limits { deadline: Duration::from_secs(5), memory: MOST_MEMORY };
/// How long past its deadline a guest in a call of the host's is waited for: the host ends its calls earlier.
const GRACE: Duration = Duration::from_millis(50);

/// A store for one stay in a guest, which ends when `limits` are reached.
pub fn store(
    engine: &Engine,
    scope: &Arc<Scope>,
    recorder: Recorder,
    log: Journal,
    limits: Limits,
) -> (Store<Context>, Instant) {
    let deadline = Instant::now() + limits.deadline;
    let mut store = Store::new(engine, Context::new(Arc::clone(scope), recorder, log, limits, deadline));
    store.limiter(|context| context);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| fault::look(deadline).map(|()| UpdateDeadline::Yield(1)));
    (store, deadline)
}

/// Sees to it that a guest that waits for the host is not waited for past its deadline.
pub async fn guard<T>(
    deadline: Instant,
    limits: Limits,
    work: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Fault> {
    match tokio::time::timeout_at((deadline + GRACE).into(), work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(fault::explain(&error, limits)),
        Err(_) => Err(fault::overdue(limits)),
    }
}

/// One call that is no run: nothing is sent, and its trace is thrown away.
pub async fn ask<T>(
    engine: &Engine,
    component: &ProbePre<Context>,
    scope: &Arc<Scope>,
    question: impl AsyncFnOnce(Bindings, &mut Store<Context>) -> wasmtime::Result<T>,
) -> Result<T, Fault> {
    let recorder = Recorder::start(String::new(), String::new());
    let log = Journal::new(recorder.epoch());
    let (mut store, deadline) = store(engine, scope, recorder, log, LIMITS_OF_CHECK);
    guard(deadline, LIMITS_OF_CHECK, async {
        let guest = component.instantiate_async(&mut store).await?;
        question(guest, &mut store).await
    })
    .await
}
