//! kent, a small fake Sentry.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{KilledOnDrop, eventually, find_tool, free_port};

/// kent, a small fake Sentry, which is killed when the value is dropped.
pub struct Kent {
    _child: KilledOnDrop,
    pub port: u16,
}

impl Kent {
    pub fn start() -> Self {
        let port = free_port();
        let program = find_tool("python/bin/kent-server").expect("kent is missing: run the tests with tests/run");
        let mut command = Command::new(program);
        command.args(["run", "--host", "127.0.0.1", "--port", &port.to_string()]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("kent starts");
        let kent = Self { _child: KilledOnDrop(child), port };
        eventually("kent to listen", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        kent
    }

    /// Returns the payloads of this type that kent has received, oldest first.
    pub fn payloads(&self, kind: &str) -> Vec<Value> {
        let list = self.get("eventlist/");
        let ids = list["events"].as_array().expect("kent lists events").iter();
        let items = ids.map(|event| self.get(&format!("event/{}", event["event_id"].as_str().expect("an id is text"))));
        items
            .map(|item| item["payload"].clone())
            .filter(|item| item["header"]["type"] == kind)
            .map(|item| item["body"].clone())
            .collect()
    }

    fn get(&self, path: &str) -> Value {
        use std::io::{Read, Write};
        let mut connection = std::net::TcpStream::connect(("127.0.0.1", self.port)).expect("kent listens");
        write!(connection, "GET /api/{path} HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("kent reads the request");
        let mut response = String::new();
        connection.read_to_string(&mut response).expect("kent responds");
        let (_, body) = response.split_once("\r\n\r\n").expect("a response has a head");
        serde_json::from_str(body).expect("kent responds with JSON")
    }
}
