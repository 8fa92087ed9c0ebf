//! A limit on processes and threads, as `ulimit -u` sets it. It does not apply to root, so that root runs the program
//! as another user.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use crate::support::target::Target;
use crate::support::{http_config, run_command, sentrynet};

/// A user that nobody is.
const USER: u32 = 54_321;
/// More threads than the program needs on two processors, and than it may have in the test.
const MOST_THREADS: u32 = 20;

#[test]
fn a_refused_thread_is_an_error_with_advice_and_no_panic() {
    let folder = tempfile::tempdir().expect("the folder of temporary files is writable");
    let (program, home) = (folder.path().join("sentrynet"), folder.path().join("home"));
    fs::copy(sentrynet().get_program(), &program).expect("there is space for the program");
    fs::create_dir(&home).expect("the folder is writable");
    let configuration = http_config(&format!("url: http://127.0.0.1:{}/", Target::new().port));
    let is_prepared = fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).is_ok()
        && fs::set_permissions(&home, PermissionsExt::from_mode(0o700)).is_ok()
        && chown(&home, Some(USER), Some(USER)).is_ok();
    if !is_prepared {
        // The test harness does not capture this.
        let _ = writeln!(std::io::stderr(), "SKIPPED {}: only root can run as another user", module_path!());
        return;
    }
    let mut refused = 0;
    for threads in 2..=MOST_THREADS {
        // Each time the component is compiled again.
        let _ = fs::remove_dir_all(home.join(".cache"));
        let user = USER.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).env_clear().env("HOME", &home);
        command.args(["prlimit", &format!("--nproc={threads}:{threads}")]).arg(&program).args(["once", "-"]);
        let ended = run_command(&mut command, &configuration);
        assert!(!ended.stderr.contains("panicked"), "{threads} threads: {}", ended.stderr);
        if ended.stderr.contains("the system refuses a thread") {
            assert!(ended.code == 2 || ended.code == 3, "{threads} threads: code {}, {}", ended.code, ended.stderr);
            assert!(ended.stderr.contains("`ulimit -u`"), "{threads} threads: {}", ended.stderr);
            refused += 1;
        }
    }
    assert!(refused > 0, "a limit refuses threads");
}
