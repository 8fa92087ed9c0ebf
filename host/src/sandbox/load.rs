//! Loads configured probes: describes their components, checks their settings, and chooses their titles.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use wasmtime::Store;

use crate::capability::bindings::Probe as Bindings;
use crate::capability::bindings::exports::sentrynet::probe::prober;
use crate::capability::{Context, ProbeContext, truncate};
use crate::config;
use crate::sandbox::backtrace::format_fault;
use crate::sandbox::component;
use crate::sandbox::component_cache::{ComponentCache, DescribedComponent};
use crate::sandbox::context_factory::ContextFactory;
use crate::sandbox::cpu_estimate::CpuEstimate;
use crate::sandbox::imports::unusable_imports;
use crate::sandbox::ineffective_settings::ineffective_settings;
use crate::sandbox::instance::{LoadCall, call_once};
use crate::sandbox::loaded_component::LoadedComponent;
use crate::sandbox::merge_problems::merge;
use crate::sandbox::probe::{Probe, ProbeShared};
use crate::sandbox::problem::Problem;
use crate::sandbox::{group_settings, secret_hosts, settings, ungranted_hosts};
use crate::schema::{Schema, Violation};

/// The greatest length of a problem's message, and of its pointer, in bytes.
const MAX_MESSAGE_BYTES: usize = 1024;

/// Loads a configured probe. Returns the probe, and warnings about it. Relative paths of the settings are resolved
/// against `directory`.
///
/// # Errors
/// Returns all problems with the component or the settings.
pub async fn load(
    components: &ComponentCache,
    contexts: &Mutex<ContextFactory>,
    probe: &config::Probe,
    directory: &Path,
) -> Result<(Probe, Vec<Problem>), Vec<Problem>> {
    let checks = Arc::new(contexts.lock().for_checks(probe, &probe.name, directory));
    let loaded = components.load(&probe.module, &checks).await.map_err(component_problem)?;
    let DescribedComponent { component, description, schema, .. } = loaded;
    let probe = &*group_settings::for_component(probe, &description.schema);
    let checks = Arc::new(contexts.lock().for_checks(probe, &probe.name, directory));

    let (visible_settings, violations) = check_schema(&schema, probe)?;
    let settings = visible_settings.to_string();
    let built_in = matches!(probe.module, config::Module::BuiltIn(_));
    let visible_settings = Arc::new(if built_in { Value::Null } else { visible_settings });
    let checks = if built_in {
        checks
    } else {
        let visible_settings = Arc::clone(&visible_settings);
        Arc::new(ProbeContext { visible_settings, ..contexts.lock().for_checks(probe, &probe.name, directory) })
    };
    let mut report = check_by_probe(&component, &checks, &settings, !violations.is_empty()).await?;
    let missing_title = probe.title.is_none() && settings::requires_title(&description.schema);
    let problems = missing_title.then(title_problem).into_iter().chain(merge(violations, report.problems));
    let problems = problems.chain(secret_hosts::problems(&probe.allow, &probe.settings, &description.schema));
    let problems: Vec<_> = problems.map(suggest_host_key).collect();
    if !problems.is_empty() {
        return Err(problems);
    }

    let doubled = settings::template_warnings(&schema, &probe.settings).map_err(component_problem)?;
    let title = choose_title(probe, report.title);
    let imports = component::imports(component.pre.instance_pre().component());
    let unusable = unusable_imports(&imports, &probe.allow).into_iter().map(|message| problem("/probe", message));
    let mut not_allowed: Vec<_> = unusable.collect();
    if not_allowed.is_empty() {
        not_allowed = ungranted_hosts::warnings(&imports, &probe.allow, &probe.settings);
    }
    // The component has built a request to a host that its settings name: the warning at the setting says the same.
    let is_repeated = |reported: &Problem| {
        reported.pointer == "/probe" && not_allowed.iter().any(|placed| placed.message.ends_with(&reported.message))
    };
    report.warnings.retain(|reported| !is_repeated(reported));
    let ineffective = ineffective_settings(probe);
    let warnings = report.warnings.into_iter().chain(doubled).chain(not_allowed).chain(ineffective).collect();
    let (context, limits) = {
        let mut contexts = contexts.lock();
        (contexts.for_runs(probe, &title, directory), contexts.limits(probe))
    };
    let context = ProbeContext { visible_settings, ..context };
    let loaded = Probe::new(ProbeShared {
        component,
        settings: settings.into(),
        limits,
        retries: probe.retries,
        cpu_estimate: CpuEstimate::new(context.built_in),
        context: Arc::new(context),
    });
    Ok((loaded, warnings))
}

