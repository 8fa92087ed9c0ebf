//! SentryNet runs synthetic-monitoring probes. A probe is a WebAssembly component in a sandbox of its own, and each run
//! of it is a trace. The program `sentrynet` runs the probes of a configuration on their schedules and reports each run
//! to Sentry; this library does the same within another program.
//!
//! The steps are those of the example: [`config::parse`] reads a configuration, [`load`] loads the component of each
//! probe and has it check its settings, and [`Probe::run`](sandbox::Probe::run) runs a probe once. [`schedule::run`]
//! runs probes again and again instead, [`start_loading`] lets some run while others are loaded, and [`sink::Sinks`]
//! assesses and reports their runs. Everything runs in a tokio runtime.
//!
//! A program that loads components of strangers should have them compiled in processes with limits, by itself or by the
//! program `sentrynet`: see [`Compiler`](sandbox::Compiler). In its own process, as in the example, their structure is
//! bounded, but neither the CPU time nor the memory that compiling them takes. Without the feature `compiler`, the
//! library has no compiler, and loads only code that `sentrynet compile` has written elsewhere
//! ([`CompiledDirectory`](sandbox::CompiledDirectory)).
//!
//! ```
//! use std::time::Instant;
//!
//! use sentrynet::config::{self, Source};
//! use sentrynet::sandbox::Compiler;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use std::io::{Read, Write};
//! # let server = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let port = server.local_addr()?.port();
//! # std::thread::spawn(move || {
//! #     let (mut connection, _) = server.accept().expect("the probe connects");
//! #     _ = connection.read(&mut [0; 4096]);
//! #     _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
//! # });
//! let source = Source {
//!     name: "probes.yaml".to_owned(),
//!     text: format!("groups: [{{ probes: [{{ probe: http, url: 'http://127.0.0.1:{port}/' }}] }}]"),
//!     path: None,
//!     directory: ".".into(),
//!     probe: None,
//!     files: Vec::new(),
//! };
//! let parsed = config::parse(&source, &|variable| std::env::var(variable).ok());
//! let loaded = sentrynet::load(parsed, Compiler::ThisProcess).await?;
//!
//! let run = loaded.probes[0].run(Instant::now()).await;
//! assert!(run.outcome.passed());
//! for span in &run.trace.spans {
//!     println!("{:>10.3?} {:<20} {}", span.duration, span.op, span.description);
//! }
//! # assert!(run.trace.spans.iter().any(|span| span.op == "http.client.wait"));
//! # Ok(())
//! # }
//! ```

// In the order of dependencies: a module uses only modules below it. tests/architecture.rs checks that.

// Runs probes on their schedules.
pub mod schedule;
// The threads that run probes.
pub mod workers;
// From a parsed configuration to probes that are ready to run.
mod loading;
// Loads components, and runs them within limits.
pub mod sandbox;
// Reports runs: to the console, as JSON, and to Sentry.
pub mod sink;
// Decides whether a run means an outage, a recovery, an error, or a host without a network.
pub mod assessment;
// The functions that a component may call: HTTP, SSH, spans, logs and WASI.
pub mod capability;
// Trace headers for targets, and the dynamic sampling context for Sentry.
pub mod propagation;
// From files of other programs to configurations.
pub mod import;
// Reads configurations.
pub mod config;
// Checks values against JSON Schemas.
pub mod schema;
// Removes secrets from everything that leaves this process.
pub mod redaction;
// Recordings of runs, to replay them.
pub mod recording;
// Finished runs.
pub mod run;
// Traces and their spans.
pub mod trace;
// Text that is safe to print.
pub mod printable;
// Times as text.
pub mod time_format;
// Versions of files, by which changes are noticed.
mod file_version;
// Errors of libraries in plain words.
mod plain_error;
// The certificates of authorities.
pub mod trust_store;
// Threads for work that blocks.
mod threads;
// Files that no other user can have written.
#[cfg_attr(not(feature = "compiler"), expect(dead_code, reason = "only the store of compiled code uses all of it"))]
mod private_directory;

pub use loading::{
    FailedLoad, LoadError, Loaded, Loading, PendingProbes, Progress, ReadyProbe, ReadyProbes, Replaced, Replacement,
    Replacer, load, start_loading,
};
