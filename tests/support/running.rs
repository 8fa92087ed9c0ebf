//! The program running on its schedule.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{run_command, sentrynet};

/// A running program, which is killed when the value is dropped.
pub struct RunningProgram(Child);

impl RunningProgram {
    #[track_caller]
    pub fn start(configuration: &Path, stdout: impl Into<Stdio>) -> Self {
        // `check` compiles the probes, so that the first run does not have to wait for that.
        let checked = run_command(sentrynet().arg("check").arg(configuration), "");
        assert_eq!(checked.code, 0, "{}", checked.stderr);
        Self::spawn(sentrynet().arg("run").arg(configuration).stdout(stdout).stderr(Stdio::null()))
    }

    #[track_caller]
    pub fn spawn(program: &mut Command) -> Self {
        Self(program.spawn().expect("the program starts"))
    }

    /// Starts the program with this configuration, which is written to a folder of this name.
    #[track_caller]
    pub fn start_with_config(name: &str, configuration: &str, stdout: impl Into<Stdio>) -> Self {
        let file = crate::support::empty_folder(name).join("probes.yaml");
        std::fs::write(&file, configuration).expect("the folder is writable");
        Self::start(&file, stdout)
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn send_signal(&self, signal: &str) {
        let status = Command::new("kill").args([format!("-{signal}"), self.0.id().to_string()]).status();
        assert!(status.expect("`kill` is installed").success());
    }

    /// Waits for the end of the program. Returns its exit code, or `None` if a signal ended it.
    pub fn wait_for_exit_code(mut self) -> Option<i32> {
        self.0.wait().expect("the program can be waited for").code()
    }

    /// Waits for the end of the program. Returns its exit code and its standard output, which must be piped.
    pub fn wait_for_output(mut self) -> (Option<i32>, String) {
        let mut stdout = String::new();
        self.0.stdout.take().expect("stdout is piped").read_to_string(&mut stdout).expect("output is UTF-8");
        (self.0.wait().expect("the program can be waited for").code(), stdout)
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
