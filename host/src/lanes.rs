//! Threads on which probes run, each with an event loop of its own: a run that stays on one, from its start to its report,
//! wakes no other.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// They end with this value.
pub struct Lanes(Vec<Lane>);

struct Lane {
    handle: Handle,
    /// Its loop ends when this is dropped.
    _open: oneshot::Sender<()>,
}

impl Lanes {
    /// As many as there are processors.
    ///
    /// # Errors
    /// When the machine cannot give the threads.
    pub fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        (0..count).map(|_| Lane::start()).collect::<io::Result<_>>().map(Self)
    }

    /// The lane of the probe with this number, by which they are spread evenly.
    pub fn of(&self, index: usize) -> &Handle {
        &self.0[index % self.0.len()].handle
    }

    /// For each lane, its own of what there is one of for each probe, in their order.
    pub fn share<T>(&self, all: impl Iterator<Item = T>) -> impl Iterator<Item = (&Handle, Vec<T>)> {
        let mut shares: Vec<_> = self.0.iter().map(|lane| (&lane.handle, Vec::new())).collect();
        let count = shares.len();
        all.enumerate().for_each(|(index, one)| shares[index % count].1.push(one));
        shares.into_iter()
    }
}

impl Lane {
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
