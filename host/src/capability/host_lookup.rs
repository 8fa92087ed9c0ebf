//! Resolution of host names by the system's resolver.
//!
//! A lookup occupies a thread until the resolver returns, even if the caller has given up before. So the number of
//! lookups in progress is bounded: for each third-party probe, for all third-party probes together, and for all
//! built-in probes together. Lookups of built-in probes never wait for those of third-party probes.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The maximum number of lookups at once of all built-in probes. The sum of this number and [`MAX_THIRD_PARTY`] is less
/// than the 512 blocking threads of each tokio runtime, so that threads are left for reading files.
const MAX_BUILT_IN: usize = 320;
/// The maximum number of lookups at once of all third-party probes.
const MAX_THIRD_PARTY: usize = 128;
/// The maximum number of lookups at once of one third-party probe.
const MAX_OF_PROBE: usize = 4;

/// The lookups that all probes may have in progress at once.
pub struct LookupPool {
    built_in: Arc<Semaphore>,
    third_party: Arc<Semaphore>,
}

/// The lookups that one third-party probe may have in progress at once. All runs of the probe share the bound.
#[derive(Clone)]
pub struct ProbeLookups(Arc<Semaphore>);

/// The lookups of one probe. Clones share the bounds.
#[derive(Clone)]
pub struct HostLookup {
    /// The bound of the probe, if it has one, and then that of all probes of its kind.
    bounds: [Option<Arc<Semaphore>>; 2],
}

impl Default for LookupPool {
    fn default() -> Self {
        Self {
            built_in: Arc::new(Semaphore::new(MAX_BUILT_IN)),
            third_party: Arc::new(Semaphore::new(MAX_THIRD_PARTY)),
        }
    }
}

impl Default for ProbeLookups {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_OF_PROBE)))
    }
}

impl LookupPool {
    /// Returns the lookups of a probe. A third-party probe has a bound of its own, a built-in one has none.
    pub fn of_probe(&self, third_party: Option<&ProbeLookups>) -> HostLookup {
        let bounds = match third_party {
            Some(ProbeLookups(of_probe)) => [Some(Arc::clone(of_probe)), Some(Arc::clone(&self.third_party))],
            None => [None, Some(Arc::clone(&self.built_in))],
        };
        HostLookup { bounds }
    }
}

impl HostLookup {
    /// Resolves a name with the C library's `getaddrinfo`, on tokio's pool of blocking threads. Addresses come in the C
    /// library's order. Nothing is cached. Waits while as many lookups as allowed are in progress.
    ///
    /// # Errors
    /// The error of `getaddrinfo`, when the name does not exist or no DNS server answers.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let name = name.to_owned();
        self.run_blocking(move || Ok((name.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()).collect())).await
    }

    async fn run_blocking<T: Send + 'static>(
        &self,
        lookup: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let mut permits: Vec<OwnedSemaphorePermit> = Vec::new();
        // The probe's own bound comes first, so that a probe with many lookups does not fill the queue of the others.
        for bound in self.bounds.iter().flatten() {
            permits.push(Arc::clone(bound).acquire_owned().await.map_err(io::Error::other)?);
        }
        let lookup = tokio::task::spawn_blocking(move || {
            let result = lookup();
            // The permits are held until here, since the thread is occupied even if the caller has given up.
            drop(permits);
            result
        });
        lookup.await.map_err(io::Error::from)?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Begins lookups that last until the returned senders are dropped, and gives up on all of them.
    async fn begin_and_give_up(lookup: &HostLookup, count: usize) -> Vec<mpsc::Sender<()>> {
        let mut senders = Vec::new();
        for _ in 0..count {
            let (sender, receiver) = mpsc::channel::<()>();
            let (started, has_started) = tokio::sync::oneshot::channel();
            let blocked = lookup.clone();
            let task = tokio::spawn(async move {
                blocked
                    .run_blocking(move || {
                        _ = started.send(());
                        _ = receiver.recv();
                        Ok(())
                    })
                    .await
            });
            has_started.await.expect("the lookup starts");
            task.abort();
            senders.push(sender);
        }
        senders
    }

    async fn is_blocked(lookup: &HostLookup) -> bool {
        tokio::time::timeout(Duration::from_millis(50), lookup.run_blocking(|| Ok(()))).await.is_err()
    }

    #[tokio::test]
    async fn abandoned_lookups_count_until_their_threads_are_free() {
        let pool = LookupPool::default();
        let (bounds, other) = (ProbeLookups::default(), ProbeLookups::default());
        let lookup = pool.of_probe(Some(&bounds));
        let senders = begin_and_give_up(&lookup, MAX_OF_PROBE).await;
        assert!(is_blocked(&lookup).await);
        assert!(is_blocked(&pool.of_probe(Some(&bounds))).await, "another run of the probe shares its bound");
        pool.of_probe(Some(&other)).run_blocking(|| Ok(())).await.expect("other probes are not blocked");
        drop(senders);
        lookup.run_blocking(|| Ok(())).await.expect("the threads are free");
    }

    #[tokio::test]
    async fn built_in_probes_do_not_wait_for_third_party_probes() {
        let pool = LookupPool::default();
        let mut senders = Vec::new();
        for _ in 0..MAX_THIRD_PARTY / MAX_OF_PROBE {
            senders.push(begin_and_give_up(&pool.of_probe(Some(&ProbeLookups::default())), MAX_OF_PROBE).await);
        }
        assert!(is_blocked(&pool.of_probe(Some(&ProbeLookups::default()))).await);
        pool.of_probe(None).run_blocking(|| Ok(())).await.expect("built-in probes are not blocked");
        pool.of_probe(None).resolve("127.0.0.1").await.expect("an address resolves to itself");
        drop(senders);
    }

    #[tokio::test]
    async fn waiting_lookups_of_one_probe_do_not_delay_other_probes() {
        let pool = LookupPool::default();
        let (bounds, other) = (ProbeLookups::default(), ProbeLookups::default());
        let lookup = pool.of_probe(Some(&bounds));
        let senders = begin_and_give_up(&lookup, MAX_OF_PROBE).await;
        let waiting: Vec<_> = (0..900)
            .map(|_| {
                let lookup = lookup.clone();
                tokio::spawn(async move { lookup.run_blocking(|| Ok(())).await })
            })
            .collect();
        tokio::task::yield_now().await;
        pool.of_probe(Some(&other)).run_blocking(|| Ok(())).await.expect("other probes are not blocked");
        assert!(waiting.iter().all(|task| !task.is_finished()));
        drop(senders);
        for task in waiting {
            task.await.expect("the task does not panic").expect("the lookup ends");
        }
    }
}
