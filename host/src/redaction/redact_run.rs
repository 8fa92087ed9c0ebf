//! Redaction of a run: of every text in it, regardless of its source.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::cpu_allowance::{Allowance, AllowanceUsedUp};
use super::marker::REDACTED;
use super::matcher::ShortValues;
use super::redact_evidence;
use super::run_size::RunSize;
use super::search::SearchBudget;
use super::secrets::Secrets;
use crate::run::evidence::Exchange;
use crate::run::{Failure, Frame, Identity, Outcome, Run};
use crate::trace::{Span, Value};

impl Secrets {
    /// Redacts all texts of a run. If the run did not pass, or has warnings, redacts the credentials of its targets
    /// too.
    ///
    /// `earlier` are the exchanges over which the attempts before the last one failed. The identity of the probe,
    /// which all its runs share, is not changed: [`Secrets::redact_identity`] redacts it.
    pub fn redact_run(&self, run: &mut Run, mut earlier: Vec<Exchange>) {
        let size = RunSize::of(run);
        let budget = SearchBudget::for_texts(size.texts, size.bytes);
        self.with_budget(budget).redact_texts(run);
        // The operator's commands may contain passwords.
        for command in run.trace.spans.iter_mut().filter(|span| span.op == "ssh.exec") {
            redact_evidence::redact_sentence(&mut command.description);
        }
        if run.outcome == Outcome::Passed && run.warnings.is_empty() {
            return;
        }
        // The run reports all attempts, and each may have received other credentials.
        let exchanges = earlier.iter_mut().chain(&mut run.evidence);
        let credentials: Vec<_> = exchanges.flat_map(redact_evidence::take_credentials).collect();
        Secrets::new(credentials).with_budget(budget).with_allowance(self.allowance().cloned()).redact_texts(run);
        if self.allowance().is_some_and(Allowance::is_used_up) {
            return;
        }
        // This comes after whole values have been redacted, since a search by names may find only a part of a value.
        redact_evidence::redact_credentials(run);
    }

    /// Redacts a run as [`Secrets::redact_run`] does, within an allowance of CPU time. Its unit is a text: the search
    /// in one text is not interrupted.
    ///
    /// # Errors
    /// Returns [`AllowanceUsedUp`] if the time does not suffice. Texts that were not searched for the configured values
    /// are then replaced as a whole. Credentials of targets may be left in the evidence and the log, which must be
    /// dropped.
    pub fn redact_run_within(
        &self,
        run: &mut Run,
        earlier: Vec<Exchange>,
        allowance: &Allowance,
    ) -> Result<(), AllowanceUsedUp> {
        self.with_allowance(Some(allowance.clone())).redact_run(run, earlier);
        if allowance.is_used_up() { Err(AllowanceUsedUp) } else { Ok(()) }
    }

    /// Redacts the values in all texts of a run. A number in the data of a span is redacted if it equals a value.
    pub(super) fn redact_texts(&self, run: &mut Run) {
        if self.is_empty() {
            return;
        }
        match &mut run.outcome {
            Outcome::Passed => {}
            Outcome::PassedAfterRetry(failure) | Outcome::Failed(failure) => self.redact_failure(failure),
            Outcome::Broken(fault) => {
                self.redact_in_place(&mut fault.message);
                fault.backtrace.iter_mut().for_each(|frame| self.redact_frame(frame));
            }
        }
        run.earlier.iter_mut().chain(&mut run.warnings).for_each(|failure| self.redact_failure(failure));
        if let Some(exchange) = &mut run.evidence {
            redact_evidence::for_each_text(exchange, |text| self.redact_in_place(text));
        }
        run.trace.spans.iter_mut().for_each(|span| self.redact_span(span));
        run.trace.contacts.iter_mut().for_each(|contact| self.redact_in_place(&mut contact.host));
        self.redact_tags(&mut run.tags);
        run.log.iter_mut().for_each(|line| self.redact_in_place(&mut line.message));
    }

    /// Redacts the values in a frame of a backtrace.
    pub(super) fn redact_frame(&self, Frame { function, module, file, line: _ }: &mut Frame) {
        let texts = [Some(function), module.as_mut(), file.as_mut()];
        texts.into_iter().flatten().for_each(|text| self.redact_in_place(text));
    }

    fn redact_failure(&self, failure: &mut Failure) {
        self.redact_in_place(&mut failure.message);
        // The numbers of an expectation, such as a status, are no secrets, nor are the names of reasons.
        let within = self.with_short_values(ShortValues::FoundWithin);
        within.redact_in_place(&mut failure.reason);
        for mismatch in &mut failure.mismatches {
            within.redact_in_place(&mut mismatch.subject);
            within.redact_in_place(&mut mismatch.expected);
            within.redact_in_place(&mut mismatch.actual);
        }
    }

    /// Redacts the values in the name, the title, the tags and the hosts of a probe.
    pub fn redact_identity(&self, identity: &mut Identity) {
        if self.is_empty() {
            return;
        }
        self.redact_in_place(&mut identity.probe);
        self.redact_in_place(&mut identity.title);
        // The hosts of contacts are redacted in the same way, so that they still equal these hosts.
        identity.voting_hosts.iter_mut().for_each(|host| self.redact_in_place(host));
        self.redact_tags(Arc::make_mut(&mut identity.tags));
    }

    fn redact_span(&self, span: &mut Span) {
        let within = self.with_short_values(ShortValues::FoundWithin);
        within.redact_cow(&mut span.op);
        within.redact_in_place(&mut span.description);
        for (key, value) in &mut span.data {
            within.redact_cow(key);
            // A key that is a constant belongs to the host, and so does its value.
            let secrets = if matches!(key, Cow::Borrowed(_)) { &within } else { self };
            match value {
                Value::Text(text) => secrets.redact_in_place(text),
                Value::Integer(number) if self.has_number(*number as f64) => *value = REDACTED.into(),
                Value::Number(number) if self.has_number(*number) => *value = REDACTED.into(),
                Value::Integer(_) | Value::Number(_) | Value::Boolean(_) => {}
            }
        }
    }

    /// Redacts a text that is owned. Borrowed texts are constants of the host.
    fn redact_cow(&self, text: &mut Cow<'static, str>) {
        if let Cow::Owned(text) = text {
            self.redact_in_place(text);
        }
    }

    fn redact_tags(&self, tags: &mut BTreeMap<String, String>) {
        for value in tags.values_mut() {
            self.redact_in_place(value);
        }
        if tags.keys().any(|key| matches!(self.redact(key), Cow::Owned(_))) {
            *tags =
                std::mem::take(tags).into_iter().map(|(key, value)| (self.redact(&key).into_owned(), value)).collect();
        }
    }
}
