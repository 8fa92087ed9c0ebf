//! Threads on which probes run, each with an event loop of its own: a run that stays on one, from its start to its report,
//! wakes no other.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// They end with this value.
pub struct Workers(Vec<Worker>);

struct Worker {
    handle: Handle,
    /// Its loop ends when this is dropped.
    _open: oneshot::Sender<()>,
}

/// Runs a second that one lane has, before there is another: it is busy for a tenth of its time then. Measured with 200 a
/// second, each costs an eighth more in bursts on two lanes, which stand in each other's way and find cold caches.
const RUNS_PER_WORKER: f64 = 250.0;

impl Workers {
    /// As many as so many runs a second need, and one for each processor at most.
    ///
    /// # Errors
    /// When the machine cannot give the threads.
    pub fn start(runs_a_second: f64) -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        (0..workers_needed(runs_a_second, processors)).map(|_| Worker::start()).collect::<io::Result<_>>().map(Self)
    }

    /// The lane of the probe with this number, by which they are spread evenly.
    pub fn handle(&self, index: usize) -> &Handle {
        &self.0[index % self.0.len()].handle
    }

    /// For each lane, its own of what there is one of for each probe, in their order.
    pub fn distribute<T>(&self, all: impl Iterator<Item = T>) -> impl Iterator<Item = (&Handle, Vec<T>)> {
        let mut shares: Vec<_> = self.0.iter().map(|lane| (&lane.handle, Vec::new())).collect();
        let count = shares.len();
        all.enumerate().for_each(|(index, one)| shares[index % count].1.push(one));
        shares.into_iter()
    }
}

fn workers_needed(runs_a_second: f64, processors: usize) -> usize {
    ((runs_a_second / RUNS_PER_WORKER).ceil() as usize).clamp(1, processors)
}

impl Worker {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (open, closed) = oneshot::channel::<()>();
        thread::Builder::new().name("probes".to_owned()).spawn(move || {
            _ = runtime.block_on(closed);
            // What still looks up a name is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _open: open })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_are_needed() {
        for (runs, lanes) in [(0.0, 1), (0.1, 1), (250.0, 1), (251.0, 2), (999.0, 4), (5000.0, 4), (f64::INFINITY, 4)] {
            assert_eq!(workers_needed(runs, 4), lanes, "{runs}");
        }
    }
}
