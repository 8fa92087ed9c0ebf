//! A run without secrets. Knows each text of a run, and none of what they are about.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{MARK, Secrets, evidence};
use crate::run::evidence::Exchange;
use crate::run::{Failure, Frame, Identity, Outcome, Run};
use crate::trace::{Span, Value};

impl Secrets {
    /// Strikes out of all that a run says, and out of what it says of a failure all that is a credential. Its probe's
    /// identity, which all its runs share, has [`Secrets::strike_identity`]. `earlier` are the exchanges that attempts
    /// before the last have failed over.
    pub fn strike_run(&self, run: &mut Run, mut earlier: Vec<Exchange>) {
        self.strike_texts(run);
        // The operator's own words, in which a password may stand.
        for command in run.trace.spans.iter_mut().filter(|span| span.op == "ssh.exec") {
            evidence::scrub_sentence(&mut command.description);
        }
        if run.outcome == Outcome::Passed {
            return;
        }
        // Each attempt may have been given credentials of its own, and the run tells of all attempts.
        let exchanges = earlier.iter_mut().chain(&mut run.evidence);
        let carried: Vec<_> = exchanges.map(evidence::carried).collect();
        for carried in carried {
            carried.strike_texts(run);
        }
        // Whole values first: of one that a name stands before, not all need look like its value.
        evidence::scrub(run);
    }

    pub(super) fn strike_texts(&self, run: &mut Run) {
        if self.is_empty() {
            return;
        }
        match &mut run.outcome {
            Outcome::Passed => {}
            Outcome::PassedAfterRetry(failure) | Outcome::Failed(failure) => self.strike_failure(failure),
            Outcome::Broken(fault) => {
                self.strike_in(&mut fault.message);
                fault.backtrace.iter_mut().for_each(|frame| self.strike_frame(frame));
            }
        }
        run.earlier.iter_mut().for_each(|failure| self.strike_failure(failure));
        if let Some(exchange) = &mut run.evidence {
            evidence::each_text(exchange, |text| self.strike_in(text));
        }
        run.trace.spans.iter_mut().for_each(|span| self.strike_span(span));
        run.trace.contacts.iter_mut().for_each(|contact| self.strike_in(&mut contact.host));
        self.strike_tags(&mut run.tags);
        run.log.iter_mut().for_each(|line| self.strike_in(&mut line.message));
    }

    pub(super) fn strike_frame(&self, Frame { function, module, file, line: _ }: &mut Frame) {
        let texts = [Some(function), module.as_mut(), file.as_mut()];
        texts.into_iter().flatten().for_each(|text| self.strike_in(text));
    }

    fn strike_failure(&self, failure: &mut Failure) {
        self.strike_in(&mut failure.reason);
        self.strike_in(&mut failure.message);
        for mismatch in &mut failure.mismatches {
            self.strike_in(&mut mismatch.subject);
            self.strike_in(&mut mismatch.expected);
            self.strike_in(&mut mismatch.actual);
        }
    }

    pub fn strike_identity(&self, identity: &mut Identity) {
        if self.is_empty() {
            return;
        }
        self.strike_in(&mut identity.probe);
        self.strike_in(&mut identity.title);
        self.strike_tags(Arc::make_mut(&mut identity.tags));
    }

    /// Strikes out in place.
    pub fn strike_in(&self, text: &mut String) {
        if let Cow::Owned(struck) = self.strike(text) {
            *text = struck;
        }
    }

    fn strike_span(&self, span: &mut Span) {
        self.strike_word(&mut span.op);
        self.strike_in(&mut span.description);
        for (key, value) in &mut span.data {
            self.strike_word(key);
            match value {
                Value::Text(text) => self.strike_in(text),
                Value::Integer(number) if self.is_number(*number as f64) => *value = MARK.into(),
                Value::Number(number) if self.is_number(*number) => *value = MARK.into(),
                Value::Integer(_) | Value::Number(_) | Value::Boolean(_) => {}
            }
        }
    }

    /// A borrowed one is in our own source: it tells nothing.
    fn strike_word(&self, word: &mut Cow<'static, str>) {
        if let Cow::Owned(word) = word {
            self.strike_in(word);
        }
    }

    fn strike_tags(&self, tags: &mut BTreeMap<String, String>) {
        for value in tags.values_mut() {
            self.strike_in(value);
        }
        if tags.keys().any(|key| matches!(self.strike(key), Cow::Owned(_))) {
            *tags =
                std::mem::take(tags).into_iter().map(|(key, value)| (self.strike(&key).into_owned(), value)).collect();
        }
    }

    pub(super) fn is_number(&self, number: f64) -> bool {
        self.0.as_ref().is_some_and(|patterns| patterns.is_number(number))
    }
}
