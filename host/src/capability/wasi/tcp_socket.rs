//! The interface `tcp`: connections to whom the probe may connect to, each a span `tcp` under the guest's innermost open
//! one. A socket here is a plan until it connects: a guest that makes thousands takes nothing of the system's.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::tcp::{Host, HostTcpSocket, ShutdownType};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, Network, Pollable, SocketError, SocketResult, TcpSocket, UdpSocket,
    subscribe,
};

use crate::capability::Context;
use crate::capability::grant::List;
use crate::capability::timeout::Timeout;
use crate::capability::wasi::connection::Connection;
use crate::capability::wasi::socket_options::Options;
use crate::capability::wasi::span::Record;
use crate::capability::wasi::tcp_streams::{Reader, Writer};

/// A socket, in the place of WASI's own.
struct Socket {
    family: IpAddressFamily,
    options: Options,
    state: State,
}

enum State {
    New { bound: bool, binding: bool },
    Connecting(AbortOnDropHandle<io::Result<tokio::net::TcpStream>>, Arc<Record>),
    Dialled(io::Result<tokio::net::TcpStream>, Arc<Record>),
    Connected(Arc<Connection>),
    Closed,
}

impl tcp_create_socket::Host for Context {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        let state = State::New { bound: false, binding: false };
        let socket = self.table.push(Socket { family, options: Options::default(), state })?;
        Ok(Resource::new_own(socket.rep()))
    }
}

impl udp_create_socket::Host for Context {
    async fn create_udp_socket(&mut self, _: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        self.shut("UDP is no probe's to use: it may connect by TCP")
    }
}

impl Host for Context {}

impl HostTcpSocket for Context {
    async fn start_bind(
        &mut self,
        socket: Resource<TcpSocket>,
        network: Resource<Network>,
        local: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        let local = SocketAddr::from(local);
        let socket = self.table.get_mut(&ours(&socket))?;
        match &mut socket.state {
            State::New { binding: true, .. } | State::Connecting(..) => Err(ErrorCode::ConcurrencyConflict.into()),
            State::New { bound: false, .. } if !socket.family.holds(local.ip()) => {
                Err(ErrorCode::InvalidArgument.into())
            }
            // Who connects is bound to an address of the system's choice anyway.
            State::New { bound: false, binding } if local.ip().is_unspecified() && local.port() == 0 => {
                *binding = true;
                Ok(())
            }
            State::New { bound: false, .. } => self.shut("an address of this machine's is no probe's to choose"),
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }

    fn finish_bind(&mut self, socket: Resource<TcpSocket>) -> SocketResult<()> {
        match &mut self.table.get_mut(&ours(&socket))?.state {
            State::New { bound, binding } if *binding => {
                (*bound, *binding) = (true, false);
                Ok(())
            }
            _ => Err(ErrorCode::NotInProgress.into()),
        }
    }

    fn start_connect(
        &mut self,
        socket: Resource<TcpSocket>,
        network: Resource<Network>,
        remote: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        let (socket, to) = (ours(&socket), SocketAddr::from(remote));
        let Socket { family, options, state } = self.table.get(&socket)?;
        let (family, options) = (*family, *options);
        match state {
            State::New { binding: false, .. } => {}
            State::New { .. } | State::Connecting(..) | State::Dialled(..) => {
                return Err(ErrorCode::ConcurrencyConflict.into());
            }
            State::Connected(_) | State::Closed => return Err(ErrorCode::InvalidState.into()),
        }
        if !is_peer(to) || !family.holds(to.ip()) {
            return Err(ErrorCode::InvalidArgument.into());
        }
        self.may_send()?;
        let known = self.wasi().0.names.clone();
        let names = known.names_of(to.ip());
        if let Err(refusal) = self.probe.policy.grants.check_socket(List::Hosts, &names, to.ip(), to.port()) {
            return self.denied(&refusal);
        }
        self.accounting.quota.count_request().map_err(SocketError::trap)?;
        let open = self.acquire_connection().map_err(SocketError::trap)?;
        let name = names.into_iter().next().map(|name| {
            let led = known.addresses(&name);
            (name, led)
        });
        let record = Arc::new(Record::open(self.run.clone(), open, name, to));
        let patience = Timeout::new(Duration::MAX, self.deadline).duration();
        // As every exchange: see `http`.
        let dialling = self.exchanges.spawn(dial(options, to, patience, Arc::clone(&record)));
        self.table.get_mut(&socket)?.state = State::Connecting(AbortOnDropHandle::new(dialling), record);
        Ok(())
    }

    fn finish_connect(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let (id, deadline) = (ours(&socket), self.deadline);
        let socket = self.table.get_mut(&id)?;
        if !matches!(socket.state, State::Connecting(..) | State::Dialled(..)) {
            return Err(ErrorCode::NotInProgress.into());
        }
        if socket.poll(&mut Task::from_waker(Waker::noop())).is_pending() {
            return Err(ErrorCode::WouldBlock.into());
        }
        let State::Dialled(dialled, record) = std::mem::replace(&mut socket.state, State::Closed) else {
            return Err(ErrorCode::InvalidState.into());
        };
        let connection = Arc::new(Connection::new(dialled?, record, deadline));
        socket.state = State::Connected(Arc::clone(&connection));
        let reader: DynInputStream = Box::new(Reader(Arc::clone(&connection)));
        let writer: DynOutputStream = Box::new(Writer::new(connection, self.exchanges.clone()));
        Ok((self.table.push_child(reader, &id)?, self.table.push_child(writer, &id)?))
    }

    async fn start_listen(&mut self, socket: Resource<TcpSocket>) -> SocketResult<()> {
        self.table.get(&ours(&socket))?;
        self.shut("listening is no probe's to do: it may connect by TCP")
    }

    fn finish_listen(&mut self, socket: Resource<TcpSocket>) -> SocketResult<()> {
        self.table.get(&ours(&socket))?;
        Err(ErrorCode::NotInProgress.into())
    }

    fn accept(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        self.table.get(&ours(&socket))?;
        Err(ErrorCode::InvalidState.into())
    }

    fn local_address(&mut self, socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.connected(&socket)?.addresses()?.0.into())
    }

