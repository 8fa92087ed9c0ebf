//! The options of a TCP socket. They are stored until the guest connects, since the system's socket is created then.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};

/// The options that a guest can set. `None` leaves the system's default.
#[derive(Debug, Clone, Copy, Default)]
pub struct SocketOptions {
    /// True if keep-alive packets are sent.
    pub keep_alive: bool,
    /// The idle time before the first keep-alive packet, in nanoseconds.
    pub keep_alive_idle_ns: Option<u64>,
    /// The time between keep-alive packets, in nanoseconds.
    pub keep_alive_interval_ns: Option<u64>,
    /// The number of keep-alive packets without an answer after which the connection is broken.
    pub keep_alive_count: Option<u32>,
    /// The hop limit (IPv6) or time to live (IPv4) of packets.
    pub hop_limit: Option<u8>,
    /// The size of the receive buffer in bytes.
    pub receive_buffer: Option<u64>,
    /// The size of the send buffer in bytes.
    pub send_buffer: Option<u64>,
}

impl SocketOptions {
    /// Linux's idle time before the first keep-alive packet: 2 hours.
    pub const DEFAULT_KEEP_ALIVE_IDLE_NS: u64 = 7_200_000_000_000;
    /// Linux's time between keep-alive packets: 75 seconds.
    pub const DEFAULT_KEEP_ALIVE_INTERVAL_NS: u64 = 75_000_000_000;
    /// Linux's number of unanswered keep-alive packets after which a connection is broken.
    pub const DEFAULT_KEEP_ALIVE_COUNT: u32 = 9;
    /// Linux's hop limit.
    pub const DEFAULT_HOP_LIMIT: u8 = 64;
    /// The size of each buffer in bytes that is returned to the guest until it sets another.
    pub const DEFAULT_BUFFER_BYTES: u64 = 128 << 10;

    /// Connects a new socket with these options.
    ///
    /// # Errors
    /// The errors of the system.
    pub async fn connect(self, peer: SocketAddr) -> io::Result<TcpStream> {
        let socket = if peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        self.apply(&SockRef::from(&socket), peer.ip());
        let stream = socket.connect(peer).await?;
        // Disables Nagle's algorithm, for which WASI has no option. A guest writes a whole message by one call, which
        // the algorithm would only delay.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    /// Sets the options on a socket that is connected, or will be, to `peer`. An option that the system refuses is
    /// ignored.
    pub fn apply(self, socket: &SockRef<'_>, peer: IpAddr) {
        /// The greatest size that is passed to the kernel, whose own maximum is lower.
        const MAX_BUFFER_BYTES: u64 = 1 << 20;
        // The system has these times in whole seconds, of which there must be at least one.
        let from_ns = |time: u64| Duration::from_nanos(time).max(Duration::from_secs(1));
        let mut times = TcpKeepalive::new();
        times = self.keep_alive_idle_ns.map_or(times.clone(), |time| times.with_time(from_ns(time)));
        times = self.keep_alive_interval_ns.map_or(times.clone(), |time| times.with_interval(from_ns(time)));
        times = self.keep_alive_count.map_or(times.clone(), |count| times.with_retries(count));
        let _ = socket.set_tcp_keepalive(&times);
        let _ = socket.set_keepalive(self.keep_alive);
        if let Some(limit) = self.hop_limit.map(u32::from) {
            let _ = if peer.is_ipv4() { socket.set_ttl_v4(limit) } else { socket.set_unicast_hops_v6(limit) };
        }
        let size = |bytes: u64| usize::try_from(bytes.min(MAX_BUFFER_BYTES)).unwrap_or(usize::MAX);
        let _ = self.receive_buffer.map(|bytes| socket.set_recv_buffer_size(size(bytes)));
        let _ = self.send_buffer.map(|bytes| socket.set_send_buffer_size(size(bytes)));
    }
}
