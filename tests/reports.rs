//! What `once` reports to CI systems: formats, files, exit codes, selected probes, and the progress on a terminal.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::guests::{Guest, PASSES};
use crate::support::target::Target;
use crate::support::{CommandOutput, empty_folder, run_command, sentrynet};

mod exit_codes;
mod files;
mod github;
mod junit;
mod markdown;
mod progress;
mod selection;

/// What a target sends to break out of any report: of XML, Markdown, HTML, and the log of a runner.
const HOSTILE: &str = "]]></failure></system-out>\u{1b}[31m\u{8}\u{c}\u{ffff}\u{fffe}&lt; <b>|\n::error::forged\n \
                       ##[error]forged\n```\n~~~\n</details>\n</code>| `x` **y** [z](http://e/) @all #1\n::warning::%0A";

/// A configuration of four probes in a folder: two pass, one fails and one breaks.
struct Shop {
    folder: PathBuf,
    file: PathBuf,
    _target: Target,
}

impl Shop {
    /// Writes the configuration to a folder of this name.
    fn new(name: &str) -> Self {
        let target = Target::responding(|requests| {
            let is_up = requests.last().is_some_and(|request| request.line.starts_with("GET /up"));
            let (status, body) = if is_up { ("200 OK", "fine") } else { ("503 Down", HOSTILE) };
            format!("{status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        });
        let broken = Guest { run: "unreachable", ..PASSES }.write(&format!("reports-{name}"));
        let folder = empty_folder(&format!("reports-{name}"));
        let file = folder.join("probes.yaml");
        std::fs::write(&file, configuration(target.port, &broken)).expect("the folder is writable");
        Self { folder, file, _target: target }
    }

    /// Runs `sentrynet once` in the folder with these arguments.
    fn once(&self, arguments: &[&str]) -> CommandOutput {
        run_command(self.command().args(arguments), "")
    }

    /// Returns the command `sentrynet once probes.yaml`, to be run in the folder.
    fn command(&self) -> Command {
        let mut command = sentrynet();
        command.current_dir(&self.folder).args(["once", "probes.yaml"]);
        command
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

/// Returns the configuration, whose probes are on the lines 5, 8, 12 and 13.
fn configuration(port: u16, broken: &Path) -> String {
    format!(
        "groups:
  - tags: {{team: shop, 'a-b': '<\"x\">'}}
    probes:
      # The first probe.
      - probe: http
        title: Front page
        url: http://127.0.0.1:{port}/up
      - probe: http
        title: 'Checkout: <a, b> 100%'
        url: http://127.0.0.1:{port}/down
  - probes:
      - {{probe: '{}', title: Stock}}
      - {{probe: http, title: Search, url: 'http://127.0.0.1:{port}/up', tags: {{team: search}}}}
",
        broken.display()
    )
}

/// Returns the titles of the runs in a report in JSON.
fn titles(json: &str) -> Vec<String> {
    let runs: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let runs = runs.as_array().expect("runs are a list");
    runs.iter().map(|run| run["title"].as_str().expect("a title is text").to_owned()).collect()
}