    fn remote_address(&mut self, socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.connected(&socket)?.addresses()?.1.into())
    }

    fn is_listening(&mut self, socket: Resource<TcpSocket>) -> wasmtime::Result<bool> {
        self.table.get(&ours(&socket))?;
        Ok(false)
    }

    fn address_family(&mut self, socket: Resource<TcpSocket>) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&ours(&socket))?.family)
    }

    fn set_listen_backlog_size(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.table.get(&ours(&socket))?;
        if value == 0 { Err(ErrorCode::InvalidArgument.into()) } else { Ok(()) }
    }

    fn keep_alive_enabled(&mut self, socket: Resource<TcpSocket>) -> SocketResult<bool> {
        Ok(self.options(&socket)?.keep_alive)
    }

    fn set_keep_alive_enabled(&mut self, socket: Resource<TcpSocket>, value: bool) -> SocketResult<()> {
        self.choose(&socket, true, |options| options.keep_alive = value)
    }

    fn keep_alive_idle_time(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(self.options(&socket)?.idle.unwrap_or(Options::IDLE))
    }

    fn set_keep_alive_idle_time(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.choose(&socket, value > 0, |options| options.idle = Some(value))
    }

    fn keep_alive_interval(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(self.options(&socket)?.interval.unwrap_or(Options::INTERVAL))
    }

    fn set_keep_alive_interval(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.choose(&socket, value > 0, |options| options.interval = Some(value))
    }

    fn keep_alive_count(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u32> {
        Ok(self.options(&socket)?.count.unwrap_or(Options::COUNT))
    }

    fn set_keep_alive_count(&mut self, socket: Resource<TcpSocket>, value: u32) -> SocketResult<()> {
        self.choose(&socket, value > 0, |options| options.count = Some(value))
    }

    fn hop_limit(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u8> {
        Ok(self.options(&socket)?.hop_limit.unwrap_or(Options::HOP_LIMIT))
    }

    fn set_hop_limit(&mut self, socket: Resource<TcpSocket>, value: u8) -> SocketResult<()> {
        self.choose(&socket, value > 0, |options| options.hop_limit = Some(value))
    }

    fn receive_buffer_size(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(self.options(&socket)?.receive_buffer.unwrap_or(Options::BUFFER))
    }

    fn set_receive_buffer_size(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.choose(&socket, value > 0, |options| options.receive_buffer = Some(value))
    }

    fn send_buffer_size(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(self.options(&socket)?.send_buffer.unwrap_or(Options::BUFFER))
    }

    fn set_send_buffer_size(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.choose(&socket, value > 0, |options| options.send_buffer = Some(value))
    }

    fn subscribe(&mut self, socket: Resource<TcpSocket>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, ours(&socket))
    }

    fn shutdown(&mut self, socket: Resource<TcpSocket>, how: ShutdownType) -> SocketResult<()> {
        self.connected(&socket)?.shut(match how {
            ShutdownType::Receive => Shutdown::Read,
            ShutdownType::Send => Shutdown::Write,
            ShutdownType::Both => Shutdown::Both,
        });
        Ok(())
    }

    fn drop(&mut self, socket: Resource<TcpSocket>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Socket>::new_own(socket.rep()))?;
        Ok(())
    }
}

