//! Addresses on loopback that do not answer.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// An address that does not answer: the queue of its listener is full.
pub struct SilentAddress {
    _listener: Socket,
    _waiting: Vec<Socket>,
}

impl SilentAddress {
    /// Makes an IPv4 address silent on a port.
    pub fn start(address: SocketAddr) -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be opened");
        listener.bind(&address.into()).expect("the port is free on this address");
        listener.listen(0).expect("the socket can listen");
        let waiting = (0..8).map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be opened");
            socket.set_nonblocking(true).expect("a socket can be made non-blocking");
            let _ = socket.connect(&address.into());
            socket
        });
        Self { _waiting: waiting.collect(), _listener: listener }
    }
}
