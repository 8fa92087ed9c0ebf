//! Attempts to reach hosts. They are recorded by SentryNet itself; a guest cannot write them.

use std::net::IpAddr;
use std::time::Instant;

/// An attempt to reach a host, and whether the host answered.
#[derive(Debug, Clone)]
pub struct HostContact {
    /// The name or the address of the host.
    pub host: String,
    /// True if the host is this machine, so that no network is involved.
    pub loopback: bool,
    /// True if anything came back from the host, for example a refused connection.
    pub answered: bool,
    /// The start of the attempt.
    pub from: Instant,
    /// The time at which the last bytes of the answer arrived or, without an answer, at which the attempt ended.
    pub to: Instant,
}

impl HostContact {
    /// Returns true if a host is this machine: all its addresses are loopback or unspecified or, without any address,
    /// its name is `localhost` or ends with `.localhost`.
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
    fn loopback_hosts_are_recognised() {
        let check = |host: &str, addresses: &[&str], expected: bool| {
            let addresses: Vec<IpAddr> =
                addresses.iter().map(|address| address.parse().expect("the addresses of the test are valid")).collect();
            assert_eq!(HostContact::is_loopback(host, addresses), expected, "{host}");
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
