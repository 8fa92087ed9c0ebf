//! The parameters of a connection.

use crate::capability::file_calls::FileCalls;
use crate::capability::ssh::algorithms::AllowedAlgorithms;
use crate::capability::ssh::credential::Credential;
use crate::capability::ssh::trust::Trust;
use crate::capability::timeout::Timeout;

/// The server to connect to, the user to log in as, and the host keys to trust.
#[derive(Clone)]
pub struct Target {
    /// A name or an IP address; an IPv6 address may be in brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The user to log in as; `None` if the guest set none.
    pub username: Option<String>,
    /// The credentials, in the order in which they are tried.
    pub credentials: Vec<Credential>,
    /// The algorithms that the connection may use.
    pub algorithms: AllowedAlgorithms,
    /// The host keys to trust.
    pub trust: Trust,
    /// The time for all that happens on the connection.
    pub timeout: Timeout,
    /// Reads the files of keys and known hosts, and writes the latter.
    pub files: FileCalls,
}
