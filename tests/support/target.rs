//! An HTTP target with configurable responses that records its requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request as it was received.
#[derive(Debug, Clone)]
pub struct Request {
    pub from: SocketAddr,
    /// `GET / HTTP/1.1`.
    pub line: String,
    /// Names are in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A target without TLS that records its requests, and keeps a connection open until a response has `connection:
/// close`. It stops with the process.
pub struct Target {
    pub port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Target {
    /// Starts a target on 127.0.0.1 that responds to every request with 200 and no body.
    pub fn new() -> Self {
        Self::responding(|_| ok_response())
    }

    /// Starts a target on 127.0.0.1. `respond` gets the requests so far, the current one last, and returns the response
    /// from its status code on: `200 OK`, headers and body.
    pub fn responding(respond: impl Fn(&[Request]) -> String + Send + Sync + 'static) -> Self {
        Self::responding_at("127.0.0.1:0", respond).expect("loopback has a free port")
    }

    pub fn responding_at(
        address: &str,
        respond: impl Fn(&[Request]) -> String + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let port = listener.local_addr()?.port();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (recorded, respond) = (Arc::clone(&requests), Arc::new(respond));
        thread::spawn(move || {
            for mut connection in listener.incoming().map_while(Result::ok) {
                let (recorded, respond) = (Arc::clone(&recorded), Arc::clone(&respond));
                thread::spawn(move || {
                    let from = connection.peer_addr().expect("a connection has a peer");
                    // A response is one write, so that a client does not wait between its parts.
                    let mut reader = BufReader::new(connection.try_clone().expect("a connection can be cloned"));
                    while let Some(request) = read_request(&mut reader, from) {
                        let so_far = {
                            let mut recorded = recorded.lock().expect("no test panics here");
                            recorded.push(request);
                            recorded.clone()
                        };
                        let response = format!("HTTP/1.1 {}", respond(&so_far));
                        if connection.write_all(response.as_bytes()).is_err() || response.contains("connection: close")
                        {
                            return;
                        }
                    }
                });
            }
        });
        Ok(Self { port, requests })
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no test panics here").clone()
    }

    /// Returns the only request so far.
    #[track_caller]
    pub fn single_request(&self) -> Request {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests.remove(0)
    }
}

/// Returns a response with 200 and no body that closes the connection.
pub fn ok_response() -> String {
    status_response("200 OK")
}

/// Returns a response with this status and no body that closes the connection.
pub fn status_response(status: &str) -> String {
    format!("{status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

/// Returns a redirect with 302 to this URL that closes the connection.
pub fn redirect_response(to: &str) -> String {
    format!("302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

fn read_request(mut reader: impl BufRead, from: SocketAddr) -> Option<Request> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        Some(line.trim().to_owned())
    };
    let first = line()?;
    let mut headers = Vec::new();
    while let Some((name, value)) = line()?.split_once(':') {
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { from, line: first, headers, body: String::new() };
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    reader.take(length).read_to_string(&mut request.body).ok()?;
    Some(request)
}
