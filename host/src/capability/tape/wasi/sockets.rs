//! The package `wasi:sockets`: names and where they led, connections and how they came about.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::ResolveAddressStream;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::tcp::ShutdownType;
use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup, network, tcp, tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, IoError, Network, SocketError, SocketResult, TcpSocket, UdpSocket,
};

use crate::capability::Context;
use crate::capability::tape::calls::{Taped, itself, taped};
use crate::capability::tape::said::Given;
use crate::capability::tape::told::{Empty, Told, Trouble, forget};
use crate::capability::tape::{Off, Said};

pub fn link<D>(linker: &mut Linker<Context>) -> wasmtime::Result<()>
where
    D: for<'a> HasData<Data<'a> = Taped<'a>> + Send,
{
    ip_name_lookup::add_to_linker::<_, D>(linker, |context| Taped(context))?;
    tcp_create_socket::add_to_linker::<_, D>(linker, |context| Taped(context))?;
    tcp::add_to_linker::<_, D>(linker, |context| Taped(context))?;
    udp_create_socket::add_to_linker::<_, D>(linker, |context| Taped(context))
}

impl Empty for ResolveAddressStream {}
impl Empty for TcpSocket {}
impl Empty for UdpSocket {}

taped! { network::Host as "wasi:sockets/network" of itself {
    makes convert_error_code(error: SocketError) -> wasmtime::Result<ErrorCode>;
    makes network_error_code(error: Resource<IoError>) -> wasmtime::Result<Option<ErrorCode>>;
} }

taped! { network::HostNetwork as "wasi:sockets/network.network" of itself {
    makes drop(network: Resource<Network>) -> wasmtime::Result<()>;
} }

taped! { ip_name_lookup::Host as "wasi:sockets/ip-name-lookup" of itself {
    asks resolve_addresses(network: Resource<Network>, name: String) -> SocketResult<Resource<ResolveAddressStream>>;
} }

