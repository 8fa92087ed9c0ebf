//! The cases: what is measured, each with its goal.

use anyhow::Result;

use crate::measure::Bench;

mod chain;
mod cpu_cost;
mod hostile;
mod instructions;
mod load;
mod memory;
mod reload;
pub mod sandbox;
mod soak;
mod start;

pub struct Case {
    pub name: &'static str,
    pub summary: &'static str,
    pub measure: fn(&mut Bench) -> Result<()>,
}

pub const CASES: &[Case] = &[
    case("plain", "200 HTTP checks a second, new connections, no sink", cpu_cost::measure_plain),
    case("delivered", "the same, each run sent to a receiver as a transaction", cpu_cost::measure_delivered),
    case("bursts", "the same, 200 back to back each second", cpu_cost::measure_bursts),
    case("tls", "200 delivered checks a second, each with a full TLS handshake", cpu_cost::measure_tls),
    case("chain", "three steps with JSONPath over a kept-alive connection", chain::measure_chain),
    case("sandbox", "a run that sends no request", sandbox::measure_sandbox),
    case("saturation", "the most checks a second", load::measure_saturation),
    case("lateness", "lateness of the starts of 5000 probes, 1000 a second", load::measure_lateness),
    case("accuracy", "accuracy of recorded phases, at 1000 checks a second", load::measure_accuracy),
    case("memory", "memory of configured probes", memory::measure_configured),
    case("in-flight", "memory of 10,000 runs at once", memory::measure_in_flight),
    case("start", "time to the first connection, and to check 10,000 probes", start::measure_start),
    case("reload", "reloads each second of 10,000 probes, 1000 starts a second", reload::measure_reload),
    case("size", "size of the program", start::measure_size),
    case("soak", "stability over a long time, with faults of target and receiver", soak::measure_soak),
    case("hostile", "ten good probes beside a hundred hostile ones", hostile::measure_hostile),
    case("instructions", "instruction count of a check, by callgrind", instructions::measure_instructions),
];

const fn case(name: &'static str, summary: &'static str, measure: fn(&mut Bench) -> Result<()>) -> Case {
    Case { name, summary, measure }
}
