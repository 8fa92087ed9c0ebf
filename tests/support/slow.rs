//! A target that takes its time, in the phase that it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Answers each connection in a thread of its own with `serve`; gives the port. Ends with the process.
pub fn listen(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> u16 {
    // Bound at once: a port that is free now may be another test's in a moment.
    listen_at(0, serve)
}

/// The same on a port that is free.
pub fn listen_at(port: u16, serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> u16 {
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

/// Reads a request's head: its lines, the request line first.
pub fn head(connection: &TcpStream) -> Vec<String> {
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

/// Waits before the answer, and before the last byte of its body.
pub fn answer(before: Duration, between: Duration) -> u16 {
    listen(move |mut connection| {
        head(&connection);
        thread::sleep(before);
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\no");
        thread::sleep(between);
        let _ = connection.write_all(b"k");
    })
}

/// Waits before each piece that it passes on to another port, until `pieces` have gone.
pub fn forward(to: u16, wait: Duration) -> u16 {
    listen(move |connection| {
        let target = TcpStream::connect(("127.0.0.1", to)).expect("the target listens");
        let back = (target.try_clone(), connection.try_clone());
        let (Ok(mut from), Ok(mut into)) = back else { return };
        thread::spawn(move || std::io::copy(&mut from, &mut into));
        thread::sleep(wait);
        let (mut from, mut into) = (connection, target);
        let _ = std::io::copy(&mut from, &mut into);
    })
}
