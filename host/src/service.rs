//! Tells the service manager how the program is: that it is ready, reloads, stops, and still makes progress. The
//! protocol is that of `sd_notify(3)`: a datagram of lines `NAME=VALUE` to the socket that `NOTIFY_SOCKET` names.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The service manager that has started this program, if there is one.
pub struct ServiceManager {
    /// `None` if nobody wants to be told.
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// The time after which the service manager ends a program that does not show any progress.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Returns the service manager that the environment names. A socket that cannot be used is logged, and left out.
    pub fn from_environment() -> Self {
        let address = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let socket = address.and_then(|name| {
            let opened = open(name.as_bytes());
            opened.inspect_err(|error| tracing::warn!(%error, "cannot use the socket of NOTIFY_SOCKET")).ok()
        });
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_for_this = number("WATCHDOG_PID").is_none_or(|process| process == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| *micros > 0 && is_for_this).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    /// Returns the time from one sign of progress to the next, if the service manager wants any: half of the time after
    /// which it ends the program.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.socket.is_some()).map(|time| time / 2)
    }

    /// Tells that the program has started, or that it has reloaded its configuration. The status is one line for an
    /// operator, without secrets.
    pub fn ready(&self, status: &str) {
        self.notify(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// Tells that the program reloads its configuration.
    pub fn reloading(&self) {
        // An error is impossible: the clock exists.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
        self.notify(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// Tells that the program stops.
    pub fn stopping(&self) {
        self.notify("STOPPING=1");
    }

    /// Tells that the program makes progress.
    pub fn progress(&self) {
        self.notify("WATCHDOG=1");
    }

    fn notify(&self, state: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            tracing::debug!(%error, "cannot write to the socket of NOTIFY_SOCKET");
        }
    }
}

/// Opens a socket that sends to an address: a path, or `@` and the name of an abstract socket.
fn open(name: &[u8]) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        Some((b'/', _)) => SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(name)))?,
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected an absolute path, or `@` and a name")),
    };
    let socket = UnixDatagram::unbound()?;
    // A service manager that does not read must not delay the program.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// Returns a text in one line of bounded length.
fn one_line(text: &str) -> String {
    const MAX_CHARACTERS: usize = 500;
    text.chars().take(MAX_CHARACTERS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(name: &[u8]) -> ServiceManager {
        ServiceManager {
            socket: Some(open(name).expect("the address is valid")),
            watchdog: Some(Duration::from_secs(8)),
        }
    }

    fn receive(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).expect("a datagram was sent");
        String::from_utf8(buffer[..length].to_vec()).expect("it is text")
    }

    #[test]
    fn states_are_sent_to_a_path_or_an_abstract_name() {
        let folder = tempfile::tempdir().expect("a temporary directory can be created");
        let path = folder.path().join("notify");
        let name = format!("sentrynet-service-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("the name is short");
        let sockets = [UnixDatagram::bind(&path), UnixDatagram::bind_addr(&address)];
        let names = [path.as_os_str().as_bytes().to_vec(), format!("@{name}").into_bytes()];
        for (socket, name) in sockets.into_iter().zip(names) {
            let (socket, manager) = (socket.expect("the socket is free"), manager(&name));
            manager.ready("two\nlines");
            assert_eq!(receive(&socket), "READY=1\nSTATUS=two lines");
            manager.reloading();
            let reloading = receive(&socket);
            let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|text| text.parse().ok());
            assert!(micros.is_some_and(|micros: u64| micros > 0), "{reloading}");
            manager.progress();
            assert_eq!(receive(&socket), "WATCHDOG=1");
            manager.stopping();
            assert_eq!(receive(&socket), "STOPPING=1");
        }
    }

    #[test]
    fn the_watchdog_is_told_twice_in_its_time() {
        assert_eq!(manager(b"@unused").watchdog_interval(), Some(Duration::from_secs(4)));
        assert_eq!(ServiceManager { socket: None, ..manager(b"@unused") }.watchdog_interval(), None);
        assert!(open(b"relative").is_err() && open(b"").is_err());
    }
}
