//! Facts about a server, recorded while the connection is set up.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::watch;

/// The facts about one server. Clones share them: the stream and russh's handler record them, the connection reads
/// them.
#[derive(Clone, Default)]
pub struct Handshake {
    facts: Arc<Mutex<HandshakeFacts>>,
    /// Counts how often russh has read all that the server sent, and waits for more.
    idle: Arc<watch::Sender<u64>>,
}

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
    /// True if the server has sent a text to show before a login, which is not shown here, since
    /// [`Handshake::record_idle`] was called last.
    pub has_auth_banner: bool,
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
        self.facts.lock().clone()
    }

    /// Changes the facts.
    pub fn record(&self, change: impl FnOnce(&mut HandshakeFacts)) {
        change(&mut self.facts.lock());
    }

    /// Records that russh has read all that the server sent, and waits for more.
    pub fn record_idle(&self) {
        if !std::mem::take(&mut self.facts.lock().has_auth_banner) {
            self.idle.send_modify(|count| *count += 1);
        }
    }

    /// Returns a receiver that learns of each call of [`Handshake::record_idle`] from now on, unless a text to show was
    /// what the server sent.
    pub fn watch_idle(&self) -> watch::Receiver<u64> {
        self.idle.subscribe()
    }
}
