//! Recognises errors that mean that a resource of this host is used up. They say nothing about the target.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::errno::Errno;

use crate::run::LimitKind;

/// Returns the resource of this host that is used up, if an error or one of its causes says so.
///
/// The error that no local address is available ([`Errno::EADDRNOTAVAIL`]) is not recognised here, but by
/// [`local_port_shortage`].
pub fn shortage(error: &(dyn Error + 'static)) -> Option<LimitKind> {
    match os_error(error)? {
        Errno::EMFILE | Errno::ENFILE => Some(LimitKind::OpenFiles),
        Errno::ENOMEM | Errno::ENOBUFS => Some(LimitKind::KernelMemory),
        _ => None,
    }
}

/// Returns [`LimitKind::LocalPorts`] if a connection to one of `peers` from `source` failed because no local port is
/// free. The system reports the same error if this host does not have the address `source`, or has no address of the
/// family of a peer. Returns `None` in these cases, and for all other errors.
pub fn local_port_shortage(
    error: &(dyn Error + 'static),
    peers: &[IpAddr],
    source: Option<IpAddr>,
) -> Option<LimitKind> {
    let has_local_address = |peer: &IpAddr| {
        let any = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        // Connecting a UDP socket chooses a local address, and sends nothing.
        let socket = UdpSocket::bind(SocketAddr::new(source.unwrap_or(any), 0));
        socket.and_then(|socket| socket.connect(SocketAddr::new(*peer, 9))).is_ok()
    };
    let is_unavailable = os_error(error)? == Errno::EADDRNOTAVAIL;
    (is_unavailable && !peers.is_empty() && peers.iter().all(has_local_address)).then_some(LimitKind::LocalPorts)
}

/// Returns the resource that is used up if the kernel refuses another socket now. This tells the cause of an error that
/// does not contain the system's code, such as an error of the C library's resolver.
pub fn current_shortage() -> Option<LimitKind> {
    UdpSocket::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).err().and_then(|error| shortage(&error))
}

/// Returns the code of the innermost error of the system among an error and its causes.
fn os_error(error: &(dyn Error + 'static)) -> Option<Errno> {
    let mut found = None;
    let mut next = Some(error);
    while let Some(error) = next {
        let io_error = error.downcast_ref::<io::Error>();
        found = io_error.and_then(io::Error::raw_os_error).or_else(|| shown_os_error(error)).or(found);
        // `source` of an I/O error skips the error that it wraps, which may be an I/O error again.
        let wrapped = io_error.and_then(io::Error::get_ref).map(|wrapped| wrapped as &(dyn Error + 'static));
        next = wrapped.or_else(|| error.source());
    }
    found.map(Errno::from_raw)
}

/// Returns the system's code in an error that has no source and shows it in its `Debug` output only, as the errors of
/// the SOCKS connector do.
fn shown_os_error(error: &(dyn Error + 'static)) -> Option<i32> {
    if error.source().is_some() || error.is::<io::Error>() {
        return None;
    }
    let debug = format!("{error:?}");
    let (before, code) = debug.split_once("Os { code: ")?;
    // Within quotes it is a text, which may come from a target.
    if before.matches('"').count() % 2 == 1 {
        return None;
    }
    code.split_once(',')?.0.parse().ok()
}

/// Returns the error of a process that has as many open files as it may.
#[cfg(test)]
pub fn too_many_open_files() -> io::Error {
    io::Error::from_raw_os_error(Errno::EMFILE as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(code: Errno) -> io::Error {
        io::Error::from_raw_os_error(code as i32)
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot connect")]
    struct Outer(#[source] io::Error);

    /// Shows its cause in its `Debug` output only.
    #[derive(Debug, thiserror::Error)]
    #[error("SOCKS error")]
    struct WithoutSource(io::Error);

    #[test]
    fn used_up_resources_are_found_in_all_causes() {
        assert_eq!(shortage(&os(Errno::EMFILE)), Some(LimitKind::OpenFiles));
        assert_eq!(shortage(&os(Errno::ENFILE)), Some(LimitKind::OpenFiles));
        assert_eq!(shortage(&Outer(os(Errno::ENOMEM))), Some(LimitKind::KernelMemory));
        assert_eq!(shortage(&io::Error::other(Outer(os(Errno::ENOBUFS)))), Some(LimitKind::KernelMemory));
        assert_eq!(shortage(&io::Error::other(os(Errno::EMFILE))), Some(LimitKind::OpenFiles));
        assert_eq!(shortage(&Outer(io::Error::other(WithoutSource(os(Errno::EMFILE))))), Some(LimitKind::OpenFiles));
    }

    #[test]
    fn errors_of_the_target_and_the_network_are_no_shortage() {
        for code in [Errno::ECONNREFUSED, Errno::ECONNRESET, Errno::ENETUNREACH, Errno::ETIMEDOUT, Errno::EADDRNOTAVAIL]
        {
            assert_eq!(shortage(&Outer(os(code))), None, "{code}");
        }
        assert_eq!(shortage(&io::Error::other("Os { code: 24, }")), None, "a text is no code");
    }

    #[test]
    fn ports_are_used_up_only_where_this_host_has_an_address() {
        let loopback: IpAddr = Ipv4Addr::LOCALHOST.into();
        let ports = |code, peers: &[IpAddr], source| local_port_shortage(&Outer(os(code)), peers, source);
        assert_eq!(ports(Errno::EADDRNOTAVAIL, &[loopback], None), Some(LimitKind::LocalPorts));
        assert_eq!(ports(Errno::EADDRNOTAVAIL, &[loopback], Some(loopback)), Some(LimitKind::LocalPorts));
        assert_eq!(ports(Errno::ECONNREFUSED, &[loopback], None), None);
        assert_eq!(ports(Errno::EADDRNOTAVAIL, &[], None), None);
        let elsewhere = Some("192.0.2.1".parse().expect("the address is valid"));
        assert_eq!(ports(Errno::EADDRNOTAVAIL, &[loopback], elsewhere), None, "this host does not have the source");
    }

    #[test]
    fn no_shortage_is_reported_while_sockets_can_be_opened() {
        assert_eq!(current_shortage(), None);
    }
}
