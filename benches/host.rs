//! The host as it is measured: the release program, with a configuration in a folder of its own and nothing of our
//! environment. What it prints for each run goes nowhere.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use crate::process::{Child, leashed};
use crate::serve::{Server, certificate};

/// The program; cargo builds it before us.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_sentrynet");

/// A configuration, and all that the host writes.
pub struct Setup {
    pub folder: TempDir,
    authority: PathBuf,
    cache: PathBuf,
}

/// What is configured.
#[derive(Default)]
pub struct Plan {
    pub dsn: Option<String>,
    /// Keys at the top, as YAML.
    pub top: String,
    /// The items of `probes`, each a mapping on one line.
    pub probes: Vec<String>,
}

impl Plan {
    /// So many http probes, the n-th of them of this mapping, which has `{n}` for n.
    pub fn of(count: usize, probe: &str) -> Self {
        let probes = (0..count).map(|n| probe.replace("{n}", &n.to_string())).collect();
        Self { probes, ..Self::default() }
    }

    /// The same, each run of it sent to a receiver.
    pub fn sent_to(self, server: &Server) -> Self {
        Self { dsn: Some(server.dsn()), ..self }
    }
}

impl Setup {
    /// `cache` is where compiled probes are.
    pub fn new(plan: &Plan, shared: &Path, cache: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(shared)?;
        let setup = Self { authority: shared.join(certificate::NAME), cache: cache.to_owned(), folder };
        std::fs::write(setup.config(), setup.yaml(plan))?;
        Ok(setup)
    }

    /// A command of the program, on this configuration.
    pub fn command(&self, words: &[&str]) -> Command {
        self.dress(Command::new(PROGRAM), words)
    }

    /// Has the program run on schedule, until the value is dropped.
    pub fn run(&self) -> Result<Child> {
        let command = self.dress(leashed(Path::new(PROGRAM)), &["run"]);
        Child::start(command, self.folder.path().join("host.log"))
    }

    /// Gives a command that ends in the program its arguments and its environment.
    pub fn dress(&self, mut command: Command, words: &[&str]) -> Command {
        command
            .args(words)
            .arg(self.config())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("XDG_CACHE_HOME", &self.cache)
            .env("SSL_CERT_FILE", &self.authority);
        command
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("probes.yaml")
    }

    fn yaml(&self, plan: &Plan) -> String {
        let mut text = "sentry:\n  tags: {location: bench}\n".to_owned();
        if let Some(dsn) = &plan.dsn {
            let spool = self.folder.path().join("spool");
            let _ = writeln!(text, "  dsn: {dsn}\n  spool: {{directory: {}}}", spool.display());
        }
        let _ = writeln!(text, "{}\ngroups:\n  - tags: {{target: bench}}\n    probes:", plan.top);
        for probe in &plan.probes {
            let _ = writeln!(text, "      - {{{probe}}}");
        }
        text
    }
}
