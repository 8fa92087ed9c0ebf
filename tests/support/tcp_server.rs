//! TCP servers on loopback, some of which are slow in one phase.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Serves each connection with `serve` in a thread of its own, until the process ends. Returns the port.
pub fn listen(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> u16 {
    // The system chooses the port while binding: another test could bind a port that was found free before.
    listen_on(0, serve)
}

/// Serves connections as [`listen`] does, on this port, which must be free; 0 stands for any free port. Returns the
/// port.
pub fn listen_on(port: u16, serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let port = listener.local_addr().expect("a listener has an address").port();
    thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            thread::spawn(move || serve(connection));
        }
    });
    port
}

/// Reads the head of an HTTP request. Returns its lines, the request line first.
pub fn read_head(connection: &TcpStream) -> Vec<String> {
    let mut reader = BufReader::new(connection.take(64 << 10));
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(1..) if line.trim().is_empty() => return lines,
            Ok(1..) => lines.push(line.trim().to_owned()),
            _ => return lines,
        }
    }
}

/// Starts an HTTP server that waits before its response, and again before the last byte of the body. Returns the port.
pub fn respond_slowly(before_head: Duration, before_last_byte: Duration) -> u16 {
    listen(move |mut connection| {
        read_head(&connection);
        thread::sleep(before_head);
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\no");
        thread::sleep(before_last_byte);
        let _ = connection.write_all(b"k");
    })
}

/// Starts a forwarder to another port that waits before it passes on what the client sends. Returns the port.
pub fn forward_slowly(to: u16, delay: Duration) -> u16 {
    listen(move |connection| {
        let target = TcpStream::connect(("127.0.0.1", to)).expect("the target listens");
        let back = (target.try_clone(), connection.try_clone());
        let (Ok(mut from), Ok(mut into)) = back else { return };
        thread::spawn(move || std::io::copy(&mut from, &mut into));
        thread::sleep(delay);
        let (mut from, mut into) = (connection, target);
        let _ = std::io::copy(&mut from, &mut into);
    })
}
