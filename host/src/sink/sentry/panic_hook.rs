//! Reports panics of this process as events. The event is in the spool before the thread unwinds: if the process ends,
//! the next start sends it.

use std::backtrace::Backtrace;
use std::collections::BTreeMap;
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::time::SystemTime;

use super::payload::HostEvent;
use super::pipeline::Pipeline;
use crate::run::Frame;
use crate::trace::TraceId;

/// Installs a panic hook that first calls the one before it, and then reports the panic while the pipeline exists.
/// `redact` removes secrets from messages.
pub fn install(pipeline: &Arc<Pipeline>, redact: impl Fn(&str) -> String + Send + Sync + 'static) {
    let pipeline = Arc::downgrade(pipeline);
    let previous_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        previous_hook(panic);
        if let Some(pipeline) = pipeline.upgrade() {
            pipeline.report_panic(&panic_event(panic, &Backtrace::force_capture().to_string(), &redact));
        }
    }));
}

fn panic_event(panic: &PanicHookInfo<'_>, backtrace: &str, redact: impl Fn(&str) -> String) -> HostEvent {
    let location = panic.location();
    let location = location.map(|location| format!("{}:{}", source_path(location.file()), location.line()));
    let location = location.unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("the panic has no message");
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    HostEvent {
        timestamp: SystemTime::now(),
        trace_id: TraceId(rand::random()),
        level: "fatal",
        r#type: "Panic".to_owned(),
        message: redact(&format!("{message} ({location}, thread {thread}): this is a bug, please report it")),
        handled: false,
        backtrace: frames(backtrace)
            .into_iter()
            .map(|function| Frame { function: redact(function), ..Frame::default() })
            .collect(),
        fingerprint: vec!["sentrynet-host".to_owned(), "panic".to_owned(), location],
        contexts: BTreeMap::new(),
    }
}

/// Returns the path of a source file without the directory of cargo's registry on the build machine.
fn source_path(file: &str) -> &str {
    let in_registry = file.split_once("/registry/src/").and_then(|(_, rest)| rest.split_once('/'));
    in_registry.map_or(file, |(_, file)| file)
}

/// Returns the functions of a backtrace, innermost first, without the functions that handle the panic itself.
fn frames(backtrace: &str) -> Vec<&str> {
    let functions = backtrace.lines().filter_map(|line| {
        let (number, function) = line.trim_start().split_once(": ")?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then_some(function)
    });
    let mut functions: Vec<_> = functions.collect();
    let panic_functions = ["rust_begin_unwind", "core::panicking::", "std::panicking::begin_panic"];
    let belongs_to_panic = |function: &&str| panic_functions.iter().any(|part| function.contains(part));
    let last = functions.iter().rposition(belongs_to_panic).map_or(0, |last| last + 1);
    functions.split_off(last)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::super::Sentry;
    use super::super::spool::Spool;
    use crate::config::{self, Source};

    #[test]
    fn frames_begin_at_the_function_that_panicked() {
        let backtrace = "   0: std::backtrace_rs::backtrace::libunwind::trace
             at /rustc/1/library/std/src/../../backtrace/src/backtrace/libunwind.rs:117:9
   1: __rustc::rust_begin_unwind
   2: core::panicking::panic_fmt
   3: sentrynet::schedule::next
             at ./host/src/schedule.rs:9:5
   4: std::thread::spawn
";
        assert_eq!(super::frames(backtrace), ["sentrynet::schedule::next", "std::thread::spawn"]);
    }

    #[test]
    fn source_paths_do_not_depend_on_the_build_machine() {
        assert_eq!(super::source_path("host/src/main.rs"), "host/src/main.rs");
        assert_eq!(
            super::source_path("/home/x/.cargo/registry/src/index-1/tokio-1.2.3/src/a.rs"),
            "tokio-1.2.3/src/a.rs"
        );
    }

    /// Returns the envelopes in all spools below a directory.
    fn spooled(directory: &Path) -> Vec<String> {
        let subdirectories = std::fs::read_dir(directory).unwrap().flatten();
        let spools = subdirectories.map(|entry| Spool::open(&entry.path(), 1 << 20).unwrap());
        let texts =
            spools.flat_map(|(_spool, leftovers)| leftovers.into_iter().map(|envelope| envelope.read().unwrap()));
        texts.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
    }

    /// Checks with Relay's normaliser, if `tests/run` has installed it, that the envelope is valid.
    fn check_with_relay(envelope: &str) {
        let Some(tools) = std::env::var_os("SENTRYNET_TEST_TOOLS") else { return };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), envelope).unwrap();
        let mut python = Command::new(Path::new(&tools).join("python/bin/python"));
        let relay = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/relay.py");
        let output = python.arg(relay).arg(file.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    #[tokio::test]
    async fn a_panic_is_in_the_spool_before_the_thread_ends() {
        let directory = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!("sentry: {{dsn: 'http://key@127.0.0.1:{port}/1', spool: '{}'}}", directory.path().display());
        let source = Source::from_text("test", text);
        let settings = config::parse(&source, &|_| None).config.sentry;
        let sentry = Sentry::start(&settings).unwrap().unwrap();
        sentry.report_panics(|text| text.replace("hunter2", "[Filtered]"));
        std::thread::spawn(|| panic!("not with hunter2 here")).join().unwrap_err();
        assert_eq!(sentry.counts().waiting, 1);
        drop(sentry);
        // The lock of the spool is released when the tasks end, shortly after they are aborted.
        let mut envelopes = Vec::new();
        while envelopes.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            envelopes = spooled(directory.path());
        }
        let [envelope] = &envelopes[..] else { panic!("{envelopes:?}") };
        check_with_relay(envelope);
        let event: serde_json::Value = serde_json::from_str(envelope.lines().nth(2).unwrap()).unwrap();
        let exception = &event["exception"]["values"][0];
        let value = exception["value"].as_str().unwrap();
        assert!(value.starts_with("not with [Filtered] here (") && value.contains("panic_hook.rs"), "{value}");
        assert_eq!((&event["level"], &exception["mechanism"]["handled"]), (&"fatal".into(), &false.into()));
        let frames = exception["stacktrace"]["frames"].as_array().unwrap();
        let innermost = frames.last().unwrap()["function"].as_str().unwrap();
        assert!(innermost.contains("a_panic_is_in_the_spool"), "{innermost}");
    }
}
