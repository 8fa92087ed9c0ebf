//! Imports modules of the Prometheus blackbox exporter, with the targets that configurations of Prometheus or files of
//! targets have for them.

mod http;
mod job;
mod module;
mod regex_syntax;
mod ssh;
mod targets;

use super::entry::{Entry, File, shown};
use super::input::{Input, InputError};
use super::model::{Configuration, Group};
use super::report::Report;
use crate::config::ForeignYaml;
use job::Job;
use module::Modules;
use targets::Target;

/// The name of the group of targets that the command line names, in messages.
const COMMAND_LINE: &str = "--target";

/// Returns a probe for each target of each job; and for each module without a job, one for each of `targets`.
///
/// # Errors
/// Returns an error for a file that is no YAML, or that has neither modules nor targets.
pub fn import(inputs: &[Input], targets: &[String], report: &mut Report) -> Result<Configuration, InputError> {
    let mut parsed = Vec::new();
    for input in inputs {
        parsed.push(ForeignYaml::parse(&input.text).map_err(|(line, message)| input.invalid(line, message))?);
    }
    let files: Vec<_> = inputs.iter().zip(&parsed).map(|(input, yaml)| File::new(&input.name, yaml, report)).collect();
    let (mut modules, mut jobs, mut target_files) = (Modules::default(), Vec::new(), Vec::new());
    for (input, file) in inputs.iter().zip(&files) {
        let root = file.root();
        if let Some(found) = root.get("modules") {
            modules.add(&found, report);
        } else if root.get("scrape_configs").is_some() || root.get("global").is_some() {
            jobs.extend(job::jobs(&root, report));
        } else if root.value.is_array() {
            target_files.push((file.name().to_owned(), root));
        } else {
            let message =
                "neither `modules` of the exporter, nor `scrape_configs` of Prometheus, nor a list of targets";
            return Err(input.invalid(1, message));
        }
    }
    for (name, root) in &target_files {
        // A file of targets by itself names the modules in its labels.
        if !jobs.iter().any(|job: &Job| job.uses(name)) {
            jobs.push(Job::of_targets(root));
        }
    }
    let mut groups: Vec<_> = jobs.iter_mut().map(|job| job.group(&modules, &target_files, report)).collect();
    groups.push(unused_modules(&modules, &jobs, targets, report));
    Ok(Configuration { groups, ..Configuration::default() })
}

/// Returns probes of the modules that no job uses, for the targets of the command line.
fn unused_modules(modules: &Modules, jobs: &[Job], targets: &[String], report: &mut Report) -> Group {
    let mut group = Group::default();
    for (name, entry) in modules.iter().filter(|(name, _)| !jobs.iter().any(|job| job.has_module(name))) {
        if targets.is_empty() {
            left_without_target(name, entry, report);
        }
        for target in targets {
            let built = module::probe(modules, name, &Target::new(target, entry.place()), report);
            group.probes.extend(built);
        }
    }
    group
}

fn left_without_target(name: &str, entry: &Entry, report: &mut Report) {
    let message = format!(
        "the module `{}`, which has no target: import the configuration of Prometheus too, or give `{COMMAND_LINE}`",
        shown(name)
    );
    report.left_out(&entry.place(), message);
}
