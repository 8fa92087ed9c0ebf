//! The state of a TCP socket, and the task that connects it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::IpAddressFamily;
use wasmtime_wasi::p2::{Pollable, TcpSocket};

use crate::capability::opening_limit::OpeningPermit;
use crate::capability::wasi::connection::Connection;
use crate::capability::wasi::socket_options::SocketOptions;
use crate::capability::wasi::span::TcpSpan;

/// A TCP socket. The resource table contains it in place of wasmtime's `TcpSocket`.
///
/// It has no socket of the system until it connects, so that a guest that makes thousands of sockets uses none.
pub struct Socket {
    /// IPv4 or IPv6.
    pub family: IpAddressFamily,
    /// The options that the guest has set.
    pub options: SocketOptions,
    /// The state.
    pub state: State,
}

/// The state of a socket.
pub enum State {
    /// The socket has not been connected. Binding changes nothing but this state, since only binding to any address and
    /// port is allowed.
    New {
        /// True after `finish-bind`.
        is_bound: bool,
        /// True between `start-bind` and `finish-bind`.
        is_binding: bool,
    },
    /// A task connects the socket.
    Connecting(AbortOnDropHandle<io::Result<TcpStream>>, Arc<TcpSpan>),
    /// The task has ended, and the guest has not called `finish-connect` since.
    ConnectEnded(io::Result<TcpStream>, Arc<TcpSpan>),
    /// The socket is connected.
    Connected(Arc<Connection>),
    /// Connecting has failed.
    Closed,
}

impl Socket {
    /// Returns `Ready` unless the socket is connecting.
    pub fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        if let State::Connecting(task, span) = &mut self.state {
            let connected = std::task::ready!(Pin::new(task).poll(cx));
            let connected = connected.unwrap_or_else(|error| Err(io::Error::other(error)));
            self.state = State::ConnectEnded(connected, Arc::clone(span));
        }
        Poll::Ready(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let State::Connecting(_, span) = &self.state {
            span.cancel_connect();
        }
    }
}

#[async_trait::async_trait]
impl Pollable for Socket {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }
}

/// Waits for `opening`, and connects to a peer. Records the end of the attempt in the span at once, since the guest may
/// call `finish-connect` much later.
///
/// # Errors
/// The errors of the system, and [`ErrorKind::TimedOut`] after `timeout`.
pub async fn connect(
    options: SocketOptions,
    peer: SocketAddr,
    timeout: Duration,
    opening: impl Future<Output = OpeningPermit>,
    span: Arc<TcpSpan>,
) -> io::Result<TcpStream> {
    let connecting = async {
        let _opening = opening.await;
        span.begin_connect();
        options.connect(peer).await
    };
    let connected = tokio::time::timeout(timeout, connecting).await;
    let connected = connected.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
    span.end_connect(connected.as_ref().err());
    connected
}

/// Converts a handle from the type in the bindings to the type of the entry in the resource table.
pub fn as_socket(socket: &Resource<TcpSocket>) -> Resource<Socket> {
    Resource::new_borrow(socket.rep())
}

/// Returns true if an address and port are those of a single host.
pub fn is_unicast(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let is_broadcast = matches!(ip, IpAddr::V4(address) if address.is_broadcast());
    !(ip.is_unspecified() || ip.is_multicast() || is_broadcast || address.port() == 0)
}

/// Returns true if an address belongs to a family. An IPv4-mapped IPv6 address belongs to neither.
pub fn is_of_family(address: IpAddr, family: IpAddressFamily) -> bool {
    match (family, address) {
        (IpAddressFamily::Ipv4, IpAddr::V4(_)) => true,
        (IpAddressFamily::Ipv6, IpAddr::V6(address)) => address.to_canonical().is_ipv6(),
        _ => false,
    }
}
