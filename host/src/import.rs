//! From files of other programs to configurations: [`import`] writes one, and tells what could not be carried over.
//!
//! Each importer (`blackbox`, `curl`, `gatus`, `har`) builds a configuration of typed fields (`model`), by `request`,
//! which makes variables of credentials, and notes in a `Report` what has no equivalent. `yaml` then writes it.

mod blackbox;
mod checks;
mod curl;
mod duration;
mod entry;
mod gatus;
mod har;
mod input;
mod model;
mod report;
mod request;
mod text;
mod yaml;

pub use har::Selection;
pub use input::{Input, InputError};
pub use report::{Note, Place, Variable};

use model::Configuration;
use report::Report;

/// The maximal size of a configuration, which is the one that a configuration file may have.
const MAX_CONFIGURATION_BYTES: usize = 16 << 20;
/// The maximal number of probes of an import.
const MAX_PROBES: usize = 10_000;

/// The program that has written the files, with what only its importer needs.
#[derive(Debug, Clone)]
pub enum Format {
    /// Modules of the Prometheus blackbox exporter, and configurations of Prometheus or lists of targets.
    Blackbox {
        /// Targets of the modules that no job uses.
        targets: Vec<String>,
    },
    /// Command lines of curl.
    Curl,
    /// Configurations of Gatus.
    Gatus,
    /// HTTP archives.
    Har(Selection),
}

/// An imported configuration.
#[derive(Debug)]
pub struct Imported {
    /// The configuration, as YAML.
    pub yaml: String,
    /// The number of probes in it.
    pub probes: usize,
    /// What could not be carried over, or only in another way.
    pub notes: Vec<Note>,
    /// The number of further notes.
    pub more_notes: usize,
    /// The number of notes that say that something was left out.
    pub left_out: usize,
    /// The environment variables that the configuration refers to.
    pub variables: Vec<Variable>,
}

/// Imports files of one format to one configuration.
///
/// # Errors
/// Returns an error if a file is not of the format, or if the configuration would be too large.
pub fn import(format: &Format, inputs: &[Input]) -> Result<Imported, InputError> {
    let mut report = Report::default();
    let (name, mut configuration) = match format {
        Format::Blackbox { targets } => ("blackbox", blackbox::import(inputs, targets, &mut report)?),
        Format::Curl => ("curl", curl::import(inputs, &mut report)),
        Format::Har(selection) => ("har", har::import(inputs, selection, &mut report)?),
        Format::Gatus => ("gatus", gatus::import(inputs, &mut report)?),
    };
    bound_probes(&mut configuration, inputs, &mut report);
    configuration.comments = head(name, inputs, &report);
    let yaml = yaml::write(&configuration.to_map());
    if yaml.len() > MAX_CONFIGURATION_BYTES {
        return Err(InputError::ResultTooLarge);
    }
    let probes = configuration.probe_count();
    let (notes, more_notes, left_out, variables) = report.finish();
    Ok(Imported { yaml, probes, notes, more_notes, left_out, variables })
}

fn bound_probes(configuration: &mut Configuration, inputs: &[Input], report: &mut Report) {
    let mut left = MAX_PROBES;
    let found = configuration.probe_count();
    for group in &mut configuration.groups {
        group.probes.truncate(left);
        left -= group.probes.len();
    }
    if let (true, Some(input)) = (found > MAX_PROBES, inputs.last()) {
        let place = Place { file: input.name.as_str().into(), line: 1 };
        report.left_out(&place, format!("{} probes: an import has {MAX_PROBES} at most", found - MAX_PROBES));
    }
}

/// Returns the comments at the top of the configuration.
fn head(name: &str, inputs: &[Input], report: &Report) -> Vec<String> {
    const MAX_NAMED: usize = 10;
    let mut files: Vec<_> = inputs.iter().take(MAX_NAMED).map(|input| input.name.as_str()).collect();
    if inputs.len() > MAX_NAMED {
        files.push("…");
    }
    let mut comments = vec![format!("Imported by `sentrynet import {name}` from {}.", files.join(", "))];
    if !report.variables().is_empty() {
        comments.push("Needs these environment variables:".to_owned());
        let variables = report.variables().iter();
        comments.extend(variables.map(|it| format!("  {}: {} ({})", it.name, it.purpose, it.place)));
    }
    comments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Source};

    /// Asserts that a text is imported without a panic, and to a configuration whose host's keys are valid.
    #[track_caller]
    fn check_import(format: &Format, text: &str) {
        let input = Input { name: "file".to_owned(), text: text.to_owned() };
        let Ok(imported) = import(format, &[input]) else { return };
        let source = Source::from_text("imported", imported.yaml);
        let parsed = config::parse(&source, &|name| (!name.starts_with("SENTRY")).then(|| "1".to_owned()));
        let is_meant = |message: &str| message.starts_with("no file `") || message.contains("`every` must be");
        let wrong: Vec<_> = parsed.errors.iter().filter(|error| !is_meant(&error.message)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}\n{text}\n{}", source.text);
    }

    fn formats() -> [(Format, &'static [&'static str]); 4] {
        macro_rules! texts {
            ($($name:literal)*) => { &[$(include_str!(concat!("../../tests/import/", $name))),*] };
        }
        let targets = vec!["https://shop.example/".to_owned(), "192.0.2.7:22".to_owned()];
        let all = Selection { has_all_types: true, hosts: vec!["*".to_owned()], is_separate: false };
        [
            (Format::Blackbox { targets }, texts!("blackbox.yml" "blackbox-nasty.yml" "prometheus.yml" "targets.json")),
            (Format::Curl, texts!("curl.sh" "curl-nasty.sh")),
            (Format::Gatus, texts!("gatus.yaml" "gatus-nasty.yaml")),
            (Format::Har(all), texts!("shop.har" "nasty.har")),
        ]
    }

    #[test]
    fn damaged_files_make_valid_configurations_or_errors() {
        const INSERTED: [&str; 12] =
            ["\n", "\"", "'", "{", "}", "[", "]", "$", "${", "\\", ": ", "\u{1b}\u{202e}\u{10ffff}"];
        for (format, texts) in formats() {
            for text in texts {
                check_import(&format, text);
                let positions: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
                for (count, at) in positions.iter().enumerate().filter(|(count, _)| count % 41 == 0) {
                    let (before, after) = text.split_at(*at);
                    check_import(&format, before);
                    check_import(&format, &format!("{before}{}{after}", INSERTED[count / 41 % INSERTED.len()]));
                    let end = after.char_indices().nth(count % 40).map_or(after.len(), |(end, _)| end);
                    check_import(&format, &format!("{before}{}", &after[end..]));
                }
            }
        }
    }

    #[test]
    fn files_of_other_programs_are_errors_or_empty() {
        for (format, _) in formats() {
            for (_, texts) in formats() {
                for text in texts {
                    check_import(&format, text);
                }
            }
            for text in ["", "\0", "[]", "{}", "null", "1", "- - -", "endpoints: 5", "modules: [x]", "suites: {a: 1}"] {
                check_import(&format, text);
            }
        }
    }
}
