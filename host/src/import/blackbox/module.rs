//! The modules of the exporter, and the probe that a module is for a target.

use super::super::duration::parse_duration;
use super::super::entry::{Entry, shown};
use super::super::model::{Every, Kind, Probe};
use super::super::report::Report;
use super::targets::Target;
use super::{http, ssh};

/// The modules by their names.
#[derive(Default)]
pub struct Modules<'a>(Vec<(String, Entry<'a>)>);

impl<'a> Modules<'a> {
    /// Adds the modules of a file. The first of a name counts.
    pub fn add(&mut self, modules: &Entry<'a>, report: &mut Report) {
        for (name, module) in modules.members() {
            if self.get(name).is_some() {
                report.left_out(&module.place(), format!("another file has the module `{}` too", shown(name)));
            } else {
                self.0.push((name.to_owned(), module));
            }
        }
    }

    pub fn get(&self, name: &str) -> Option<&Entry<'a>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, module)| module)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry<'a>)> {
        self.0.iter().map(|(name, module)| (name.as_str(), module))
    }
}

/// Returns the probe of a module for a target; `None`, with a note, if there is no equivalent.
pub fn probe(modules: &Modules, name: &str, target: &Target, report: &mut Report) -> Option<Probe> {
    report.take_comments();
    let Some(module) = modules.get(name) else {
        report.left_out(&target.place, format!("a target of the module `{}`, which no file has", shown(name)));
        return None;
    };
    let prober = module.get("prober").and_then(|prober| prober.text()).unwrap_or_default();
    let timeout = module.get("timeout").and_then(|timeout| parse_duration(&timeout.text()?));
    let timeout = [timeout, target.timeout].into_iter().flatten().reduce(f64::min).filter(|seconds| *seconds > 0.0);
    let kind = match prober.as_str() {
        "http" => Kind::Http(Box::new(http::request(module, target, timeout, report)?)),
        "tcp" if ssh::is_banner(module) => Kind::Ssh(ssh::settings(target, timeout, report)?),
        other => {
            let advice = match other {
                "dns" => ": DNS has no built-in probe; `examples/probes` of SentryNet has a component",
                "icmp" | "tcp" | "grpc" | "unix" | "websocket" => "",
                _ => ": it is none of the exporter's",
            };
            let message = format!(
                "a target of the module `{}`: the prober `{}` has no equivalent{advice}",
                shown(name),
                shown(other)
            );
            report.left_out(&target.place, message);
            return None;
        }
    };
    for (key, value) in module.members() {
        if !matches!(key, "prober" | "timeout" | "http" | "tcp" | "dns" | "icmp" | "grpc" | "unix") {
            value.no_equivalent(key, report);
        }
    }
    let mut probe = Probe::new(kind);
    probe.every = target.every.map(Every::Seconds);
    probe.tags.clone_from(&target.tags);
    probe.comments = report.take_comments();
    Some(probe)
}
