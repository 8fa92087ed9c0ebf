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
pub struct InOrder<S: ?Sized> {
    sink: Arc<S>,
    waiting: Mutex<VecDeque<Waiting>>,
}

/// A probe whose run has not been forwarded yet.
struct Waiting {
    probe: Arc<Identity>,
    /// The run, if it has ended before that of an earlier probe.
    run: Option<Arc<AssessedRun>>,
}

impl<S: Sink + ?Sized> InOrder<S> {
    /// Creates a sink that forwards runs to `sink` in the order of `probes`.
    pub fn new(probes: Vec<Arc<Identity>>, sink: Arc<S>) -> Self {
        let waiting = probes.into_iter().map(|probe| Waiting { probe, run: None }).collect();
        Self { sink, waiting: Mutex::new(waiting) }
    }
}

#[async_trait]
impl<S: Sink + ?Sized> Sink for InOrder<S> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Run;
    use crate::sink::fixtures;

    /// Collects the titles of runs.
    #[derive(Default)]
    struct Titles(Mutex<Vec<String>>);

    #[async_trait]
    impl Sink for Titles {
        fn report(&self, run: &Arc<AssessedRun>) {
            self.0.lock().push(run.run.probe.title.clone());
        }

        async fn flush(&self, _: Duration) {}
    }

    fn identity(title: &str) -> Arc<Identity> {
        Arc::new(Identity { title: title.to_owned(), ..Identity::default() })
    }

    /// Reports the runs of three probes in the order `ended`. Returns the titles that had been forwarded after each
    /// report.
    fn forwarded(ended: [usize; 3]) -> [String; 3] {
        // Two probes may have the same title.
        let probes = ["a", "b", "b"].map(identity);
        let ordered = InOrder::new(probes.to_vec(), Arc::<Titles>::default());
        ended.map(|index| {
            let run = Run { probe: Arc::clone(&probes[index]), ..fixtures::passed() };
            ordered.report(&Arc::new(fixtures::assessed(run)));
            ordered.sink.0.lock().concat()
        })
    }

    #[test]
    fn a_run_is_forwarded_after_those_of_all_probes_before_its_own() {
        assert_eq!(forwarded([0, 1, 2]), ["a", "ab", "abb"]);
        assert_eq!(forwarded([2, 1, 0]), ["", "", "abb"]);
        assert_eq!(forwarded([1, 0, 2]), ["", "ab", "abb"]);
        assert_eq!(forwarded([2, 0, 1]), ["", "a", "abb"]);
    }

    #[test]
    fn a_run_of_an_unknown_probe_is_not_forwarded() {
        let ordered = InOrder::new(vec![identity("a")], Arc::<Titles>::default());
        ordered.report(&Arc::new(fixtures::assessed(fixtures::passed())));
        assert!(ordered.sink.0.lock().is_empty());
    }
}
