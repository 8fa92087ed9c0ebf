//! The addresses that one hop may connect to.

use std::net::SocketAddr;

use crate::capability::address_filter::AddressFilter;
use crate::capability::grant::Refusal;

/// A filter for the addresses of the names that one hop connects to.
pub struct PeerFilter {
    pub filter: AddressFilter,
    /// The names that the hop connects to, and the port of each: the URL's host, and a proxy.
    pub peers: Vec<(String, u16)>,
}

impl PeerFilter {
    /// Returns those of a name's addresses that the hop may connect to.
    ///
    /// # Errors
    /// [`Refusal`] if there are addresses and the hop may connect to none of them.
    pub fn allowed(&self, name: &str, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refusal> {
        // The resolver's addresses have port 0 if the port is the URL's. The grants are checked with the port that the
        // hop connects to; for a name that it does not connect to, with port 0, which only entries without a port
        // allow.
        let resolved_port = addresses.first().map_or(0, SocketAddr::port);
        let port = self.peers.iter().find(|(peer, _)| peer == name).map_or(0, |(_, port)| *port);
        let with_port = |port| move |address: SocketAddr| SocketAddr::new(address.ip(), port);
        let allowed = self.filter.allowed(name, addresses.into_iter().map(with_port(port)).collect())?;
        Ok(allowed.into_iter().map(with_port(resolved_port)).collect())
    }
}
