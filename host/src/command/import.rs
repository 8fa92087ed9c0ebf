//! `sentrynet import`: writes a configuration from files of other programs, and says what has no equivalent.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use sentrynet::import::{Format, Imported, Input, InputError, Selection, import};
use sentrynet::printable::StyledText;

use super::INVALID_INPUT;
use crate::logging::{print_error, print_note, print_warning};
use crate::output::print;

/// The exit code if something was left out of the configuration.
const LEFT_OUT: u8 = 4;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    format: FormatArguments,
}

#[derive(Subcommand)]
enum FormatArguments {
    /// HTTP archives of browsers (HAR): a chain for each page, of its documents and what its scripts fetch
    Har {
        #[command(flatten)]
        common: Common,
        /// Take images, styles, scripts and the like too
        #[arg(long)]
        all: bool,
        /// Take requests to this host too: a name, `*.NAME`, or `*` for all; can be given several times
        #[arg(long = "host", value_name = "HOST")]
        hosts: Vec<String>,
        /// Make a probe for each request, instead of a chain for each page
        #[arg(long)]
        separate: bool,
    },
    /// Modules of the Prometheus blackbox exporter, with configurations of Prometheus or lists of targets
    Blackbox {
        #[command(flatten)]
        common: Common,
        /// A target of the modules that no imported job uses; can be given several times
        #[arg(long = "target", value_name = "URL")]
        targets: Vec<String>,
    },
    /// Configurations of Gatus: endpoints of HTTP and SSH, and suites
    Gatus {
        #[command(flatten)]
        common: Common,
    },
    /// Command lines of curl: scripts, and what browsers copy as cURL for bash
    Curl {
        #[command(flatten)]
        common: Common,
    },
}

#[derive(clap::Args)]
struct Common {
    /// The files to import to one configuration; `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write the configuration to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite the file of `--output` if it exists
    #[arg(long, requires = "output")]
    force: bool,
    /// Write no configuration if something would be left out of it
    #[arg(long)]
    strict: bool,
}

/// Imports files. Returns the exit code.
pub fn run(arguments: &Arguments) -> u8 {
    let (format, common) = match &arguments.format {
        FormatArguments::Har { common, all, hosts, separate } => {
            let selection = Selection { has_all_types: *all, hosts: hosts.clone(), is_separate: *separate };
            (Format::Har(selection), common)
        }
        FormatArguments::Blackbox { common, targets } => (Format::Blackbox { targets: targets.clone() }, common),
        FormatArguments::Gatus { common } => (Format::Gatus, common),
        FormatArguments::Curl { common } => (Format::Curl, common),
    };
    let inputs: Result<Vec<_>, InputError> = common.files.iter().map(|file| Input::read(file)).collect();
    match inputs.and_then(|inputs| import(&format, &inputs)) {
        Ok(imported) => finish(&imported, common),
        Err(error) => {
            print_error(&error.to_string());
            INVALID_INPUT
        }
    }
}

/// Writes the configuration and the notes. Returns the exit code.
fn finish(imported: &Imported, common: &Common) -> u8 {
    print_notes(imported);
    if common.strict && imported.left_out > 0 {
        print_error("nothing is written, since `--strict` is given and something would be left out");
        return LEFT_OUT;
    }
    match &common.output {
        None => {
            let mut text = StyledText::new();
            imported.yaml.lines().for_each(|line| text.push_line(line));
            print(&text);
        }
        Some(file) => {
            if let Err(error) = write(file, &imported.yaml, common.force) {
                print_error(&error);
                return INVALID_INPUT;
            }
        }
    }
    if imported.left_out > 0 { LEFT_OUT } else { 0 }
}

/// Writes what was left out, the variables to set, and a summary.
fn print_notes(imported: &Imported) {
    for note in &imported.notes {
        if note.is_left_out {
            print_warning(&format!("{}: left out: {}", note.place, note.message));
        } else {
            print_note(&format!("{}: {}", note.place, note.message));
        }
    }
    if imported.more_notes > 0 {
        print_warning(&format!("{} more messages are not shown", imported.more_notes));
    }
    for variable in &imported.variables {
        print_note(&format!("set {}: {} ({})", variable.name, variable.purpose, variable.place));
    }
    let Imported { probes, left_out, variables, .. } = imported;
    print_note(&format!("probes: {probes}, left out: {left_out}, variables to set: {}", variables.len()));
}

/// Writes a file that others cannot write. An existing one is overwritten with `force` alone.
fn write(file: &Path, text: &str, force: bool) -> Result<(), String> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(!force).create(true).truncate(force);
    let written = options.open(file).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            format!("{} exists: choose another file with `--output`, or overwrite it with `--force`", file.display())
        }
        _ => format!("cannot write {}: {error}; choose another file with `--output`", file.display()),
    })
}
