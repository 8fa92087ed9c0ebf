//! What one run may use: the ceilings, each with its key, its bounds and what it is unless given. Knows no YAML, and
//! not who holds runs to it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::table::{Report, Table};

const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;
pub const TIB: u64 = 1 << 40;
const DAY: f64 = 86_400.0;
/// What the pool of memories and tables is laid out for; see `sandbox`.
pub const MOST_MEMORY: usize = 64 << 20;
pub const MOST_TABLE: usize = 100_000;
/// Sentry takes no more of a transaction.
const MOST_SPANS: u32 = 1000;

/// What one run may use; where it is retried, each attempt anew, but for spans and log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall-clock time.
    pub deadline: Duration,
    /// Time that it computes.
    pub cpu: Duration,
    /// Bytes of linear memory, and as many again that the host holds for it.
    pub memory: usize,
    /// Elements of its tables.
    pub table: usize,
    /// Resources at once: requests, answers, spans, sessions, streams.
    pub handles: usize,
    /// HTTP requests, redirects and tokens included, SSH connections and commands.
    pub requests: u64,
    /// Connections at once.
    pub connections: u64,
    /// Bytes that come in over the network.
    pub received: u64,
    /// Bytes that go out.
    pub sent: u64,
    /// Spans that are kept.
    pub spans: usize,
    /// Lines of its log that are kept, and bytes of them together.
    pub log_lines: usize,
    pub log_size: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(60),
            cpu: Duration::from_secs(5),
            memory: MOST_MEMORY,
            table: MOST_TABLE,
            handles: 2000,
            requests: 1000,
            connections: 100,
            // Within the deadline, no more than a download on purpose.
            received: 256 * MIB,
            sent: 64 * MIB,
            spans: MOST_SPANS as usize,
            log_lines: 100,
            // As many lines of 4 KiB.
            log_size: 400 << 10,
        }
    }
}

/// Reads the limits of a run; what is not given is inherited. Other keys are left in the table.
pub fn limits(table: &mut Table, inherited: Limits, report: &mut Report) -> Limits {
    let was = inherited;
    Limits {
        deadline: seconds(table, "deadline", 0.05, was.deadline, report),
        cpu: seconds(table, "cpu", 0.01, was.cpu, report),
        memory: size(table, "memory", MIB, MOST_MEMORY as u64, was.memory as u64, report) as usize,
        table: whole(table, "table", MOST_TABLE as u32, was.table as u64, report) as usize,
        handles: whole(table, "handles", 100_000, was.handles as u64, report) as usize,
        requests: whole(table, "requests", 1_000_000, was.requests, report),
        connections: whole(table, "connections", 1000, was.connections, report),
        received: size(table, "received", KIB, TIB, was.received, report),
        sent: size(table, "sent", KIB, TIB, was.sent, report),
        spans: whole(table, "spans", MOST_SPANS, was.spans as u64, report) as usize,
        log_lines: whole(table, "log_lines", 1000, was.log_lines as u64, report) as usize,
        log_size: size(table, "log_size", KIB, 4 * MIB, was.log_size as u64, report) as usize,
    }
}

fn seconds(table: &mut Table, key: &str, least: f64, was: Duration, report: &mut Report) -> Duration {
    let given = table.take(key).and_then(|field| {
        let seconds = field.seconds(least..=DAY, &format!("from {least} seconds to a day"));
        report.at(&field, seconds)
    });
    given.unwrap_or(was)
}

fn size(table: &mut Table, key: &str, least: u64, most: u64, was: u64, report: &mut Report) -> u64 {
    let given = table.take(key).and_then(|field| report.at(&field, field.size(least..=most)));
    given.unwrap_or(was)
}

fn whole(table: &mut Table, key: &str, most: u32, was: u64, report: &mut Report) -> u64 {
    let given = table.take(key).and_then(|field| report.at(&field, field.whole(1..=most)));
    given.map_or(was, u64::from)
}
