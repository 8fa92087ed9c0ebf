//! The progress on a terminal, while probes run.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use nix::pty::{OpenptyResult, Winsize, openpty};

use crate::support::running::RunningProgram;
use crate::support::target::{Target, ok_response, status_response};
use crate::support::{empty_folder, eventually, sentrynet};

/// A terminal of 60 columns: the lines that it shows, and all that was written to it.
#[derive(Clone, Default)]
struct Terminal(Arc<Mutex<Vec<u8>>>);

impl Terminal {
    /// Starts a command on a new terminal, with both outputs unless `stdout` is given.
    fn start(command: &mut Command, stdout: Option<Stdio>) -> (Self, RunningProgram) {
        let size = Winsize { ws_row: 24, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(Some(&size), None).expect("the system has terminals");
        let copy = || Stdio::from(slave.try_clone().expect("a file can be opened again"));
        command.stdin(Stdio::null()).stdout(stdout.unwrap_or_else(copy)).stderr(copy());
        let running = RunningProgram::spawn(command);
        // The command keeps copies of its own, which would otherwise keep the terminal open.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let terminal = Self::default();
        let written = Arc::clone(&terminal.0);
        std::thread::spawn(move || {
            let (mut master, mut bytes) = (File::from(master), [0; 4096]);
            // Reading fails once the last program on the terminal has ended.
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                written.lock().expect("no test panics here").extend_from_slice(&bytes[..count]);
            }
        });
        drop(slave);
        (terminal, running)
    }

    fn written(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no test panics here")).into_owned()
    }

    /// Returns the lines that a terminal shows, without colours.
    fn lines(&self) -> Vec<String> {
        let styles = regex::Regex::new(r"\x1b\[[0-9;]*m").expect("the pattern is valid");
        let written = styles.replace_all(&self.written(), "").replace("\r\n", "\n");
        let line = |text: &str| {
            // `\r\x1b[K` returns to the beginning of the line and erases it. Nothing else moves the cursor.
            let (_, rest) = text.rsplit_once("\r\x1b[K").unwrap_or(("", text));
            assert!(!rest.contains(['\r', '\x1b']), "{text:?}");
            rest.to_owned()
        };
        written.lines().map(line).collect()
    }
}

/// A configuration of two probes, the first of which gets no answer until the value is dropped; the second fails.
struct Waiting {
    file: PathBuf,
    /// The first probe waits for this to be dropped.
    _release: mpsc::Sender<()>,
    target: Target,
}

impl Waiting {
    fn new(name: &str) -> Self {
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let target = Target::responding(move |requests| match requests.last() {
            Some(request) if request.line.starts_with("GET /slow") => {
                // Returns when the sender is dropped.
                _ = released.lock().expect("no test panics here").recv();
                ok_response()
            }
            _ => status_response("503 Down"),
        });
        let port = target.port;
        let file = empty_folder(name).join("probes.yaml");
        let config = format!(
            "groups:\n  - probes:\n      - {{probe: http, title: \"Slow\\u202e é shop\", timeout: 300, \
             url: 'http://127.0.0.1:{port}/slow'}}\n      - {{probe: http, title: Down, url: 'http://127.0.0.1:{port}/'}}\n"
        );
        std::fs::write(&file, config).expect("the folder is writable");
        Self { file, _release: release, target }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = sentrynet();
        command.arg("once").arg(&self.file).args(arguments).env("TERM", "xterm-256color");
        command
    }
}

/// The last line while the second of two probes has failed and the first one runs.
fn is_progress(line: &str) -> bool {
    line.starts_with("1 of 2 probes done, 1 failed; running for ")
}

#[test]
fn the_progress_is_shown_and_erased() {
    let waiting = Waiting::new("reports-progress");
    let (terminal, running) = Terminal::start(&mut waiting.command(&["--format", "text"]), None);
    let line = eventually("the progress", || terminal.lines().pop().filter(|line| is_progress(line)));
    assert!(line.chars().count() < 60 && line.contains("s: Slow"), "{line}");
    // It changes in place, while the lines above it stay.
    let count = terminal.lines().len();
    eventually("a change", || terminal.lines().pop().filter(|changed| is_progress(changed) && *changed != line));
    assert_eq!(terminal.lines().len(), count, "{:?}", terminal.lines());
    drop(waiting);
    assert_eq!(running.wait_for_exit_code(), Some(1));
    let lines = eventually("the end", || {
        let lines = terminal.lines();
        lines.iter().any(|line| line.starts_with('✗')).then_some(lines)
    });
    assert!(!lines.iter().any(|line| line.contains("probes done")), "{lines:#?}");
    let results: Vec<_> = lines.iter().filter(|line| line.starts_with(['✓', '✗'])).collect();
    assert!(results[0].starts_with("✓ passed") && results[1].starts_with("✗ failed"), "{lines:#?}");
}

#[test]
fn a_report_on_standard_output_is_not_mixed_with_the_progress() {
    let waiting = Waiting::new("reports-progress-json");
    let out = waiting.file.with_file_name("runs.json");
    let file = File::create(&out).expect("the folder is writable");
    let (terminal, running) = Terminal::start(&mut waiting.command(&["--format", "json"]), Some(file.into()));
    eventually("the progress", || terminal.lines().pop().filter(|line| is_progress(line)));
    drop(waiting);
    assert_eq!(running.wait_for_exit_code(), Some(1));
    assert_eq!(super::titles(&std::fs::read_to_string(&out).expect("it was written")).len(), 2);
    eventually("the end", || terminal.written().ends_with("\r\x1b[K").then_some(()));
}

#[test]
fn there_is_no_progress_where_nobody_sees_it() {
    for (name, variable) in
        [("dumb", ("TERM", "dumb")), ("ci", ("CI", "true")), ("log", ("SENTRYNET_LOG_FORMAT", "json"))]
    {
        let waiting = Waiting::new(&format!("reports-progress-{name}"));
        let (terminal, running) = Terminal::start(waiting.command(&[]).env(variable.0, variable.1), None);
        // The run takes long enough for a progress to be shown.
        eventually("the second request", || (waiting.target.requests().len() == 2).then_some(()));
        std::thread::sleep(Duration::from_millis(500));
        drop(waiting);
        assert_eq!(running.wait_for_exit_code(), Some(1));
        eventually("the end", || terminal.written().contains('✗').then_some(()));
        assert!(!terminal.written().contains("probes done"), "{name}: {}", terminal.written());
        assert!(!terminal.written().contains("\x1b[K"), "{name}");
    }
}
