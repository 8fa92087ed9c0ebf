//! The size of a run's texts, by which the work of their redaction is bounded.

use std::cell::Cell;

use super::redact_evidence;
use crate::run::{Failure, Outcome, Run};
use crate::trace::Value;

/// The size of the texts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunSize {
    /// The number of texts.
    pub texts: usize,
    /// The length of all texts together.
    pub bytes: usize,
}

impl RunSize {
    /// Returns the size of a run.
    pub fn of(run: &Run) -> Self {
        let mut size = Self::default();
        for span in &run.trace.spans {
            size.add(&span.op);
            size.add(&span.description);
            for (key, value) in &span.data {
                size.add(key);
                if let Value::Text(text) = value {
                    size.add(text);
                }
            }
        }
        match &run.outcome {
            Outcome::Passed => {}
            Outcome::PassedAfterRetry(failure) | Outcome::Failed(failure) => size.add_failure(failure),
            Outcome::Broken(fault) => {
                size.add(&fault.message);
                for frame in &fault.backtrace {
                    size.add(&frame.function);
                    [&frame.module, &frame.file].into_iter().flatten().for_each(|text| size.add(text));
                }
            }
        }
        run.earlier.iter().chain(&run.warnings).for_each(|failure| size.add_failure(failure));
        run.log.iter().for_each(|line| size.add(&line.message));
        run.tags.iter().for_each(|(key, value)| [key, value].into_iter().for_each(|text| size.add(text)));
        let total = Cell::new(size);
        if let Some(exchange) = &run.evidence {
            redact_evidence::for_each_text(&mut exchange.clone(), |text| {
                let mut size = total.get();
                size.add(text);
                total.set(size);
            });
        }
        total.get()
    }

    /// Returns true if the redaction takes so long that it would delay other runs on the same thread.
    pub fn is_large(self) -> bool {
        /// The maximum size of texts that are redacted at once: the worst texts of this size took about 8 ms when they
        /// were measured. A failed run of a built-in probe rarely has more.
        const MAX_SMALL_BYTES: usize = 16 << 10;
        self.bytes > MAX_SMALL_BYTES
    }

    fn add(&mut self, text: &str) {
        self.texts += 1;
        self.bytes += text.len();
    }

    fn add_failure(&mut self, failure: &Failure) {
        self.add(&failure.reason);
        self.add(&failure.message);
        for mismatch in &failure.mismatches {
            for text in [&mismatch.subject, &mismatch.expected, &mismatch.actual] {
                self.add(text);
            }
        }
    }
}
