//! A sink that forwards runs to another sink in a given order of their probes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::Sink;
use crate::assessment::{AssessedRun, Decision};
use crate::run::Identity;

/// Forwards each run once the runs of all earlier probes have been forwarded. Each probe must run exactly once.
pub struct InOrder<S> {
    sink: S,
    waiting: Mutex<VecDeque<Waiting>>,
}

/// A probe whose run has not been forwarded yet.
struct Waiting {
    probe: Arc<Identity>,
    /// The run, if it has ended before that of an earlier probe.
    run: Option<Arc<AssessedRun>>,
}

impl<S: Sink> InOrder<S> {
    /// Creates a sink that forwards runs to `sink` in the order of `probes`.
    pub fn new(probes: Vec<Arc<Identity>>, sink: S) -> Self {
        let waiting = probes.into_iter().map(|probe| Waiting { probe, run: None }).collect();
        Self { sink, waiting: Mutex::new(waiting) }
    }
}

#[async_trait]
impl<S: Sink> Sink for InOrder<S> {
    fn report(&self, run: &Arc<AssessedRun>) {
        let mut waiting = self.waiting.lock();
        if let Some(entry) = waiting.iter_mut().find(|entry| Arc::ptr_eq(&entry.probe, &run.run.probe)) {
            entry.run = Some(Arc::clone(run));
        }
        while let Some(run) = waiting.front_mut().and_then(|entry| entry.run.take()) {
            self.sink.report(&run);
            waiting.pop_front();
        }
    }

    fn on_decision(&self, decision: &Decision) {
        self.sink.on_decision(decision);
    }

    async fn flush(&self, timeout: Duration) {
        self.sink.flush(timeout).await;
    }
}
