//! The tables of `wasi:sockets`: lookups of names, and TCP connections.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::ResolveAddressStream;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::tcp::ShutdownType;
use wasmtime_wasi::p2::bindings::sockets::{
    instance_network, ip_name_lookup, network, tcp, tcp_create_socket, udp_create_socket,
};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, IoError, Network, SocketError, SocketResult, TcpSocket, UdpSocket,
};
use wasmtime_wasi::sockets::{WasiSocketsCtxView, WasiSocketsView};

use crate::capability::Context;
use crate::capability::record_replay::call::Argument;
use crate::capability::record_replay::call::CallRecord;
use crate::capability::record_replay::codec::{OpaqueHandle, ReplayError, ReplayValue, forget};
use crate::capability::record_replay::halt::Halt;
use crate::capability::record_replay::held_arguments::{FunctionResult, HeldArgument, Kept, hold_arguments};
use crate::capability::record_replay::intercept::{Intercepted, context, intercept};

pub fn link<D>(linker: &mut Linker<Context>) -> wasmtime::Result<()>
where
    D: for<'a> HasData<Data<'a> = Intercepted<'a>> + Send,
{
    ip_name_lookup::add_to_linker::<_, D>(linker, |context| Intercepted(context))?;
    instance_network::add_to_linker::<_, D>(linker, |context| Intercepted(context))?;
    network::add_to_linker::<_, D>(linker, &network::LinkOptions::default(), |context| Intercepted(context))?;
    tcp_create_socket::add_to_linker::<_, D>(linker, |context| Intercepted(context))?;
    tcp::add_to_linker::<_, D>(linker, |context| Intercepted(context))?;
    udp_create_socket::add_to_linker::<_, D>(linker, |context| Intercepted(context))
}

impl OpaqueHandle for ResolveAddressStream {}
impl OpaqueHandle for TcpSocket {}
impl OpaqueHandle for UdpSocket {}

fn sockets(context: &mut Context) -> WasiSocketsCtxView<'_> {
    context.sockets()
}

intercept! { instance_network::Host as "wasi:sockets/instance-network" of sockets {
    passthrough instance_network() -> wasmtime::Result<Resource<Network>>;
} }

intercept! { network::Host as "wasi:sockets/network" of context {
    passthrough convert_error_code(error: SocketError) -> wasmtime::Result<ErrorCode>;
    passthrough network_error_code(error: Resource<IoError>) -> wasmtime::Result<Option<ErrorCode>>;
} }

intercept! { network::HostNetwork as "wasi:sockets/network.network" of context {
    passthrough drop(network: Resource<Network>) -> wasmtime::Result<()>;
} }

intercept! { ip_name_lookup::Host as "wasi:sockets/ip-name-lookup" of context {
    external resolve_addresses(network: Resource<Network>, name: String) -> SocketResult<Resource<ResolveAddressStream>>;
} }

