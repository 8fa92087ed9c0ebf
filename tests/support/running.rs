//! The program on its schedule.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{finish, sentrynet};

/// The program, running; it ends with this value at the latest.
pub struct Running(Child);

impl Running {
    #[track_caller]
    pub fn start(configuration: &Path, stdout: impl Into<Stdio>) -> Self {
        // Before anybody waits for it: the first time that it compiles a probe takes a while.
        let checked = finish(sentrynet().arg("check").arg(configuration), "");
        assert_eq!(checked.code, 0, "{}", checked.stderr);
        Self::spawn(sentrynet().arg("run").arg(configuration).stdout(stdout).stderr(Stdio::null()))
    }

    #[track_caller]
    pub fn spawn(program: &mut Command) -> Self {
        Self(program.spawn().expect("the program starts"))
    }

    /// With this text for its configuration, in a folder of this name.
    #[track_caller]
    pub fn with(name: &str, configuration: &str, stdout: impl Into<Stdio>) -> Self {
        let file = crate::support::folder(name).join("probes.yaml");
        std::fs::write(&file, configuration).expect("the folder is writable");
        Self::start(&file, stdout)
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([format!("-{signal}"), self.0.id().to_string()]).status();
        assert!(status.expect("kill is there").success());
    }

    /// Its exit code, once it has ended; none if a signal ended it.
    pub fn code(mut self) -> Option<i32> {
        self.0.wait().expect("the program can be waited for").code()
    }

    /// Its exit code, and what it wrote to standard output.
    pub fn end(mut self) -> (Option<i32>, String) {
        let mut stdout = String::new();
        self.0.stdout.take().expect("stdout is piped").read_to_string(&mut stdout).expect("output is UTF-8");
        (self.0.wait().expect("the program can be waited for").code(), stdout)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