impl Context {
    fn connected(&self, socket: &Resource<TcpSocket>) -> SocketResult<&Connection> {
        match &self.table.get(&ours(socket))?.state {
            State::Connected(connection) => Ok(connection),
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }

    fn options(&self, socket: &Resource<TcpSocket>) -> SocketResult<Options> {
        Ok(self.table.get(&ours(socket))?.options)
    }

    fn choose(
        &mut self,
        socket: &Resource<TcpSocket>,
        valid: bool,
        choice: impl FnOnce(&mut Options),
    ) -> SocketResult<()> {
        let socket = self.table.get_mut(&ours(socket))?;
        if !valid {
            return Err(ErrorCode::InvalidArgument.into());
        }
        choice(&mut socket.options);
        if let State::Connected(connection) = &socket.state {
            socket.options.set(&connection.socket(), connection.addresses()?.1.ip());
        }
        Ok(())
    }
}

impl Socket {
    fn poll(&mut self, task: &mut Task<'_>) -> Poll<()> {
        if let State::Connecting(dialling, record) = &mut self.state {
            let dialled = std::task::ready!(Pin::new(dialling).poll(task));
            let dialled = dialled.unwrap_or_else(|failed| Err(io::Error::other(failed)));
            self.state = State::Dialled(dialled, Arc::clone(record));
        }
        Poll::Ready(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let State::Connecting(_, record) = &self.state {
            record.given_up();
        }
    }
}

#[async_trait::async_trait]
impl Pollable for Socket {
    async fn ready(&mut self) {
        std::future::poll_fn(|task| self.poll(task)).await;
    }
}

/// Connects, and tells the record of it as it happens: the guest may look later.
async fn dial(
    options: Options,
    to: SocketAddr,
    patience: Duration,
    record: Arc<Record>,
) -> io::Result<tokio::net::TcpStream> {
    let dialled = tokio::time::timeout(patience, options.connect(to)).await;
    let dialled = dialled.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
    record.dialled(dialled.as_ref().err());
    dialled
}

/// What the bindings take for theirs.
fn ours(socket: &Resource<TcpSocket>) -> Resource<Socket> {
    Resource::new_borrow(socket.rep())
}

/// Whether an address is somebody's, who can be connected to.
fn is_peer(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(address) if address.is_broadcast());
    !(ip.is_unspecified() || ip.is_multicast() || broadcast || address.port() == 0)
}

trait Holds {
    /// Whether an address is of this family: one of IPv4 in IPv6's clothes is of neither.
    fn holds(self, address: IpAddr) -> bool;
}

impl Holds for IpAddressFamily {
    fn holds(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Ipv4, IpAddr::V4(_)) => true,
            (Self::Ipv6, IpAddr::V6(address)) => address.to_canonical().is_ipv6(),
            _ => false,
        }
    }
}