intercept! { ip_name_lookup::HostResolveAddressStream as "wasi:sockets/ip-name-lookup.resolve-address-stream" of context {
    external resolve_next_address(lookup: Resource<ResolveAddressStream>) -> SocketResult<Option<IpAddress>>;
    external subscribe(lookup: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>>;
    external_drop drop(lookup: Resource<ResolveAddressStream>) -> wasmtime::Result<()>;
} }

intercept! { tcp_create_socket::Host as "wasi:sockets/tcp-create-socket" of context {
    external create_tcp_socket(family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>>;
} }

intercept! { udp_create_socket::Host as "wasi:sockets/udp-create-socket" of context {
    external_async create_udp_socket(family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>>;
} }

/// The two streams of a connected socket.
type Streams = (Resource<DynInputStream>, Resource<DynOutputStream>);

intercept! { tcp::HostTcpSocket as "wasi:sockets/tcp.tcp-socket" of context {
    external_async start_bind(
        socket: Resource<TcpSocket>, network: Resource<Network>, local_address: IpSocketAddress
    ) -> SocketResult<()>;
    external finish_bind(socket: Resource<TcpSocket>) -> SocketResult<()>;
    external start_connect(
        socket: Resource<TcpSocket>, network: Resource<Network>, remote_address: IpSocketAddress
    ) -> SocketResult<()>;
    external finish_connect(socket: Resource<TcpSocket>) -> SocketResult<Streams>;
    external_async start_listen(socket: Resource<TcpSocket>) -> SocketResult<()>;
    external finish_listen(socket: Resource<TcpSocket>) -> SocketResult<()>;
    external accept(
        socket: Resource<TcpSocket>
    ) -> SocketResult<(Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>)>;
    external local_address(socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress>;
    external remote_address(socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress>;
    external is_listening(socket: Resource<TcpSocket>) -> wasmtime::Result<bool>;
    external address_family(socket: Resource<TcpSocket>) -> wasmtime::Result<IpAddressFamily>;
    external set_listen_backlog_size(socket: Resource<TcpSocket>, value: u64) -> SocketResult<()>;
    external keep_alive_enabled(socket: Resource<TcpSocket>) -> SocketResult<bool>;
    external set_keep_alive_enabled(socket: Resource<TcpSocket>, value: bool) -> SocketResult<()>;
    external keep_alive_idle_time(socket: Resource<TcpSocket>) -> SocketResult<u64>;
    external set_keep_alive_idle_time(socket: Resource<TcpSocket>, value: u64) -> SocketResult<()>;
    external keep_alive_interval(socket: Resource<TcpSocket>) -> SocketResult<u64>;
    external set_keep_alive_interval(socket: Resource<TcpSocket>, value: u64) -> SocketResult<()>;
    external keep_alive_count(socket: Resource<TcpSocket>) -> SocketResult<u32>;
    external set_keep_alive_count(socket: Resource<TcpSocket>, value: u32) -> SocketResult<()>;
    external hop_limit(socket: Resource<TcpSocket>) -> SocketResult<u8>;
    external set_hop_limit(socket: Resource<TcpSocket>, value: u8) -> SocketResult<()>;
    external receive_buffer_size(socket: Resource<TcpSocket>) -> SocketResult<u64>;
    external set_receive_buffer_size(socket: Resource<TcpSocket>, value: u64) -> SocketResult<()>;
    external send_buffer_size(socket: Resource<TcpSocket>) -> SocketResult<u64>;
    external set_send_buffer_size(socket: Resource<TcpSocket>, value: u64) -> SocketResult<()>;
    external subscribe(socket: Resource<TcpSocket>) -> wasmtime::Result<Resource<DynPollable>>;
    external shutdown(socket: Resource<TcpSocket>, shutdown_type: ShutdownType) -> SocketResult<()>;
    external_drop drop(socket: Resource<TcpSocket>) -> wasmtime::Result<()>;
} }

impl tcp::Host for Intercepted<'_> {}

/// Mirrors [`ErrorCode`], whose own crate does not derive serde's traits.
#[derive(Serialize, Deserialize)]
#[serde(remote = "ErrorCode", rename_all = "kebab-case")]
enum Code {
    Unknown,
    AccessDenied,
    NotSupported,
    InvalidArgument,
    OutOfMemory,
    Timeout,
    ConcurrencyConflict,
    NotInProgress,
    WouldBlock,
    InvalidState,
    NewSocketLimit,
    AddressNotBindable,
    AddressInUse,
    RemoteUnreachable,
    ConnectionRefused,
    ConnectionReset,
    ConnectionAborted,
    DatagramTooLarge,
    NameUnresolvable,
    TemporaryResolverFailure,
    PermanentResolverFailure,
}

impl ReplayError for SocketError {
    fn to_recorded(&self) -> Option<Value> {
        Code::serialize(self.downcast_ref()?, serde_json::value::Serializer).ok()
    }

    fn from_recorded(recorded: &Value) -> Option<Self> {
        Code::deserialize(recorded).ok().map(Self::from)
    }

    fn halted(halt: Halt) -> Self {
        Self::trap(halt)
    }
}

impl ReplayValue for IpSocketAddress {
    fn to_recorded(&self, _: &ResourceTable) -> Value {
        json!(SocketAddr::from(*self))
    }

    fn from_recorded(recorded: &Value, _: &mut ResourceTable) -> Option<Self> {
        SocketAddr::deserialize(recorded).ok().map(Self::from)
    }
}

impl Argument for IpSocketAddress {
    fn record(&self, name: &str, call: &mut CallRecord) {
        call.set_argument(name, json!(SocketAddr::from(*self)));
    }
}

impl ReplayValue for IpAddress {
    fn to_recorded(&self, _: &ResourceTable) -> Value {
        json!(match *self {
            Self::Ipv4(octets) => IpAddr::from(<[u8; 4]>::from(octets)),
            Self::Ipv6(segments) => IpAddr::from(<[u16; 8]>::from(segments)),
        })
    }

    fn from_recorded(recorded: &Value, _: &mut ResourceTable) -> Option<Self> {
        IpAddr::deserialize(recorded).ok().map(Self::from)
    }
}

fn ip_version(family: IpAddressFamily) -> Value {
    json!(match family {
        IpAddressFamily::Ipv4 => 4,
        IpAddressFamily::Ipv6 => 6,
    })
}

impl ReplayValue for IpAddressFamily {
    fn to_recorded(&self, _: &ResourceTable) -> Value {
        ip_version(*self)
    }

    fn from_recorded(recorded: &Value, _: &mut ResourceTable) -> Option<Self> {
        [Self::Ipv4, Self::Ipv6].into_iter().find(|family| ip_version(*family) == *recorded)
    }
}

impl Argument for IpAddressFamily {
    fn record(&self, name: &str, call: &mut CallRecord) {
        call.set_argument(name, ip_version(*self));
    }
}

impl Argument for ShutdownType {
    fn record(&self, name: &str, call: &mut CallRecord) {
        call.set_argument(
            name,
            json!(match self {
                Self::Receive => "receive",
                Self::Send => "send",
                Self::Both => "both",
            }),
        );
    }
}

impl ReplayValue for (Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>) {
    fn to_recorded(&self, table: &ResourceTable) -> Value {
        json!([self.0.to_recorded(table), self.1.to_recorded(table), self.2.to_recorded(table)])
    }

    fn from_recorded(recorded: &Value, table: &mut ResourceTable) -> Option<Self> {
        let [socket, input, output] = recorded.as_array()?.as_slice() else { return None };
        Some((
            ReplayValue::from_recorded(socket, table)?,
            ReplayValue::from_recorded(input, table)?,
            ReplayValue::from_recorded(output, table)?,
        ))
    }
}
