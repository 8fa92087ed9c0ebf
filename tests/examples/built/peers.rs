//! Peers that are none: who connects to them is to come to an end all the same.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::support::slow::listen;

/// Says nothing.
pub fn silent() -> u16 {
    listen(hold)
}

/// Ends each connection at once.
pub fn hangs_up() -> u16 {
    listen(drop)
}

/// Says this, whatever is asked, and nothing more.
pub fn says(bytes: &[u8]) -> u16 {
    let bytes = bytes.to_vec();
    listen(move |mut connection| {
        let _ = connection.write_all(&bytes);
        hold(connection);
    })
}

/// Says this byte by byte, again and again.
pub fn drips(bytes: &[u8]) -> u16 {
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

/// Says this again and again, as fast as it is read.
pub fn floods(bytes: &[u8]) -> u16 {
    let bytes = bytes.repeat((64 << 10) / bytes.len());
    listen(move |mut connection| while connection.write_all(&bytes).is_ok() {})
}

/// Answers each piece that comes with what `answer` makes of it.
pub fn answers(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + Clone + 'static) -> u16 {
    listen(move |mut connection| {
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = connection.read(&mut piece) {
            if connection.write_all(&answer(&piece[..count])).is_err() {
                return;
            }
        }
    })
}

/// Keeps a connection until the other side ends it.
fn hold(mut connection: TcpStream) {
    let mut piece = [0; 4096];
    while let Ok(1..) = connection.read(&mut piece) {}
}
