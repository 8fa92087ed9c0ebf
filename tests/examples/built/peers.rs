//! Servers that do not speak the expected protocol. A client that connects to one of them must end nevertheless.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::support::tcp_server::listen;

/// Starts a server that sends nothing.
pub fn start_silent() -> u16 {
    listen(hold_open)
}

/// Starts a server that closes each connection at once.
pub fn start_closing() -> u16 {
    listen(drop)
}

/// Starts a server that sends these bytes, and nothing more, whatever it receives.
pub fn start_sending(bytes: &[u8]) -> u16 {
    let bytes = bytes.to_vec();
    listen(move |mut connection| {
        let _ = connection.write_all(&bytes);
        hold_open(connection);
    })
}

/// Starts a server that sends these bytes over and over, one byte every 5 ms.
pub fn start_dripping(bytes: &[u8]) -> u16 {
    let bytes = bytes.to_vec();
    listen(move |mut connection| {
        for byte in bytes.iter().cycle() {
            if connection.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    })
}

/// Starts a server that sends these bytes over and over, as fast as they are read.
pub fn start_flooding(bytes: &[u8]) -> u16 {
    let bytes = bytes.repeat((64 << 10) / bytes.len());
    listen(move |mut connection| while connection.write_all(&bytes).is_ok() {})
}

/// Starts a server that responds to each chunk it receives with the result of `respond`.
pub fn start_responding(respond: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + Clone + 'static) -> u16 {
    listen(move |mut connection| {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = connection.read(&mut chunk) {
            if connection.write_all(&respond(&chunk[..count])).is_err() {
                return;
            }
        }
    })
}

/// Keeps a connection open until the client closes it.
fn hold_open(mut connection: TcpStream) {
    let mut chunk = [0; 4096];
    while let Ok(1..) = connection.read(&mut chunk) {}
}
