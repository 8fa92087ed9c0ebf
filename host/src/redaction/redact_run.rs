//! A run without secrets. Knows each text of a run, and none of what they are about.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{REDACTED, Secrets, redact_evidence};
use crate::run::evidence::Exchange;
use crate::run::{Failure, Frame, Identity, Outcome, Run};
use crate::trace::{Span, Value};

impl Secrets {
    /// Strikes out of all that a run says, and out of what it says of a failure all that is a credential. Its probe's
    /// identity, which all its runs share, has [`Secrets::strike_identity`]. `earlier` are the exchanges that attempts
    /// before the last have failed over.
    pub fn redact_run(&self, run: &mut Run, mut earlier: Vec<Exchange>) {
        self.redact_texts(run);
        // The operator's own words, in which a password may stand.
        for command in run.trace.spans.iter_mut().filter(|span| span.op == "ssh.exec") {
            redact_evidence::redact_sentence(&mut command.description);
        }
        if run.outcome == Outcome::Passed {
            return;
        }
        // Each attempt may have been given credentials of its own, and the run tells of all attempts.
        let exchanges = earlier.iter_mut().chain(&mut run.evidence);
        let carried: Vec<_> = exchanges.map(redact_evidence::carried_secrets).collect();
        for carried in carried {
            carried.redact_texts(run);
        }
        // Whole values first: of one that a name stands before, not all need look like its value.
        redact_evidence::redact_evidence(run);
    }

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
        run.earlier.iter_mut().for_each(|failure| self.redact_failure(failure));
        if let Some(exchange) = &mut run.evidence {
            redact_evidence::for_each_text(exchange, |text| self.redact_in_place(text));
        }
        run.trace.spans.iter_mut().for_each(|span| self.redact_span(span));
        run.trace.contacts.iter_mut().for_each(|contact| self.redact_in_place(&mut contact.host));
        self.redact_tags(&mut run.tags);
        run.log.iter_mut().for_each(|line| self.redact_in_place(&mut line.message));
    }

    pub(super) fn redact_frame(&self, Frame { function, module, file, line: _ }: &mut Frame) {
        let texts = [Some(function), module.as_mut(), file.as_mut()];
        texts.into_iter().flatten().for_each(|text| self.redact_in_place(text));
    }

    fn redact_failure(&self, failure: &mut Failure) {
        self.redact_in_place(&mut failure.reason);
        self.redact_in_place(&mut failure.message);
        for mismatch in &mut failure.mismatches {
            self.redact_in_place(&mut mismatch.subject);
            self.redact_in_place(&mut mismatch.expected);
            self.redact_in_place(&mut mismatch.actual);
        }
    }

    pub fn redact_identity(&self, identity: &mut Identity) {
        if self.is_empty() {
            return;
        }
        self.redact_in_place(&mut identity.probe);
        self.redact_in_place(&mut identity.title);
        self.redact_tags(Arc::make_mut(&mut identity.tags));
    }

    /// Strikes out in place.
    pub fn redact_in_place(&self, text: &mut String) {
        if let Cow::Owned(struck) = self.redact(text) {
            *text = struck;
        }
    }

    fn redact_span(&self, span: &mut Span) {
        self.redact_cow(&mut span.op);
        self.redact_in_place(&mut span.description);
        for (key, value) in &mut span.data {
            self.redact_cow(key);
            match value {
                Value::Text(text) => self.redact_in_place(text),
                Value::Integer(number) if self.is_number(*number as f64) => *value = REDACTED.into(),
                Value::Number(number) if self.is_number(*number) => *value = REDACTED.into(),
                Value::Integer(_) | Value::Number(_) | Value::Boolean(_) => {}
            }
        }
    }

    /// A borrowed one is in our own source: it tells nothing.
    fn redact_cow(&self, word: &mut Cow<'static, str>) {
        if let Cow::Owned(word) = word {
            self.redact_in_place(word);
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

    pub(super) fn is_number(&self, number: f64) -> bool {
        self.0.as_ref().is_some_and(|patterns| patterns.is_number(number))
    }
}
