//! Resolution of host names by the system's resolver.

use std::io;
use std::net::IpAddr;

/// Resolves a name with the C library's `getaddrinfo`, on tokio's pool of blocking threads. Addresses come in the C
/// library's order. Nothing is cached.
///
/// # Errors
/// The error of `getaddrinfo`, when the name does not exist or no DNS server answers.
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
}
