//! Samples an assessed run, builds its envelopes, and pushes or holds them.

use std::sync::Arc;

use super::check_in::CheckIn;
use super::check_in_timer::CheckInTimer;
use super::configuration_event::configuration_event;
use super::envelope_builder;
use super::fanout::Fanout;
use super::offline_event::offline_event;
use super::payload::HostEvent;
use super::sampling;
use crate::assessment::{AssessedRun, Decision, ErrorAction, HeldErrors};
use crate::config::{self, Sample};
use crate::propagation::EventDefaults;

/// The path of all that is sent to Sentry: it samples runs, builds envelopes, and pushes or holds them.
pub struct Pipeline {
    pub fanout: Arc<Fanout>,
    event_defaults: Arc<EventDefaults>,
    sample: Sample,
    check_ins: CheckInTimer,
}

impl Pipeline {
    /// Creates a pipeline to these destinations. Must be called within a tokio runtime.
    pub fn new(settings: &config::Sentry, fanout: Fanout) -> Self {
        let (fanout, event_defaults) = (Arc::new(fanout), Arc::new(EventDefaults::new(settings)));
        let (push_to, defaults) = (Arc::clone(&fanout), Arc::clone(&event_defaults));
        let push = move |check_in: CheckIn<'_>| {
            push_to.push(vec![envelope_builder::check_in(check_in, rand::random(), &defaults)]);
        };
        let check_ins = CheckInTimer::start(&settings.monitors, push);
        Self { fanout, event_defaults, sample: settings.sample, check_ins }
    }

    /// Sends a run: its transaction unless it is sampled out, its error as [`ErrorAction`] says, its warnings that are
    /// due, and its check-in. A run during which this host was suspended has only its error: its duration would distort
    /// the statistics of its target, and its check-in would begin an outage.
    pub fn report(&self, assessed: &AssessedRun) {
        let AssessedRun { run, assessment } = assessed;
        let error = || envelope_builder::error(run, assessment, &self.event_defaults);
        let mut envelopes = Vec::new();
        match assessment.error {
            Some(ErrorAction::Report) => envelopes.push(error()),
            Some(ErrorAction::Hold) => self.fanout.hold(vec![error()]),
            Some(ErrorAction::Suppress) => self.fanout.count_suppressed(),
            None => {}
        }
        let due = assessment.warnings.iter().enumerate().filter(|(_, warning)| warning.is_due);
        let warning = |index| envelope_builder::warning(run, assessment, index, &self.event_defaults);
        envelopes.extend(due.map(|(index, _)| warning(index)));
        // While an error is held, its check-in is held too. If this host has no network, the run says nothing about the
        // target.
        let is_suspended = run.outcome.is_suspended();
        if assessment.error != Some(ErrorAction::Hold) && !assessment.is_offline && !is_suspended {
            self.check_ins.record(run);
        }
        match sampling::sample_rate(run, assessment, &self.sample).filter(|_| !is_suspended) {
            Some(rate) => {
                envelopes.insert(0, envelope_builder::transaction(run, assessment, rate, &self.event_defaults));
            }
            // A transaction that is sampled out is not built.
            None => self.fanout.count_sampled_out(u32::try_from(run.trace.spans.len()).unwrap_or(u32::MAX)),
        }
        if !envelopes.is_empty() {
            self.fanout.push(envelopes);
        }
    }

    /// Releases or drops the held errors, and sends the offline event if the decision has one.
    pub fn on_decision(&self, decision: &Decision) {
        match &decision.held_errors {
            Some(HeldErrors::Report(runs)) => {
                self.fanout.release_held();
                for assessed in runs {
                    self.check_ins.record(&assessed.run);
                }
            }
            Some(HeldErrors::Suppress(_)) => self.fanout.drop_held(),
            None => {}
        }
        if let Some(finding) = &decision.offline_event {
            let event = offline_event(finding, self.event_defaults.server_name());
            self.fanout.push(vec![envelope_builder::host_event(&event, &self.event_defaults)]);
        }
    }

    /// Sends an event about a configuration that was refused.
    pub fn report_refused_configuration(&self, name: &str, text: &str) {
        let event = configuration_event(name, text, self.event_defaults.server_name());
        self.fanout.push(vec![envelope_builder::host_event(&event, &self.event_defaults)]);
    }

    /// Sends a panic of this process, before its thread unwinds.
    pub fn report_panic(&self, event: &HostEvent) {
        self.fanout.try_push(&envelope_builder::host_event(event, &self.event_defaults));
    }

    /// Replaces the monitors that runs check in to.
    pub fn set_monitors(&self, monitors: &[config::Monitor]) {
        self.check_ins.set_monitors(monitors);
    }

    /// Sends all check-ins whose minute has not ended yet.
    pub fn flush_check_ins(&self) {
        self.check_ins.flush();
    }
}
