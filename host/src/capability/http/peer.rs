//! The peer of a request: the host that it is for, and the host that it connects to.

use std::net::{IpAddr, SocketAddr};

use crate::capability::http::timing_hooks::Timestamps;
use crate::capability::http::tunnel::TunnelError;
use crate::trace::HostContact;

/// The host that a request is for, and the host that it connects to.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The URL's host. The server's certificate must be valid for it, and TLS sends it as the server's name if it is
    /// not an IP address.
    pub host: String,
    /// The name or address that the client connects to: the proxy's, that of `connect_to`, or the URL's.
    pub connect_host: String,
    pub connect_port: u16,
    /// The URL's port if the client connects to a proxy, otherwise `None`.
    pub port_behind_proxy: Option<u16>,
}

impl Peer {
    /// Returns the names that were resolved, for a person. If none were, returns the host that the client connects to.
    pub fn resolved_names(&self, timestamps: &Timestamps) -> String {
        if timestamps.names.is_empty() { self.connect_host.clone() } else { timestamps.names.join(" and ") }
    }

    /// Returns a message for a person about an HTTP proxy that opens no tunnel, or `None` if the connection to it has
    /// failed.
    pub fn tunnel_refusal(&self, error: &TunnelError, timestamps: &Timestamps) -> Option<String> {
        let (proxy, port) = (self.addresses(timestamps), self.port_behind_proxy?);
        let reason = match error {
            TunnelError::Refused { status: 407, answer } => {
                return Some(format!(
                    "{proxy} requires valid credentials: authorization required: it answers `{answer}`"
                ));
            }
            TunnelError::Refused { answer, .. } => format!("it answers `{answer}`"),
            TunnelError::Closed => "it closes the connection without an answer".to_owned(),
            TunnelError::TooLarge => "its answer has more than 16 KiB or 100 lines of headers".to_owned(),
            TunnelError::Malformed(malformed) => malformed.message.clone(),
            TunnelError::Io(_) => return None,
        };
        Some(format!("{proxy} did not connect to {}:{port}: {reason}", self.host))
    }

    /// Returns a message for a person if `cause`, the innermost error of an attempt to connect, is a refusal by a SOCKS
    /// proxy.
    pub fn socks_refusal(&self, cause: &str, timestamps: &Timestamps) -> Option<String> {
        let (proxy, port) = (self.addresses(timestamps), self.port_behind_proxy?);
        Some(match cause.strip_prefix("SOCKS error: ")? {
            "credentials not accepted" => format!("{proxy} requires valid credentials: authorization failed"),
            // hyper-util reports this if the proxy accepts none of the offered methods of authentication.
            "server does not support user/pass authentication" => {
                format!("{proxy} does not support a user name and password")
            }
            reason => format!("{proxy} did not connect to {}:{port}: {reason}", self.host),
        })
    }

    /// Returns true if the client connects to this machine.
    pub fn is_loopback(&self, timestamps: &Timestamps) -> bool {
        HostContact::is_loopback(&self.connect_host, self.ip_addresses(timestamps))
    }

    /// Returns the addresses that the client tried to connect to, or would have tried.
    pub fn ip_addresses(&self, timestamps: &Timestamps) -> Vec<IpAddr> {
        let literal = self.connect_host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        // With a SOCKS proxy, the last name that was resolved may be the URL's host: its addresses are not the proxy's.
        let are_of_connect_host = timestamps.names.last().is_none_or(|name| *name == self.connect_host);
        let resolved = timestamps.addresses.iter().filter(|_| are_of_connect_host);
        literal.iter().chain(resolved).copied().collect()
    }

    /// Returns, for a person, the addresses that the client tried to connect to, or would have tried, each with the
    /// port: at most three. Returns the name if there are none.
    pub fn addresses(&self, timestamps: &Timestamps) -> String {
        const MAX_ADDRESSES: usize = 3;
        let addresses = self.ip_addresses(timestamps);
        let shown: Vec<_> = addresses
            .iter()
            .take(MAX_ADDRESSES)
            .map(|address| SocketAddr::new(*address, self.connect_port).to_string())
            .collect();
        let shown = match addresses.len() {
            0 => format!("{}:{}", self.connect_host, self.connect_port),
            count if count > MAX_ADDRESSES => format!("{} and {} more", shown.join(", "), count - MAX_ADDRESSES),
            _ => shown.join(" and "),
        };
        if self.port_behind_proxy.is_some() { format!("the proxy {shown}") } else { shown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_three_addresses_are_shown() {
        let shown = |host: &str, addresses: &[&str]| {
            let addresses =
                addresses.iter().map(|address| address.parse().expect("the test's addresses are valid")).collect();
            let host = host.to_owned();
            let peer = Peer { connect_host: host.clone(), host, connect_port: 80, port_behind_proxy: None };
            peer.addresses(&Timestamps { addresses, ..Timestamps::default() })
        };
        assert_eq!(shown("h", &["192.0.2.1", "2001:db8::1"]), "192.0.2.1:80 and [2001:db8::1]:80");
        assert_eq!(
            shown("h", &["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"]),
            "192.0.2.1:80, 192.0.2.2:80, 192.0.2.3:80 and 2 more"
        );
        assert_eq!(shown("[::1]", &[]), "[::1]:80");
        assert_eq!(shown("h", &[]), "h:80");
    }
}