/// Checks the settings against the component's schema. Returns the settings for the guest, and the violations of the
/// schema.
///
/// # Errors
/// Returns a problem with the component if checking against its schema takes too many steps.
fn check_schema(schema: &Schema, probe: &config::Probe) -> Result<(Value, Vec<Violation>), Vec<Problem>> {
    let converted =
        settings::convert_references(schema, &probe.settings, &probe.interpolations).map_err(component_problem)?;
    let mut violations = schema.check(&converted).map_err(component_problem)?;
    // `title` is the host's key: the settings never contain it, and the host checks it.
    violations.retain(|violation| !violation.pointer.is_empty() || violation.missing_key.as_deref() != Some("title"));
    let for_guest = settings::for_guest(schema, converted, &probe.interpolations).map_err(component_problem)?;
    Ok((for_guest, violations))
}

/// Adds to the message about an unknown key what neither the schema of the component nor its own check has: the host's
/// own keys, and the names that other programs have for settings.
fn suggest_host_key(mut problem: Problem) -> Problem {
    if problem.message.starts_with("unknown key ") {
        problem.message = config::unknown_setting(&problem.pointer, &problem.message);
    }
    problem
}

/// The result of a probe's own check of its settings.
#[derive(Default)]
struct Report {
    title: Option<String>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

/// A call of a component's `check`. Its output is the result of `check`, and the warnings that the component reports
/// during the call, each with a pointer and a message.
struct Check<'a> {
    /// The settings for the guest, as JSON.
    settings: &'a str,
}

impl LoadCall for Check<'_> {
    type Output = (Result<Option<String>, Vec<prober::Problem>>, Vec<(String, String)>);

    async fn call(&self, guest: &Bindings, store: &mut Store<Context>) -> wasmtime::Result<Self::Output> {
        let checked = guest.sentrynet_probe_prober().call_check(&mut *store, self.settings).await?;
        Ok((checked, std::mem::take(&mut store.data_mut().warnings)))
    }
}

/// Lets a component check its settings. If the settings violate the schema, faults of the call are ignored, since a
/// component need not handle settings that its schema forbids.
async fn check_by_probe(
    component: &LoadedComponent,
    context: &Arc<ProbeContext>,
    settings: &str,
    has_violations: bool,
) -> Result<Report, Vec<Problem>> {
    const MAX_PROBLEMS: usize = 100;
    let (checked, warnings) = match call_once(component, context, Check { settings }).await {
        Ok(checked) => checked,
        Err(_) if has_violations => return Ok(Report::default()),
        Err(fault) => {
            let message = format!("the probe cannot check its settings: {}", format_fault(fault));
            return Err(vec![problem("/probe", message)]);
        }
    };
    let warnings = warnings.into_iter().map(|(pointer, message)| Problem { pointer, message }).collect();
    match checked {
        Ok(title) => Ok(Report { title, problems: Vec::new(), warnings }),
        Err(problems) if problems.is_empty() && !has_violations => {
            Err(vec![problem("", "the probe refuses these settings, and does not say why".to_owned())])
        }
        Err(problems) => {
            let not_shown = problems.len().saturating_sub(MAX_PROBLEMS);
            let problems = problems.into_iter().take(MAX_PROBLEMS);
            let problems = problems.map(|reported| Problem {
                pointer: truncate(reported.pointer, MAX_MESSAGE_BYTES),
                message: truncate(reported.message, MAX_MESSAGE_BYTES),
            });
            let rest = (not_shown > 0).then(|| problem("", format!("the probe reports {not_shown} more problems")));
            Ok(Report { title: None, problems: problems.chain(rest).collect(), warnings })
        }
    }
}

/// Returns a probe's title: the configuration's, else the one that the component derives from the settings, else the
/// component's name. If the component is built in, the derived title passes Sentry's filter for health checks.
fn choose_title(probe: &config::Probe, derived: Option<String>) -> String {
    const MAX_TITLE_BYTES: usize = 200;
    let derived = derived.map(|title| one_line(&truncate(title, MAX_TITLE_BYTES))).filter(|title| !title.is_empty());
    let derived = match probe.module {
        config::Module::BuiltIn(_) => derived.map(config::unfiltered_title),
        config::Module::File { .. } => derived,
    };
    probe.title.clone().or(derived).unwrap_or_else(|| probe.name.clone())
}

/// Returns a component's text with its control characters replaced by spaces, and without spaces at its ends.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ").trim().to_owned()
}

fn title_problem() -> Problem {
    problem("", "the key `title` is missing: this probe does not derive a title from its settings".to_owned())
}

/// Returns a problem with the component itself.
fn component_problem(error: impl std::fmt::Display) -> Vec<Problem> {
    vec![problem("/probe", error.to_string())]
}

fn problem(pointer: &str, message: String) -> Problem {
    Problem { pointer: pointer.to_owned(), message: truncate(message, MAX_MESSAGE_BYTES) }
}
