//! Facts about a server, recorded while the connection is set up.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

/// The facts about one server. Clones share them: the stream and russh's handler record them, the connection reads them.
#[derive(Clone, Default)]
pub struct Handshake(Arc<Mutex<HandshakeFacts>>);

/// The facts about one server that are known so far.
#[derive(Clone, Default)]
pub struct HandshakeFacts {
    /// The bytes that the server sent in place of a banner, at most 1 KiB; empty once there is a banner.
    pub preface: Vec<u8>,
    /// The server's banner, and the time at which it was complete.
    pub banner: Option<(String, Instant)>,
    /// The host key that the server showed.
    pub host_key: Option<HostKey>,
    /// The algorithms that were negotiated.
    pub algorithms: Option<Algorithms>,
    /// True once the user has logged in.
    pub is_authenticated: bool,
    /// The message with which the server disconnected.
    pub disconnect_message: Option<String>,
    /// The message of the protocol error with which russh ended the connection.
    pub protocol_error: Option<String>,
}

/// A host key.
#[derive(Clone)]
pub struct HostKey {
    /// The type, such as `ssh-ed25519`.
    pub kind: String,
    /// The fingerprint: `SHA256:…`.
    pub fingerprint: String,
}

/// The algorithms of a connection.
#[derive(Clone)]
pub struct Algorithms {
    /// The key exchange.
    pub kex: String,
    /// The cipher.
    pub cipher: String,
    /// The MAC; `None` if the cipher authenticates by itself.
    pub mac: Option<String>,
}

impl Handshake {
    /// Returns a copy of the facts that are known so far.
    pub fn read(&self) -> HandshakeFacts {
        self.0.lock().clone()
    }

    /// Changes the facts.
    pub fn record(&self, change: impl FnOnce(&mut HandshakeFacts)) {
        change(&mut self.0.lock());
    }
}
