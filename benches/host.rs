//! The host under measurement: the release program, with a configuration in a folder of its own and without this
//! process's environment. Its output for each run is discarded.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use crate::process::{Child, command_with_death_signal};
use crate::servers::{Servers, certificate};

/// The program, which cargo builds before the benchmark.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_sentrynet");

/// A folder with a configuration file, and everything that the host writes.
pub struct Setup {
    pub folder: TempDir,
    authority: PathBuf,
    cache: PathBuf,
}

/// The contents of a configuration file.
#[derive(Default)]
pub struct Config {
    pub dsn: Option<String>,
    /// Top-level keys, as YAML.
    pub top_level_keys: String,
    /// The items of `probes`, each a mapping on one line.
    pub probes: Vec<String>,
}

impl Config {
    /// Returns a configuration of `count` probes from one mapping, in which `{n}` stands for the probe's index.
    pub fn with_probes(count: usize, probe: &str) -> Self {
        let probes = (0..count).map(|n| probe.replace("{n}", &n.to_string())).collect();
        Self { probes, ..Self::default() }
    }

    /// Sends a transaction for each run to the benchmark's receiver.
    pub fn reporting_to(self, servers: &Servers) -> Self {
        Self { dsn: Some(servers.dsn()), ..self }
    }
}

impl Setup {
    /// Writes the configuration to a new folder below `shared`. `cache` is the folder of compiled probes.
    pub fn new(config: &Config, shared: &Path, cache: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(shared)?;
        let setup = Self { authority: shared.join(certificate::AUTHORITY_FILE), cache: cache.to_owned(), folder };
        std::fs::write(setup.config_file(), setup.yaml(config))?;
        Ok(setup)
    }

    /// Returns a command that runs the program with this configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.add_arguments(Command::new(PROGRAM), arguments)
    }

    /// Starts the program on its schedule. It is killed when the returned value is dropped.
    pub fn start(&self) -> Result<Child> {
        self.start_with(&["run"])
    }

    /// Starts the program with these arguments before the configuration. It is killed when the returned value is
    /// dropped.
    pub fn start_with(&self, arguments: &[&str]) -> Result<Child> {
        let command = self.add_arguments(command_with_death_signal(Path::new(PROGRAM)), arguments);
        Child::start(command, self.folder.path().join("host.log"))
    }

    /// Adds the program's arguments and environment to a command whose last argument so far is the program.
    pub fn add_arguments(&self, mut command: Command, arguments: &[&str]) -> Command {
        command
            .args(arguments)
            .arg(self.config_file())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("XDG_CACHE_HOME", &self.cache)
            // The key of the cache.
            .env("XDG_STATE_HOME", self.cache.join("state"))
            .env("SSL_CERT_FILE", &self.authority);
        command
    }

    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("probes.yaml")
    }

    /// Returns the text of a configuration file.
    pub fn yaml(&self, config: &Config) -> String {
        let mut text = "sentry:\n  tags: {location: bench}\n".to_owned();
        if let Some(dsn) = &config.dsn {
            let spool = self.folder.path().join("spool");
            let _ = writeln!(text, "  dsn: {dsn}\n  spool: {{directory: {}}}", spool.display());
        }
        let _ = writeln!(text, "{}\ngroups:\n  - tags: {{target: bench}}\n    probes:", config.top_level_keys);
        for probe in &config.probes {
            let _ = writeln!(text, "      - {{{probe}}}");
        }
        text
    }
}
