//! The rows: what is measured, each with its goal.

use anyhow::Result;

use crate::measure::Bench;

mod chain;
mod cost;
mod instructions;
mod load;
mod memory;
pub mod sandbox;
mod soak;
mod start;

pub struct Row {
    pub name: &'static str,
    pub summary: &'static str,
    pub measure: fn(&mut Bench) -> Result<()>,
}

pub const ROWS: &[Row] = &[
    row("plain", "200 HTTP checks a second, new connections, no sink", cost::plain),
    row("delivered", "the same, each a transaction by the spool to a receiver", cost::delivered),
    row("bursts", "the same, 200 in a row each second", cost::bursts),
    row("tls", "200 delivered a second with a full handshake each", cost::tls),
    row("chain", "three steps with JSONPath over a kept connection", chain::chain),
    row("sandbox", "a run that sends nothing", sandbox::sandbox),
    row("saturation", "how many checks a second there can be", load::saturation),
    row("lateness", "5000 probes, of which 1000 start each second", load::lateness),
    row("truth", "what is said of a target's delays, at 1000 checks a second", load::truth),
    row("memory", "probes that are configured, and wait", memory::configured),
    row("in-flight", "10,000 runs at once", memory::in_flight),
    row("start", "from the start to the first connection, and many probes", start::start),
    row("size", "the program", start::size),
    row("soak", "a long time, with a target and a receiver that are ill in turns", soak::soak),
    row("instructions", "instructions of a check, which are the same tomorrow", instructions::instructions),
];

const fn row(name: &'static str, summary: &'static str, measure: fn(&mut Bench) -> Result<()>) -> Row {
    Row { name, summary, measure }
}
