//! What the network brought back from a host: a fact of the host's own, which no guest can write.

use std::net::IpAddr;
use std::time::Instant;

/// What the network brought back from a host.
#[derive(Debug, Clone)]
pub struct Contact {
    pub host: String,
    /// Of this machine's own: there is no network between.
    pub loopback: bool,
    /// Something came back, be it a refusal.
    pub answered: bool,
    pub from: Instant,
    /// When the last of it came back, or there had been nothing for long enough.
    pub to: Instant,
}

impl Contact {
    /// Whether a host is of this machine's own: by its addresses, or where there are none, by its name.
    pub fn is_loopback(host: &str, addresses: impl IntoIterator<Item = IpAddr>) -> bool {
        let mut addresses = addresses.into_iter().peekable();
        if addresses.peek().is_none() {
            return host == "localhost" || host.ends_with(".localhost");
        }
        addresses.map(|address| address.to_canonical()).all(|address| address.is_loopback() || address.is_unspecified())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_hosts_are_of_this_machine() {
        let check = |host: &str, addresses: &[&str], expected: bool| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().expect("an address")).collect();
            assert_eq!(Contact::is_loopback(host, addresses), expected, "{host}");
        };
        check("localhost", &[], true);
        check("shop.localhost", &[], true);
        check("notlocalhost", &[], false);
        check("shop.example", &["127.0.0.7", "::1"], true);
        check("shop.example", &["127.0.0.1", "192.0.2.1"], false);
        check("localhost", &["192.0.2.1"], false);
        check("::ffff:127.0.0.1", &["::ffff:127.0.0.1"], true);
        check("0.0.0.0", &["0.0.0.0"], true);
        check("10.0.0.1", &["10.0.0.1"], false);
    }
}
