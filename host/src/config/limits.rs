//! The limits of one run. Their keys, bounds and defaults are in `schema/host.json`; `sandbox` and `capability` enforce
//! them.

use std::sync::LazyLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::section::Section;
use super::table::{DecodeContext, Table};

/// The maximum of `limits.memory`, in bytes. Each slot for a memory in wasmtime's pooling allocator has this size.
pub const MAX_MEMORY_BYTES: usize = 64 << 20;
/// The maximum of `limits.table`, in elements. Each slot for a table in wasmtime's pooling allocator has this size.
pub const MAX_TABLE_ELEMENTS: usize = 100_000;

/// The limits of one run. With retries each attempt starts anew, except for spans and log lines, which count for the
/// whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall-clock time from the start of the run to its end.
    pub deadline: Duration,
    /// CPU time of the component.
    pub cpu: Duration,
    /// Bytes of linear memory, and as many again that the host holds for the component.
    pub memory: usize,
    /// Elements of the component's tables.
    pub table: usize,
    /// Resources that the component holds at once: requests, responses, spans, sessions, streams.
    pub handles: usize,
    /// HTTP requests (redirects and requests for tokens included), lookups and connections of sockets, SSH connections
    /// and SSH commands.
    pub requests: u64,
    /// Connections at once.
    pub connections: u64,
    /// Bytes received over the network, bodies decompressed.
    pub received: u64,
    /// Bytes sent over the network.
    pub sent: u64,
    /// Spans that are kept. Sentry accepts no more than 1000 in a transaction.
    pub spans: usize,
    /// Lines of the run's log that are kept, the last ones.
    pub log_lines: usize,
    /// Bytes of all kept lines of the run's log together.
    pub log_size: usize,
}

/// The limits at the top of a file.
pub struct HostLimits {
    /// The limits of each run.
    pub of_run: Limits,
    /// The maximal number of runs at once.
    pub in_flight: usize,
    /// The connections that all runs open to one host at once.
    pub per_host: usize,
    /// Bytes of memory of all runs together, if the file has the key.
    pub total_memory: Option<usize>,
}

/// Returns the connections that all runs open to one host at once, unless a file says otherwise.
pub fn default_per_host() -> usize {
    Section::HOST_LIMITS.default_integer("per_host") as usize
}

impl Default for Limits {
    /// Returns the defaults of `host.json`.
    fn default() -> Self {
        static DEFAULT: LazyLock<Limits> = LazyLock::new(|| {
            let keys = Section::RUN_LIMITS;
            Limits {
                deadline: keys.default_seconds("deadline"),
                cpu: keys.default_seconds("cpu"),
                memory: keys.default_bytes("memory") as usize,
                table: keys.default_integer("table") as usize,
                handles: keys.default_integer("handles") as usize,
                requests: keys.default_integer("requests"),
                connections: keys.default_integer("connections"),
                received: keys.default_bytes("received"),
                sent: keys.default_bytes("sent"),
                spans: keys.default_integer("spans") as usize,
                log_lines: keys.default_integer("log_lines") as usize,
                log_size: keys.default_bytes("log_size") as usize,
            }
        });
        *DEFAULT
    }
}

impl Limits {
    /// Checks limits that come from elsewhere than a configuration, such as a recording, against the bounds of
    /// `host.json`.
    ///
    /// # Errors
    /// Returns the first key whose value is out of bounds, with the bounds.
    pub fn check_bounds(&self) -> Result<(), String> {
        let Self { deadline, cpu, memory, table, handles, requests, connections, received, sent, .. } = *self;
        let values = [
            ("deadline", deadline.as_secs_f64()),
            ("cpu", cpu.as_secs_f64()),
            ("memory", memory as f64),
            ("table", table as f64),
            ("handles", handles as f64),
            ("requests", requests as f64),
            ("connections", connections as f64),
            ("received", received as f64),
            ("sent", sent as f64),
            ("spans", self.spans as f64),
            ("log_lines", self.log_lines as f64),
            ("log_size", self.log_size as f64),
        ];
        for (key, value) in values {
            let bounds = Section::RUN_LIMITS.bounds(key);
            if !bounds.contains(&value) {
                return Err(format!("`{key}` is {value}: expected {} to {}", bounds.start(), bounds.end()));
            }
        }
        Ok(())
    }
}

/// The limits of a run that one section of a file has; `None` for keys that it does not have.
#[derive(Debug, Clone, Copy, Default)]
pub struct PartialLimits {
    deadline: Option<Duration>,
    cpu: Option<Duration>,
    memory: Option<u64>,
    table: Option<u64>,
    handles: Option<u64>,
    requests: Option<u64>,
    connections: Option<u64>,
    received: Option<u64>,
    sent: Option<u64>,
    spans: Option<u64>,
    log_lines: Option<u64>,
    log_size: Option<u64>,
}

impl PartialLimits {
    /// Returns the limits of a run. Keys that are missing are inherited.
    pub fn over(self, inherited: Limits) -> Limits {
        let size = |own: Option<u64>, inherited| own.map_or(inherited, |own| own as usize);
        Limits {
            deadline: self.deadline.unwrap_or(inherited.deadline),
            cpu: self.cpu.unwrap_or(inherited.cpu),
            memory: size(self.memory, inherited.memory),
            table: size(self.table, inherited.table),
            handles: size(self.handles, inherited.handles),
            requests: self.requests.unwrap_or(inherited.requests),
            connections: self.connections.unwrap_or(inherited.connections),
            received: self.received.unwrap_or(inherited.received),
            sent: self.sent.unwrap_or(inherited.sent),
            spans: size(self.spans, inherited.spans),
            log_lines: size(self.log_lines, inherited.log_lines),
            log_size: size(self.log_size, inherited.log_size),
        }
    }
}

/// Decodes the limits of a run.
pub fn decode_limits(mut table: Table, context: &mut DecodeContext) -> PartialLimits {
    let mut seconds = |key| table.take_seconds(key, context);
    let (deadline, cpu) = (seconds("deadline"), seconds("cpu"));
    let mut integer = |key| table.take_integer(key, context).map(u64::from);
    let (elements, handles, requests) = (integer("table"), integer("handles"), integer("requests"));
    let (connections, spans, log_lines) = (integer("connections"), integer("spans"), integer("log_lines"));
    let mut bytes = |key| table.take_bytes(key, context);
    let (memory, received, sent, log_size) = (bytes("memory"), bytes("received"), bytes("sent"), bytes("log_size"));
    table.finish(context);
    PartialLimits {
        deadline,
        cpu,
        memory,
        table: elements,
        handles,
        requests,
        connections,
        received,
        sent,
        spans,
        log_lines,
        log_size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_from_elsewhere_are_checked_against_the_bounds() {
        let limits = Limits::default();
        assert_eq!(limits.check_bounds(), Ok(()));
        for wrong in [
            Limits { deadline: Duration::MAX, ..limits },
            Limits { deadline: Duration::ZERO, ..limits },
            Limits { memory: MAX_MEMORY_BYTES + 1, ..limits },
            Limits { handles: usize::MAX, ..limits },
            Limits { log_lines: 0, ..limits },
        ] {
            wrong.check_bounds().expect_err("a limit is out of bounds");
        }
    }

    #[test]
    fn the_maxima_of_the_schema_are_the_sizes_of_the_slots() {
        assert_eq!(*Section::RUN_LIMITS.bounds("memory").end() as usize, MAX_MEMORY_BYTES);
        assert_eq!(*Section::RUN_LIMITS.bounds("table").end() as usize, MAX_TABLE_ELEMENTS);
    }
}