taped! { ip_name_lookup::HostResolveAddressStream as "wasi:sockets/ip-name-lookup.resolve-address-stream" of itself {
    asks resolve_next_address(lookup: Resource<ResolveAddressStream>) -> SocketResult<Option<IpAddress>>;
    asks subscribe(lookup: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>>;
    drops drop(lookup: Resource<ResolveAddressStream>) -> wasmtime::Result<()>;
} }

taped! { tcp_create_socket::Host as "wasi:sockets/tcp-create-socket" of itself {
    asks create_tcp_socket(family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>>;
} }

taped! { udp_create_socket::Host as "wasi:sockets/udp-create-socket" of itself {
    waits create_udp_socket(family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>>;
} }

/// A socket's streams.
type Streams = (Resource<DynInputStream>, Resource<DynOutputStream>);

taped! { tcp::HostTcpSocket as "wasi:sockets/tcp.tcp-socket" of itself {
    waits start_bind(
        socket: Resource<TcpSocket>, network: Resource<Network>, local_address: IpSocketAddress
    ) -> SocketResult<()>;
    asks finish_bind(socket: Resource<TcpSocket>) -> SocketResult<()>;
    asks start_connect(
        socket: Resource<TcpSocket>, network: Resource<Network>, remote_address: IpSocketAddress
    ) -> SocketResult<()>;
    asks finish_connect(socket: Resource<TcpSocket>) -> SocketResult<Streams>;
    waits start_listen(socket: Resource<TcpSocket>) -> SocketResult<()>;
    asks finish_listen(socket: Resource<TcpSocket>) -> SocketResult<()>;
    asks accept(
        socket: Resource<TcpSocket>
    ) -> SocketResult<(Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>)>;
    asks local_address(socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress>;
    asks remote_address(socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress>;
    asks is_listening(socket: Resource<TcpSocket>) -> wasmtime::Result<bool>;
    asks address_family(socket: Resource<TcpSocket>) -> wasmtime::Result<IpAddressFamily>;
    asks set_listen_backlog_size(socket: Resource<TcpSocket>, value: u64) -> SocketResult<()>;
    asks keep_alive_enabled(socket: Resource<TcpSocket>) -> SocketResult<bool>;
    asks set_keep_alive_enabled(socket: Resource<TcpSocket>, value: bool) -> SocketResult<()>;
    asks keep_alive_idle_time(socket: Resource<TcpSocket>) -> SocketResult<u64>;
    asks set_keep_alive_idle_time(socket: Resource<TcpSocket>, value: u64) -> SocketResult<()>;
    asks keep_alive_interval(socket: Resource<TcpSocket>) -> SocketResult<u64>;
    asks set_keep_alive_interval(socket: Resource<TcpSocket>, value: u64) -> SocketResult<()>;
    asks keep_alive_count(socket: Resource<TcpSocket>) -> SocketResult<u32>;
    asks set_keep_alive_count(socket: Resource<TcpSocket>, value: u32) -> SocketResult<()>;
    asks hop_limit(socket: Resource<TcpSocket>) -> SocketResult<u8>;
    asks set_hop_limit(socket: Resource<TcpSocket>, value: u8) -> SocketResult<()>;
    asks receive_buffer_size(socket: Resource<TcpSocket>) -> SocketResult<u64>;
    asks set_receive_buffer_size(socket: Resource<TcpSocket>, value: u64) -> SocketResult<()>;
    asks send_buffer_size(socket: Resource<TcpSocket>) -> SocketResult<u64>;
    asks set_send_buffer_size(socket: Resource<TcpSocket>, value: u64) -> SocketResult<()>;
    asks subscribe(socket: Resource<TcpSocket>) -> wasmtime::Result<Resource<DynPollable>>;
    asks shutdown(socket: Resource<TcpSocket>, shutdown_type: ShutdownType) -> SocketResult<()>;
    drops drop(socket: Resource<TcpSocket>) -> wasmtime::Result<()>;
} }

impl tcp::Host for Taped<'_> {}

/// WASI's own, as it is written down.
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

impl Trouble for SocketError {
    fn tell(&self) -> Option<Value> {
        Code::serialize(self.downcast_ref()?, serde_json::value::Serializer).ok()
    }

    fn read(told: &Value) -> Option<Self> {
        Code::deserialize(told).ok().map(Self::from)
    }

    fn stop(off: Off) -> Self {
        Self::trap(off)
    }
}

impl Told for IpSocketAddress {
    fn tell(&self, _: &ResourceTable) -> Value {
        json!(SocketAddr::from(*self))
    }

    fn read(told: &Value, _: &mut ResourceTable) -> Option<Self> {
        SocketAddr::deserialize(told).ok().map(Self::from)
    }
}

impl Given for IpSocketAddress {
    fn put(&self, name: &str, said: &mut Said) {
        said.put(name, json!(SocketAddr::from(*self)));
    }
}

impl Told for IpAddress {
    fn tell(&self, _: &ResourceTable) -> Value {
        json!(match *self {
            Self::Ipv4(it) => IpAddr::from([it.0, it.1, it.2, it.3]),
            Self::Ipv6(it) => IpAddr::from([it.0, it.1, it.2, it.3, it.4, it.5, it.6, it.7]),
        })
    }

    fn read(told: &Value, _: &mut ResourceTable) -> Option<Self> {
        IpAddr::deserialize(told).ok().map(Self::from)
    }
}

fn version(family: IpAddressFamily) -> Value {
    json!(match family {
        IpAddressFamily::Ipv4 => 4,
        IpAddressFamily::Ipv6 => 6,
    })
}

impl Told for IpAddressFamily {
    fn tell(&self, _: &ResourceTable) -> Value {
        version(*self)
    }

    fn read(told: &Value, _: &mut ResourceTable) -> Option<Self> {
        [Self::Ipv4, Self::Ipv6].into_iter().find(|family| version(*family) == *told)
    }
}

impl Given for IpAddressFamily {
    fn put(&self, name: &str, said: &mut Said) {
        said.put(name, version(*self));
    }
}

impl Given for ShutdownType {
    fn put(&self, name: &str, said: &mut Said) {
        said.put(
            name,
            json!(match self {
                Self::Receive => "receive",
                Self::Send => "send",
                Self::Both => "both",
            }),
        );
    }
}

impl Told for (Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>) {
    fn tell(&self, table: &ResourceTable) -> Value {
        json!([self.0.tell(table), self.1.tell(table), self.2.tell(table)])
    }

    fn read(told: &Value, table: &mut ResourceTable) -> Option<Self> {
        let [socket, input, output] = told.as_array()?.as_slice() else { return None };
        Some((Told::read(socket, table)?, Told::read(input, table)?, Told::read(output, table)?))
    }
}
