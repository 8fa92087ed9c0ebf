//! Finds out what `sentrynet --version --verbose` shows beside the version: the commit, and the version of wasmtime.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// The value of what cannot be found out.
const UNKNOWN: &str = "unknown";

/// Sets the variables that `command/version.rs` reads.
pub fn set_variables() {
    println!("cargo::rerun-if-env-changed=SENTRYNET_COMMIT");
    println!("cargo::rustc-env=SENTRYNET_COMMIT={}", commit().unwrap_or_else(|| UNKNOWN.to_owned()));
    println!("cargo::rustc-env=SENTRYNET_WASMTIME={}", wasmtime_version().unwrap_or_else(|| UNKNOWN.to_owned()));
    println!("cargo::rustc-env=SENTRYNET_TARGET={}", env::var("TARGET").as_deref().unwrap_or(UNKNOWN));
}

/// Returns the commit that is built: that of the environment, of cargo's package, or of git. A debug build does not ask
/// git: it would have to be built again after each commit.
fn commit() -> Option<String> {
    let given = env::var("SENTRYNET_COMMIT").ok().filter(|commit| !commit.is_empty());
    given.or_else(commit_of_package).or_else(|| (env::var("PROFILE").ok()? == "release").then(commit_of_git)?)
}

/// Returns the commit that `cargo package` has written into the package.
fn commit_of_package() -> Option<String> {
    let text = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, after) = text.split_once("\"sha1\": \"")?;
    after.split('"').next().filter(|commit| is_commit(commit)).map(str::to_owned)
}

/// Returns the commit of the working tree, and has the build script run again when another one is checked out.
fn commit_of_git() -> Option<String> {
    // A branch that was packed has no file until the next commit; then `logs/HEAD` changes.
    for file in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", file])?;
        // Cargo would run the build script each time for a file that does not exist.
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    // A repository around the source of a package is another project's.
    git(&["ls-files", "--error-unmatch", "Cargo.toml"])?;
    git(&["rev-parse", "HEAD"]).filter(|commit| is_commit(commit))
}

fn is_commit(text: &str) -> bool {
    text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the first line that a git command prints, if there is a git and the command succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.lines().next()?.to_owned())
}

/// Returns the version of wasmtime in the lock file of the workspace, or of the package.
fn wasmtime_version() -> Option<String> {
    let lock = ["../Cargo.lock", "Cargo.lock"].into_iter().find(|path| Path::new(path).exists())?;
    println!("cargo::rerun-if-changed={lock}");
    let text = fs::read_to_string(lock).ok()?;
    let (_, after) = text.split_once("name = \"wasmtime\"\nversion = \"")?;
    after.split('"').next().map(str::to_owned)
}
