//! The interface `tcp`: connections to peers that the operator allows.

use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::task::{Context as TaskContext, Waker};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::tcp::{Host, HostTcpSocket, ShutdownType};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, Network, SocketError, SocketResult, TcpSocket, UdpSocket, subscribe,
};

use crate::capability::Context;
use crate::capability::grant::List;
use crate::capability::timeout::Timeout;
use crate::capability::wasi::connection::Connection;
use crate::capability::wasi::socket_options::SocketOptions;
use crate::capability::wasi::socket_state::{Socket, State, as_socket, connect, is_of_family, is_unicast};
use crate::capability::wasi::span::TcpSpan;
use crate::capability::wasi::tcp_streams::{TcpReader, TcpWriter};

impl tcp_create_socket::Host for Context {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        let state = State::New { is_bound: false, is_binding: false };
        let socket = self.table.push(Socket { family, options: SocketOptions::default(), state })?;
        Ok(Resource::new_own(socket.rep()))
    }
}

impl udp_create_socket::Host for Context {
    async fn create_udp_socket(&mut self, _: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        self.deny_to_all("probes cannot use UDP: they can only connect by TCP")
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
        let socket = self.table.get_mut(&as_socket(&socket))?;
        match &mut socket.state {
            State::New { is_binding: true, .. } | State::Connecting(..) => Err(ErrorCode::ConcurrencyConflict.into()),
            State::New { is_bound: false, .. } if !is_of_family(local.ip(), socket.family) => {
                Err(ErrorCode::InvalidArgument.into())
            }
            // The system chooses the address and port when the socket connects.
            State::New { is_bound: false, is_binding } if local.ip().is_unspecified() && local.port() == 0 => {
                *is_binding = true;
                Ok(())
            }
            State::New { is_bound: false, .. } => self.deny_to_all("probes cannot bind to a local address or port"),
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }

    fn finish_bind(&mut self, socket: Resource<TcpSocket>) -> SocketResult<()> {
        match &mut self.table.get_mut(&as_socket(&socket))?.state {
            State::New { is_bound, is_binding } if *is_binding => {
                (*is_bound, *is_binding) = (true, false);
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
        let (socket, peer) = (as_socket(&socket), SocketAddr::from(remote));
        let Socket { family, options, state } = self.table.get(&socket)?;
        let (family, options) = (*family, *options);
        match state {
            State::New { is_binding: false, .. } => {}
            State::New { .. } | State::Connecting(..) | State::ConnectEnded(..) => {
                return Err(ErrorCode::ConcurrencyConflict.into());
            }
            State::Connected(_) | State::Closed => return Err(ErrorCode::InvalidState.into()),
        }
        if !is_unicast(peer) || !is_of_family(peer.ip(), family) {
            return Err(ErrorCode::InvalidArgument.into());
        }
        self.check_may_send()?;
        let resolved = self.wasi().0.resolved_names.names_of(peer.ip());
        let names: Vec<_> = resolved.iter().map(|resolved| resolved.name.clone()).collect();
        if let Err(refusal) = self.probe.policy.grants.check_socket(List::Hosts, &names, peer.ip(), peer.port()) {
            return self.deny(&refusal);
        }
        self.accounting.quota.count_request().map_err(SocketError::trap)?;
        let permit = self.acquire_connection().map_err(SocketError::trap)?;
        let span = Arc::new(TcpSpan::open(self.run.clone(), permit, resolved.into_iter().next(), peer));
        let timeout = Timeout::new(Duration::MAX, self.deadline).duration();
        // The socket connects in a task of its own, so that guests that compute do not delay the connection.
        let opening = self.openings.wait(span.host(), peer.port());
        let connecting = self.exchanges.spawn(connect(options, peer, timeout, opening, Arc::clone(&span)));
        self.table.get_mut(&socket)?.state = State::Connecting(AbortOnDropHandle::new(connecting), span);
        Ok(())
    }

    fn finish_connect(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let (id, deadline) = (as_socket(&socket), self.deadline);
        let socket = self.table.get_mut(&id)?;
        if !matches!(socket.state, State::Connecting(..) | State::ConnectEnded(..)) {
            return Err(ErrorCode::NotInProgress.into());
        }
        if socket.poll(&mut TaskContext::from_waker(Waker::noop())).is_pending() {
            return Err(ErrorCode::WouldBlock.into());
        }
        let State::ConnectEnded(connected, span) = std::mem::replace(&mut socket.state, State::Closed) else {
            return Err(ErrorCode::InvalidState.into());
        };
        let connection = Arc::new(Connection::new(connected?, span, deadline));
        socket.state = State::Connected(Arc::clone(&connection));
        let reader: DynInputStream = Box::new(TcpReader(Arc::clone(&connection)));
        let writer: DynOutputStream = Box::new(TcpWriter::new(connection, self.exchanges.clone()));
        Ok((self.table.push_child(reader, &id)?, self.table.push_child(writer, &id)?))
    }

    async fn start_listen(&mut self, socket: Resource<TcpSocket>) -> SocketResult<()> {
        self.table.get(&as_socket(&socket))?;
        self.deny_to_all("probes cannot listen: they can only connect by TCP")
    }

    fn finish_listen(&mut self, socket: Resource<TcpSocket>) -> SocketResult<()> {
        self.table.get(&as_socket(&socket))?;
        Err(ErrorCode::NotInProgress.into())
    }

    fn accept(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        self.table.get(&as_socket(&socket))?;
        Err(ErrorCode::InvalidState.into())
    }

    fn local_address(&mut self, socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.connected(&socket)?.addresses()?.0.into())
    }

    fn remote_address(&mut self, socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.connected(&socket)?.addresses()?.1.into())
    }

    fn is_listening(&mut self, socket: Resource<TcpSocket>) -> wasmtime::Result<bool> {
        self.table.get(&as_socket(&socket))?;
        Ok(false)
    }

    fn address_family(&mut self, socket: Resource<TcpSocket>) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&as_socket(&socket))?.family)
    }

    fn set_listen_backlog_size(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.table.get(&as_socket(&socket))?;
        if value == 0 { Err(ErrorCode::InvalidArgument.into()) } else { Ok(()) }
    }

    fn keep_alive_enabled(&mut self, socket: Resource<TcpSocket>) -> SocketResult<bool> {
        Ok(self.options(&socket)?.keep_alive)
    }

    fn set_keep_alive_enabled(&mut self, socket: Resource<TcpSocket>, value: bool) -> SocketResult<()> {
        self.set_option(&socket, true, |options| options.keep_alive = value)
    }

    fn keep_alive_idle_time(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(self.options(&socket)?.keep_alive_idle_ns.unwrap_or(SocketOptions::DEFAULT_KEEP_ALIVE_IDLE_NS))
    }

    fn set_keep_alive_idle_time(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.set_option(&socket, value > 0, |options| options.keep_alive_idle_ns = Some(value))
    }

    fn keep_alive_interval(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(self.options(&socket)?.keep_alive_interval_ns.unwrap_or(SocketOptions::DEFAULT_KEEP_ALIVE_INTERVAL_NS))
    }

    fn set_keep_alive_interval(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.set_option(&socket, value > 0, |options| options.keep_alive_interval_ns = Some(value))
    }

    fn keep_alive_count(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u32> {
        Ok(self.options(&socket)?.keep_alive_count.unwrap_or(SocketOptions::DEFAULT_KEEP_ALIVE_COUNT))
    }

    fn set_keep_alive_count(&mut self, socket: Resource<TcpSocket>, value: u32) -> SocketResult<()> {
        self.set_option(&socket, value > 0, |options| options.keep_alive_count = Some(value))
    }

    fn hop_limit(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u8> {
        Ok(self.options(&socket)?.hop_limit.unwrap_or(SocketOptions::DEFAULT_HOP_LIMIT))
    }

    fn set_hop_limit(&mut self, socket: Resource<TcpSocket>, value: u8) -> SocketResult<()> {
        self.set_option(&socket, value > 0, |options| options.hop_limit = Some(value))
    }

    fn receive_buffer_size(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(self.options(&socket)?.receive_buffer.unwrap_or(SocketOptions::DEFAULT_BUFFER_BYTES))
    }

    fn set_receive_buffer_size(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.set_option(&socket, value > 0, |options| options.receive_buffer = Some(value))
    }

    fn send_buffer_size(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(self.options(&socket)?.send_buffer.unwrap_or(SocketOptions::DEFAULT_BUFFER_BYTES))
    }

    fn set_send_buffer_size(&mut self, socket: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.set_option(&socket, value > 0, |options| options.send_buffer = Some(value))
    }

    fn subscribe(&mut self, socket: Resource<TcpSocket>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, as_socket(&socket))
    }

    fn shutdown(&mut self, socket: Resource<TcpSocket>, how: ShutdownType) -> SocketResult<()> {
        self.connected(&socket)?.shut_down(match how {
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
    /// Returns the connection of a socket, or fails with `invalid-state` if it has none.
    fn connected(&self, socket: &Resource<TcpSocket>) -> SocketResult<&Connection> {
        match &self.table.get(&as_socket(socket))?.state {
            State::Connected(connection) => Ok(connection),
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }

    fn options(&self, socket: &Resource<TcpSocket>) -> SocketResult<SocketOptions> {
        Ok(self.table.get(&as_socket(socket))?.options)
    }

    /// Changes an option, also of a socket that is connected already. Fails with `invalid-argument` if the value is not
    /// valid.
    fn set_option(
        &mut self,
        socket: &Resource<TcpSocket>,
        is_valid: bool,
        change: impl FnOnce(&mut SocketOptions),
    ) -> SocketResult<()> {
        let socket = self.table.get_mut(&as_socket(socket))?;
        if !is_valid {
            return Err(ErrorCode::InvalidArgument.into());
        }
        change(&mut socket.options);
        if let State::Connected(connection) = &socket.state {
            socket.options.apply(&connection.socket(), connection.addresses()?.1.ip());
        }
        Ok(())
    }
}
