//! Parameters of a connection.

use crate::capability::ssh::credential::Credential;
use crate::capability::ssh::trust::Trust;
use crate::capability::timeout::Timeout;

/// Where to connect, as whom, and what to trust.
#[derive(Debug, Clone)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub username: Option<String>,
    /// Shown to the server in this order.
    pub credentials: Vec<Credential>,
    pub trust: Trust,
    /// For all that happens on the connection.
    pub limit: Timeout,
}
