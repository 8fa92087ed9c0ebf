//! A target that says what a test wants it to say, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub from: SocketAddr,
    /// `GET / HTTP/1.1`.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A target in the clear that remembers what it was asked, and keeps a connection until its answer says that it closes.
/// It ends with the process.
pub struct Target {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Target {
    /// A target on 127.0.0.1 that says yes to everything.
    pub fn new() -> Self {
        Self::answering(|_| "200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned())
    }

    /// A target on 127.0.0.1; `answer` is told of the requests so far, the one to answer last, and gives the answer
    /// from its status on: `200 OK`, and whatever headers and body follow.
    pub fn answering(answer: impl Fn(&[Asked]) -> String + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", answer).expect("loopback has a free port")
    }

    pub fn at(address: &str, answer: impl Fn(&[Asked]) -> String + Send + Sync + 'static) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let port = listener.local_addr()?.port();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (inbox, answer) = (Arc::clone(&asked), Arc::new(answer));
        thread::spawn(move || {
            for mut connection in listener.incoming().map_while(Result::ok) {
                let (inbox, answer) = (Arc::clone(&inbox), Arc::clone(&answer));
                thread::spawn(move || {
                    let from = connection.peer_addr().expect("a connection has a peer");
                    // An answer is one write: the peer must not wait for more in between.
                    let mut reader = BufReader::new(connection.try_clone().expect("a connection has two ends"));
                    while let Some(request) = read(&mut reader, from) {
                        let so_far = {
                            let mut inbox = inbox.lock().expect("no test panics here");
                            inbox.push(request);
                            inbox.clone()
                        };
                        let answer = format!("HTTP/1.1 {}", answer(&so_far));
                        if connection.write_all(answer.as_bytes()).is_err() || answer.contains("connection: close") {
                            return;
                        }
                    }
                });
            }
        });
        Ok(Self { port, asked })
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics here").clone()
    }

    /// The one request that came.
    #[track_caller]
    pub fn once(&self) -> Asked {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:#?}");
        asked.remove(0)
    }
}

fn read(mut reader: impl BufRead, from: SocketAddr) -> Option<Asked> {
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
    let mut asked = Asked { from, line: first, headers, body: String::new() };
    let length = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    reader.take(length).read_to_string(&mut asked.body).ok()?;
    Some(asked)
}
