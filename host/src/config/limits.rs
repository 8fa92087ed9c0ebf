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
    /// HTTP requests (redirects and requests for tokens included), lookups and connections of sockets, SSH connections and
    /// SSH commands.
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

/// Decodes the limits of a run. Keys that are missing are inherited.
pub fn decode_limits(mut table: Table, inherited: Limits, context: &mut DecodeContext) -> Limits {
    let mut limits = inherited;
    let mut seconds = |key, limit: &mut Duration| *limit = table.take_seconds(key, context).unwrap_or(*limit);
    seconds("deadline", &mut limits.deadline);
    seconds("cpu", &mut limits.cpu);
    let mut integer = |key, limit: u64| table.take_integer(key, context).map_or(limit, u64::from);
    limits.table = integer("table", limits.table as u64) as usize;
    limits.handles = integer("handles", limits.handles as u64) as usize;
    limits.requests = integer("requests", limits.requests);
    limits.connections = integer("connections", limits.connections);
    limits.spans = integer("spans", limits.spans as u64) as usize;
    limits.log_lines = integer("log_lines", limits.log_lines as u64) as usize;
    let mut bytes = |key, limit: u64| table.take_bytes(key, context).unwrap_or(limit);
    limits.memory = bytes("memory", limits.memory as u64) as usize;
    limits.received = bytes("received", limits.received);
    limits.sent = bytes("sent", limits.sent);
    limits.log_size = bytes("log_size", limits.log_size as u64) as usize;
    table.finish(context);
    limits
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
