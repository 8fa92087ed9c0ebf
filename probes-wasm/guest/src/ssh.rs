//! SSH connections, which the host makes and times.

use std::time::Duration;

use crate::SecretSetting;
use crate::host::ssh;
use crate::http::Invalid;
pub use ssh::{Error, Output, Server, Session};

/// The description of a connection. The host checks each part when it is set.
pub struct Client(ssh::Client);

impl Client {
    /// Creates a client for a host name or IP address, and a port.
    ///
    /// # Errors
    /// Returns [`Invalid`] if it is neither a name nor an address, if it is longer than 253 bytes, or if the port is 0.
    pub fn new(host: &str, port: u16) -> Result<Self, Invalid> {
        ssh::Client::new(host, port).map(Self).map_err(Invalid::new)
    }

    /// Sets the name of the user to log in as.
    ///
    /// # Errors
    /// Returns [`Invalid`] if it is empty, longer than 256 bytes, or has control characters.
    pub fn username(&self, name: &str) -> Result<(), Invalid> {
        self.0.username(name).map_err(Invalid::new)
    }

    /// Sets the time for all that happens on the connection. The default is 30 s.
    pub fn timeout(&self, timeout: Duration) {
        self.0.timeout(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
    }

    /// Trusts the host keys in a file, instead of the user's and the system's known hosts.
    ///
    /// # Errors
    /// Returns [`Invalid`] if the file cannot be read, or if the probe's settings do not contain its path.
    pub fn known_hosts(&self, path: &str) -> Result<(), Invalid> {
        self.0.known_hosts(path).map_err(Invalid::new)
    }

    /// Trusts one host key, and no other: its fingerprint, or the public key itself. May be called for up to 100 keys.
    ///
    /// # Errors
    /// Returns [`Invalid`] if it is neither, or one key too many.
    pub fn host_key(&self, key: &str) -> Result<(), Invalid> {
        self.0.host_key(key).map_err(Invalid::new)
    }

    /// Accepts the key of a host that is not known yet, and writes it to the file of known hosts. [`Client::connect`]
    /// fails unless the operator allows that, and for a component from a file unless [`Client::known_hosts`] names the
    /// file.
    pub fn accept_new(&self) {
        self.0.accept_new();
    }

    /// Sets the algorithms of one kind (`kex`, `host-key`, `cipher` or `mac`) that the connection may use. `names` is a
    /// list as in OpenSSH's `ssh_config`: names with commas between them, after `+` to add them to the default ones.
    ///
    /// # Errors
    /// Returns [`Invalid`] if the kind or a name is unknown, or if no algorithm is left.
    pub fn algorithms(&self, kind: &str, names: &str) -> Result<(), Invalid> {
        self.0.algorithms(kind, names).map_err(Invalid::new)
    }

    /// Adds a private key to log in with, from a file.
    ///
    /// # Errors
    /// Returns [`Invalid`] if the key cannot be used, or if the probe's settings do not contain its path.
    pub fn identity(&self, path: &str, passphrase: Option<&SecretSetting>) -> Result<(), Invalid> {
        self.0.identity(path, passphrase.map(SecretSetting::pointer)).map_err(Invalid::new)
    }

    /// Adds the keys that the SSH agent holds to log in with.
    ///
    /// # Errors
    /// Returns [`Invalid`] if there is no agent, or if the operator does not allow it.
    pub fn agent(&self) -> Result<(), Invalid> {
        self.0.agent().map_err(Invalid::new)
    }

    /// Adds one of the keys that the SSH agent holds to log in with, by the file of its public key.
    ///
    /// # Errors
    /// Returns [`Invalid`] if there is no agent, if the operator does not allow it, if the file is no public key, or if
    /// the probe's settings do not contain its path.
    pub fn agent_key(&self, path: &str) -> Result<(), Invalid> {
        self.0.agent_key(path).map_err(Invalid::new)
    }

    /// Adds a password to log in with. There can be 10 credentials: keys, passwords and agents together.
    ///
    /// # Errors
    /// Returns [`Invalid`] if there is no such setting, or if it is no text.
    pub fn password(&self, setting: &SecretSetting) -> Result<(), Invalid> {
        self.0.password(setting.pointer()).map_err(Invalid::new)
    }

    /// Opens the connection: connects, exchanges banners and keys, and verifies the host's key. It does not log in.
    ///
    /// # Errors
    /// Returns an [`Error`] if there is no connection that can be trusted. The `?` operator makes it a failure whose
    /// reason is the error's name.
    pub fn connect(&self) -> Result<Session, Error> {
        self.0.connect()
    }
}
