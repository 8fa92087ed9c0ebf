//! The whole program through its public face, against real servers. `tests/run` fetches what these need.

mod command_line;
mod guests;
mod http;
mod readme;
mod sandbox;
mod schedule;
mod sentry;
mod support;
mod tls;
mod walls;
