//! Jobs of Prometheus that scrape the exporter.

use super::super::duration::parse_duration;
use super::super::entry::{Entry, shown};
use super::super::model::{Group, Probe};
use super::super::report::{Place, Report};
use super::module::{self, Modules};
use super::targets::{Labeled, Target, fits, targets};

/// The seconds from one scrape to the next, and those that a scrape may take, unless Prometheus is told otherwise.
const DEFAULT_INTERVAL: f64 = 60.0;
const DEFAULT_TIMEOUT: f64 = 10.0;
/// The seconds that the exporter takes off the timeout of a scrape.
const TIMEOUT_OFFSET: f64 = 0.5;

/// A job.
pub struct Job<'a> {
    entry: Entry<'a>,
    name: Option<String>,
    /// The module of all targets; otherwise a label names it.
    module: Option<(String, Place)>,
    /// The labels that relabelling takes the module from.
    module_labels: Vec<String>,
    every: Option<f64>,
    timeout: Option<f64>,
    /// The paths of files of targets.
    files: Vec<String>,
    /// The modules that its targets use.
    used: Vec<String>,
}

/// Returns the jobs of a configuration of Prometheus that scrape the exporter.
pub fn jobs<'a>(root: &Entry<'a>, report: &mut Report) -> Vec<Job<'a>> {
    let global = root.get("global");
    let of = |entry: Option<&Entry>, key: &str| entry.and_then(|entry| parse_duration(&entry.get(key)?.text()?));
    let mut jobs = Vec::new();
    for entry in root.get("scrape_configs").map(|jobs| jobs.items()).unwrap_or_default() {
        let interval =
            of(Some(&entry), "scrape_interval").or(of(global.as_ref(), "scrape_interval")).unwrap_or(DEFAULT_INTERVAL);
        let timeout =
            of(Some(&entry), "scrape_timeout").or(of(global.as_ref(), "scrape_timeout")).unwrap_or(DEFAULT_TIMEOUT);
        let mut job = Job::of_targets(&entry);
        job.every = Some(interval);
        job.timeout = Some(timeout.min(interval) - TIMEOUT_OFFSET).filter(|seconds| *seconds > 0.0).or(Some(timeout));
        job.read(report);
        if job.scrapes_exporter() { jobs.push(job) } else { job.note_other(report) }
    }
    jobs
}

impl<'a> Job<'a> {
    /// Returns a job whose targets name their modules in labels.
    pub fn of_targets(entry: &Entry<'a>) -> Self {
        let (entry, module_labels) = (entry.clone(), vec!["module".to_owned(), "__param_module".to_owned()]);
        let (files, used) = (Vec::new(), Vec::new());
        Self { entry, name: None, module: None, module_labels, every: None, timeout: None, files, used }
    }

    fn read(&mut self, report: &mut Report) {
        for (key, value) in self.entry.members() {
            match key {
                "job_name" => self.name = value.text(),
                "params" => self.read_params(&value, report),
                "relabel_configs" => self.read_relabelling(&value, report),
                "file_sd_configs" => {
                    self.files =
                        value.items().iter().filter_map(|item| item.get("files")).flat_map(|it| it.texts()).collect();
                }
                "scrape_interval" | "scrape_timeout" | "metrics_path" | "static_configs" | "scheme"
                | "honor_labels" => {}
                key if key.ends_with("_sd_configs") && self.scrapes_exporter() => {
                    report.left_out(&value.place(), format!("the targets of `{}`: write them to a file", shown(key)));
                }
                _ => {}
            }
        }
    }

    fn read_params(&mut self, params: &Entry, report: &mut Report) {
        for (key, value) in params.members() {
            match key {
                "module" => {
                    self.module = value.texts().into_iter().next().map(|module| (module, value.place()));
                    if value.items().len() > 1 {
                        report.left_out(
                            &value.place(),
                            "of several modules, all but the first, which the exporter takes",
                        );
                    }
                }
                "target" | "debug" => {}
                key => value.no_equivalent(&format!("params.{key}"), report),
            }
        }
    }

