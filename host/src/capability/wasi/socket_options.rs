//! A socket's options: kept until there is a socket to set them on, which no guest has that does not connect.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};

/// What a guest can choose, each as the system has it unless it does. Times are in nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    pub keep_alive: bool,
    pub idle: Option<u64>,
    pub interval: Option<u64>,
    pub count: Option<u32>,
    pub hop_limit: Option<u8>,
    pub receive_buffer: Option<u64>,
    pub send_buffer: Option<u64>,
}

impl Options {
    /// What Linux has unless somebody chooses.
    pub const IDLE: u64 = 7_200_000_000_000;
    pub const INTERVAL: u64 = 75_000_000_000;
    pub const COUNT: u32 = 9;
    pub const HOP_LIMIT: u8 = 64;
    pub const BUFFER: u64 = 128 << 10;

    /// Connects with them.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn connect(self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        self.set(&SockRef::from(&socket), to.ip());
        let stream = socket.connect(to).await?;
        // A guest has no way to ask for it, and writes what is to be sent at once.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    /// Sets them on a socket that goes to an address. They are wishes: one that the system does not grant is no error.
    pub fn set(self, socket: &SockRef<'_>, to: IpAddr) {
        let nanoseconds = |time: u64| Duration::from_nanos(time).max(Duration::from_secs(1));
        let mut times = TcpKeepalive::new();
        times = self.idle.map_or(times.clone(), |time| times.with_time(nanoseconds(time)));
        times = self.interval.map_or(times.clone(), |time| times.with_interval(nanoseconds(time)));
        times = self.count.map_or(times.clone(), |count| times.with_retries(count));
        let _ = socket.set_tcp_keepalive(&times);
        let _ = socket.set_keepalive(self.keep_alive);
        if let Some(limit) = self.hop_limit.map(u32::from) {
            let _ = if to.is_ipv4() { socket.set_ttl_v4(limit) } else { socket.set_unicast_hops_v6(limit) };
        }
        // The kernel has bounds of its own, below this.
        let size = |bytes: u64| usize::try_from(bytes.min(1 << 20)).unwrap_or(usize::MAX);
        let _ = self.receive_buffer.map(|bytes| socket.set_recv_buffer_size(size(bytes)));
        let _ = self.send_buffer.map(|bytes| socket.set_send_buffer_size(size(bytes)));
    }
}
