//! SSH, spoken and timed by the host.

use std::time::Duration;

use crate::Kept;
use crate::bindings::sentrynet::probe::ssh;
use crate::http::Invalid;
pub use ssh::{Error, Output, Server, Session};

/// A connection being described. The host checks each part as it is set.
pub struct Client(ssh::Client);

impl Client {
    /// # Errors
    /// When there can be no such host or port.
    pub fn new(host: &str, port: u16) -> Result<Self, Invalid> {
        ssh::Client::new(host, port).map(Self).map_err(Invalid)
    }

    /// Who to log in as.
    ///
    /// # Errors
    /// When it is no name.
    pub fn username(&self, name: &str) -> Result<(), Invalid> {
        self.0.username(name).map_err(Invalid)
    }

    /// For all that happens on the connection; 30 s unless set.
    pub fn timeout(&self, timeout: Duration) {
        self.0.timeout(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
    }

    /// A file of host keys to trust, instead of the user's and the system's.
    ///
    /// # Errors
    /// When it cannot be read, or the configuration does not name it.
    pub fn known_hosts(&self, path: &str) -> Result<(), Invalid> {
        self.0.known_hosts(path).map_err(Invalid)
    }

    /// Trusts one host key alone: its fingerprint, or the key itself. May be called for several.
    ///
    /// # Errors
    /// When it is neither.
    pub fn host_key(&self, key: &str) -> Result<(), Invalid> {
        self.0.host_key(key).map_err(Invalid)
    }

    /// Trusts the key of a host that is not known yet, and remembers it.
    pub fn accept_new(&self) {
        self.0.accept_new();
    }

    /// A private key to authenticate with.
    ///
    /// # Errors
    /// When it cannot be used, or the configuration does not name it.
    pub fn identity(&self, path: &str, passphrase: Option<&Kept>) -> Result<(), Invalid> {
        self.0.identity(path, passphrase.map(Kept::pointer)).map_err(Invalid)
    }

    /// Authenticates with the keys that the SSH agent holds.
    ///
    /// # Errors
    /// When there is no agent.
    pub fn agent(&self) -> Result<(), Invalid> {
        self.0.agent().map_err(Invalid)
    }

    /// Authenticates with a password that the host keeps.
    ///
    /// # Errors
    /// When there is none.
    pub fn password(&self, setting: &Kept) -> Result<(), Invalid> {
        self.0.password(setting.pointer()).map_err(Invalid)
    }

    /// Connects, exchanges banners and keys, and holds the host's key against what is trusted.
    ///
    /// # Errors
    /// When there is no connection that can be trusted; `?` makes it a failure with the error's name as its reason.
    pub fn connect(&self) -> Result<Session, Error> {
        self.0.connect()
    }
}