    /// Finds the label that the module is taken from. Rules that only pass the target on are understood.
    fn read_relabelling(&mut self, rules: &Entry, report: &mut Report) {
        for rule in rules.items() {
            let target = rule.get("target_label").and_then(|label| label.text()).unwrap_or_default();
            let sources = rule.get("source_labels").map(|labels| labels.texts()).unwrap_or_default();
            match (target.as_str(), sources.first()) {
                ("__param_module", Some(source)) => self.module_labels.insert(0, source.clone()),
                ("__param_module", None) => {
                    let module = rule.get("replacement").and_then(|value| value.text());
                    self.module = module.map(|module| (module, rule.place()));
                }
                ("__param_target" | "__address__" | "instance", _) if rule.get("regex").is_none() => {}
                _ if self.scrapes_exporter() => report.left_out(&rule.place(), "a rule of relabelling"),
                _ => {}
            }
        }
    }

    /// Returns true if the job is one of the exporter: its path is `/probe`, or it names a module.
    fn scrapes_exporter(&self) -> bool {
        let path = self.entry.get("metrics_path").and_then(|path| path.text());
        path.is_some_and(|path| path.trim_end_matches('/').ends_with("/probe"))
            || self.entry.get("params").is_some_and(|params| params.get("module").is_some())
    }

    fn note_other(&self, report: &mut Report) {
        let name = self.name.as_deref().unwrap_or_default();
        report.remark(&self.entry.place(), format!("the job `{}` does not scrape the exporter", shown(name)));
    }

    /// Returns true if the job takes its targets from this file.
    pub fn uses(&self, file: &str) -> bool {
        self.files.iter().any(|pattern| fits(file, pattern))
    }

    pub fn has_module(&self, name: &str) -> bool {
        self.used.iter().any(|used| used == name)
    }

    /// Returns the probes of all targets.
    pub fn group(&mut self, modules: &Modules, files: &[(String, Entry)], report: &mut Report) -> Group {
        let mut found = self.entry.get("static_configs").map(|list| targets(&list)).unwrap_or_default();
        if self.entry.value.is_array() {
            found.extend(targets(&self.entry));
        }
        if let Some(params) = self.entry.get("params").and_then(|params| params.get("target")) {
            let place = params.place();
            let target = |address: String| Labeled { target: Target::new(&address, place.clone()), labels: Vec::new() };
            found.extend(params.texts().into_iter().map(target));
        }
        for pattern in &self.files {
            let fitting = files.iter().filter(|(name, _)| fits(name, pattern));
            let before = found.len();
            found.extend(fitting.flat_map(|(_, root)| targets(root)));
            if found.len() == before {
                let message = format!("targets of the file `{}`: import it too", shown(pattern));
                report.left_out(&self.entry.place(), message);
            }
        }
        let tags = self.name.as_deref().and_then(|name| tag("job", name)).into_iter().collect();
        report.take_comments();
        let probes: Vec<_> = found.into_iter().filter_map(|target| self.probe(target, modules, report)).collect();
        Group { comments: report.take_comments(), tags, probes }
    }

    fn probe(&mut self, labeled: Labeled, modules: &Modules, report: &mut Report) -> Option<Probe> {
        let Labeled { mut target, labels } = labeled;
        let of_label = |name: &String| labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.clone());
        let of_labels = self.module_labels.iter().find_map(of_label);
        let Some(module) = of_labels.or_else(|| self.module.as_ref().map(|(module, _)| module.clone())) else {
            report.left_out(&target.place, "a target without a module: name it in the label `module`");
            return None;
        };
        let is_tag = |name: &String| !name.starts_with("__") && !self.module_labels.contains(name);
        target.tags =
            labels.iter().filter(|(name, _)| is_tag(name)).filter_map(|(name, value)| tag(name, value)).collect();
        (target.every, target.timeout) = (self.every, self.timeout);
        if !self.has_module(&module) {
            self.used.push(module.clone());
        }
        module::probe(modules, &module, &target, report)
    }
}

/// Returns a tag that Sentry takes. Labels have names of letters, digits and `_`.
fn tag(name: &str, value: &str) -> Option<(String, String)> {
    const MAX_CHARS: usize = 200;
    let is_name =
        !name.is_empty() && name.len() <= MAX_CHARS && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_CHARS).collect();
    (is_name && !value.trim().is_empty()).then(|| (name.to_owned(), value.trim().to_owned()))
}
