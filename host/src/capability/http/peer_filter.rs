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
    /// Returns the addresses of a name that the hop may connect to.
    ///
    /// # Errors
    /// [`Refusal`] if there are addresses and the hop may connect to no address.
    pub fn allowed(&self, name: &str, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refusal> {
        // A resolver's addresses have port 0 if the port is the URL's. Grants are asked with the port that is connected
        // to; a name that the hop does not connect to has port 0, which no grant names.
        let resolved_port = addresses.first().map_or(0, SocketAddr::port);
        let port = self.peers.iter().find(|(peer, _)| peer == name).map_or(0, |(_, port)| *port);
        let with_port = |port| move |address: SocketAddr| SocketAddr::new(address.ip(), port);
        let allowed = self.filter.allowed(name, addresses.into_iter().map(with_port(port)).collect())?;
        Ok(allowed.into_iter().map(with_port(resolved_port)).collect())
    }
}
