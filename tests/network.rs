//! How requests of the http probe get to their target: names, addresses, proxies, versions, certificates of our own and
//! credentials.

mod auth;
mod client_certificate;
mod names;
mod peers;
mod proxies;
mod versions;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::support::{finish, http, sentrynet};

/// A request as it came.
#[derive(Debug, Clone)]
struct Asked {
    from: SocketAddr,
    /// `GET / HTTP/1.1`.
    line: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    body: String,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A target in the clear that remembers what it was asked. It ends with the process.
struct Target {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Target {
    /// A target on 127.0.0.1 that says yes to everything.
    fn new() -> Self {
        Self::answering(|_| yes())
    }

    /// A target on 127.0.0.1; `answer` is told of the requests so far, the one to answer last, and gives the answer
    /// from its status on: `200 OK`, and whatever headers and body follow.
    fn answering(answer: impl Fn(&[Asked]) -> String + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", answer).expect("loopback has a free port")
    }

    fn at(address: &str, answer: impl Fn(&[Asked]) -> String + Send + Sync + 'static) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let port = listener.local_addr()?.port();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (inbox, answer) = (Arc::clone(&asked), Arc::new(answer));
        thread::spawn(move || {
            for mut connection in listener.incoming().map_while(Result::ok) {
                let (inbox, answer) = (Arc::clone(&inbox), Arc::clone(&answer));
                thread::spawn(move || {
                    let from = connection.peer_addr().expect("a connection has a peer");
                    let Some(request) = read(&connection, from) else { return };
                    let so_far = {
                        let mut inbox = inbox.lock().expect("no test panics here");
                        inbox.push(request);
                        inbox.clone()
                    };
                    let _ = connection.write_all(format!("HTTP/1.1 {}", answer(&so_far)).as_bytes());
                });
            }
        });
        Ok(Self { port, asked })
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics here").clone()
    }

    /// The one request that came.
    #[track_caller]
    fn once(&self) -> Asked {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:#?}");
        asked.remove(0)
    }
}

fn read(connection: impl Read, from: SocketAddr) -> Option<Asked> {
    let mut reader = BufReader::new(connection);
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

fn yes() -> String {
    "200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
}

fn refuse(status: &str) -> String {
    format!("{status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

fn redirect(to: &str) -> String {
    format!("302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

/// The program on its schedule; it ends with this value.
struct Running(Child);

impl Running {
    #[track_caller]
    fn start(configuration: &Path, stdout: impl Into<Stdio>) -> Self {
        // Before anybody waits for it: the first time that it compiles a probe takes a while.
        let checked = finish(sentrynet().arg("check").arg(configuration), "");
        assert_eq!(checked.code, 0, "{}", checked.stderr);
        let child = sentrynet().arg("run").arg(configuration).stdout(stdout).stderr(Stdio::null()).spawn();
        Self(child.expect("the program starts"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn passed(run: &Value) {
    assert_eq!(run["outcome"], "passed", "{run:#}");
}

/// A run that failed with this reason; its message.
#[track_caller]
fn failed(run: &Value, reason: &str) -> String {
    assert_eq!(run["outcome"], "failed", "{run:#}");
    assert_eq!(run["failure"]["reason"], reason, "{run:#}");
    run["failure"]["message"].as_str().expect("a failure has a message").to_owned()
}

/// That these keys of an http probe are refused, with this message at this key; what was written.
#[track_caller]
fn refused(keys: &str, key: &str, message: &str) -> String {
    let ended = finish(sentrynet().args(["check", "-"]), &http(keys));
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains(message), "{message} in {}", ended.stderr);
    assert!(ended.stderr.contains(&format!("at groups[0].probes[0].{key}\n")), "{key} in {}", ended.stderr);
    ended.stderr
}
