//! A panic of our own as an event, which is in the spool before the thread unwinds: should the process end with it, the
//! next start sends it.

use std::backtrace::Backtrace;
use std::collections::BTreeMap;
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::time::SystemTime;

use super::payload::HostEvent;
use super::pipeline::Pipeline;
use crate::run::Frame;
use crate::trace::TraceId;

/// Has panics told from now on, as long as the desk is there, after whatever is done with them already. `strike` takes
/// secrets out of what they say.
pub fn hook(desk: &Arc<Pipeline>, strike: impl Fn(&str) -> String + Send + Sync + 'static) {
    let desk = Arc::downgrade(desk);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        if let Some(desk) = desk.upgrade() {
            desk.report_panic(&incident(panic, &Backtrace::force_capture().to_string(), &strike));
        }
    }));
}

fn incident(panic: &PanicHookInfo<'_>, backtrace: &str, strike: impl Fn(&str) -> String) -> HostEvent {
    let at = panic.location().map(|at| format!("{}:{}", place(at.file()), at.line())).unwrap_or_default();
    let said = panic.payload_as_str().unwrap_or("it says nothing");
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    HostEvent {
        at: SystemTime::now(),
        trace: TraceId(rand::random()),
        level: "fatal",
        r#type: "Panic".to_owned(),
        message: strike(&format!("{said} ({at}, thread {thread}): this is a bug, please report it")),
        handled: false,
        backtrace: frames(backtrace)
            .into_iter()
            .map(|function| Frame { function: strike(function), ..Frame::default() })
            .collect(),
        fingerprint: vec!["sentrynet-host".to_owned(), "panic".to_owned(), at],
        contexts: BTreeMap::new(),
    }
}

/// A file of ours or of a crate's, wherever they lay when this was built.
fn place(file: &str) -> &str {
    let of_a_crate = file.split_once("/registry/src/").and_then(|(_, rest)| rest.split_once('/'));
    of_a_crate.map_or(file, |(_, file)| file)
}

/// The functions of a backtrace, innermost first, without those that make a panic of it.
fn frames(backtrace: &str) -> Vec<&str> {
    let functions = backtrace.lines().filter_map(|line| {
        let (number, function) = line.trim_start().split_once(": ")?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then_some(function)
    });
    let mut functions: Vec<_> = functions.collect();
    let machinery = ["rust_begin_unwind", "core::panicking::", "std::panicking::begin_panic"];
    let is_machinery = |function: &&str| machinery.iter().any(|part| function.contains(part));
    let last = functions.iter().rposition(is_machinery).map_or(0, |last| last + 1);
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
    fn frames_begin_where_it_went_wrong() {
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
    fn places_are_the_same_wherever_it_was_built() {
        assert_eq!(super::place("host/src/main.rs"), "host/src/main.rs");
        assert_eq!(super::place("/home/x/.cargo/registry/src/index-1/tokio-1.2.3/src/a.rs"), "tokio-1.2.3/src/a.rs");
    }

    /// What is left in the spool in a folder, in text.
    fn left(folder: &Path) -> Vec<String> {
        let parts = std::fs::read_dir(folder).unwrap().flatten();
        let spools = parts.map(|part| Spool::open(&part.path(), 1 << 20).unwrap());
        let texts = spools.flat_map(|(_spool, left)| left.into_iter().map(|kept| kept.read().unwrap()));
        texts.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
    }

    /// That Relay's normaliser has nothing to say of it, where `tests/run` has fetched that.
    fn judge(envelope: &str) {
        let Some(tools) = std::env::var_os("SENTRYNET_TEST_TOOLS") else { return };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), envelope).unwrap();
        let mut python = Command::new(Path::new(&tools).join("python/bin/python"));
        let relay = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/relay.py");
        let judged = python.arg(relay).arg(file.path()).output().unwrap();
        assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
    }

    #[tokio::test]
    async fn a_panic_is_in_the_spool_before_the_thread_ends() {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!("sentry: {{dsn: 'http://key@127.0.0.1:{port}/1', spool: '{}'}}", folder.path().display());
        let source = Source { name: "test".to_owned(), text, path: None, directory: ".".into(), probe: None };
        let settings = config::parse(&source, &|_| None).config.sentry;
        let sentry = Sentry::start(&settings).unwrap().unwrap();
        sentry.report_panics(|text| text.replace("hunter2", "[Filtered]"));
        std::thread::spawn(|| panic!("not with hunter2 here")).join().unwrap_err();
        assert_eq!(sentry.counts().waiting, 1);
        drop(sentry);
        // Its tasks end when they are next looked at.
        let mut left = Vec::new();
        while left.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            left = self::left(folder.path());
        }
        let [envelope] = &left[..] else { panic!("{left:?}") };
        judge(envelope);
        let event: serde_json::Value = serde_json::from_str(envelope.lines().nth(2).unwrap()).unwrap();
        let exception = &event["exception"]["values"][0];
        let said = exception["value"].as_str().unwrap();
        assert!(said.starts_with("not with [Filtered] here (") && said.contains("panic_hook.rs"), "{said}");
        assert_eq!((&event["level"], &exception["mechanism"]["handled"]), (&"fatal".into(), &false.into()));
        let frames = exception["stacktrace"]["frames"].as_array().unwrap();
        let innermost = frames.last().unwrap()["function"].as_str().unwrap();
        assert!(innermost.contains("a_panic_is_in_the_spool"), "{innermost}");
    }
}
