//! A sink that passes runs on in a given order of their probes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::Sink;
use crate::assessment::{AssessedRun, Decision};
use crate::run::Identity;

/// Passes each run on once the runs of all probes before its own were. Each probe runs once.
pub struct InOrder<S> {
    sink: S,
    waiting: Mutex<VecDeque<Waiting>>,
}

/// A probe whose run was not passed on yet.
struct Waiting {
    probe: Arc<Identity>,
    run: Option<Arc<AssessedRun>>,
}

impl<S: Sink> InOrder<S> {
    /// Puts the runs of these probes in order before `sink`.
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
