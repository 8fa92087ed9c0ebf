//! Resolution of host names by the system's resolver.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};

use crate::capability::blocking_pool::{BlockingCalls, BlockingPool, MayBlock, PoolSize};

/// The numbers of lookups at once, all of which can be without an answer. Each has an open file, for which the host
/// keeps some free.
const SIZE: PoolSize = PoolSize { built_in: 256, first_calls: 160, further_calls: 32 };

/// Returns the threads for the lookups of all probes.
pub fn pool() -> BlockingPool {
    BlockingPool::new("lookup", SIZE)
}

/// The lookups of one attempt of a probe. Clones share the bounds.
#[derive(Clone)]
pub struct HostLookup(pub BlockingCalls);

impl HostLookup {
    /// Resolves a name with the C library's `getaddrinfo`. Addresses come in the C library's order. Nothing is cached.
    /// Waits while as many lookups as allowed are in progress, as [`BlockingCalls::run`] does.
    ///
    /// # Errors
    /// The error of `getaddrinfo`, when the name does not exist or no DNS server answers, and the errors of
    /// [`BlockingCalls::run`].
    pub async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let name = name.to_owned();
        let lookup =
            move |_: &MayBlock| Ok((name.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()).collect());
        self.0.run(lookup).await?
    }
}
