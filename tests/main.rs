//! The whole program through its public face, against real servers. `tests/run` fetches what these need.

mod ceilings;
mod chain;
mod check_ins;
mod checks;
mod command_line;
mod evidence;
mod examples;
mod grants;
mod guests;
mod http;
mod network;
mod outages;
mod readme;
mod retries;
mod sampling;
mod sandbox;
mod schedule;
mod secrets;
mod sentry;
mod spool;
mod spotlight;
mod ssh;
mod support;
mod tls;
mod tracing;
mod walls;
