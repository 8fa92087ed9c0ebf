//! The errors of a run.

use crate::bindings::exports::sentrynet::probe::prober::Trouble as Exported;
use crate::bindings::sentrynet::probe::types;
use crate::settings::setting_name;
use crate::{http, ssh};

/// The outcome of a run that did not pass.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// The target is not as it should be. This is reported as an error of the target.
    Failed(Failure),
    /// The probe could not do its work, while the target may be well: a sentence that says why.
    Broken(String),
}

/// A failure of the target: a reason, a sentence, and the checks that did not hold.
#[derive(Debug, Clone)]
pub struct Failure {
    reason: &'static str,
    message: String,
    mismatches: Vec<Mismatch>,
}

/// A check that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The thing that was checked: `status`, `header x-version`, `$.items[0].id`.
    pub subject: String,
    /// The expected value: `2xx`, `at most 12.5`, `to contain "Welcome"`.
    pub expected: String,
    /// The actual value: `503`, `no match`.
    pub actual: String,
}

impl Mismatch {
    /// Creates a mismatch.
    #[expect(clippy::needless_pass_by_value, reason = "callers can pass numbers and literals without `&`")]
    pub fn new(subject: impl Into<String>, expected: impl ToString, actual: impl ToString) -> Self {
        Self { subject: subject.into(), expected: expected.to_string(), actual: actual.to_string() }
    }
}

impl Failure {
    /// Creates a failure.
    ///
    /// `reason` is a short word, one of few, that never varies: failures with the same reason belong to the same Issue.
    /// It consists of `a` to `z`, digits, `-`, `_` and `.`. The first 20 reasons of a probe make an Issue each, all
    /// others one together; the first 20 different sets of failed checks make one each too. `message` is one sentence
    /// for a person: lower case, no full stop.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), mismatches: Vec::new() }
    }

    /// Fails if there is any mismatch.
    ///
    /// # Errors
    /// Returns a failure with the reason `assertion` and all mismatches, if there is one.
    pub fn if_any(mismatches: Vec<Mismatch>) -> Result<(), Self> {
        let message = match mismatches.as_slice() {
            [] => return Ok(()),
            [Mismatch { subject, expected, actual }] => format!("{subject}: expected {expected}, got {actual}"),
            several => format!("{} assertions do not hold", several.len()),
        };
        Err(Self::new("assertion", message).with_mismatches(mismatches))
    }

    /// Returns the reason.
    pub fn reason(&self) -> &str {
        self.reason
    }

    /// Returns the checks that did not hold.
    pub fn mismatches(&self) -> &[Mismatch] {
        &self.mismatches
    }

    /// Puts the place where the failure occurred, such as `step 2 (Log in)`, in front of its message and of the subject
    /// of each mismatch. An empty place changes nothing.
    #[must_use]
    pub fn at(mut self, place: &str) -> Self {
        if place.is_empty() {
            return self;
        }
        self.message = format!("{place}: {}", self.message);
        for mismatch in &mut self.mismatches {
            mismatch.subject = format!("{place}: {}", mismatch.subject);
        }
        self
    }

    /// Adds checks that did not hold.
    #[must_use]
    pub fn with_mismatches(mut self, mismatches: Vec<Mismatch>) -> Self {
        self.mismatches.extend(mismatches);
        self
    }
}

impl Trouble {
    /// Puts the place where the error occurred, such as `step 2 (Log in)`, in front of its message and of the subject
    /// of each mismatch.
    #[must_use]
    pub fn at(self, place: &str) -> Self {
        match self {
            Self::Broken(why) => Self::Broken(format!("{place}: {why}")),
            Self::Failed(failure) => Self::Failed(failure.at(place)),
        }
    }

    /// Returns the reason of a failure; `None` if the probe could not do its work.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Broken(_) => None,
            Self::Failed(failure) => Some(failure.reason()),
        }
    }

    /// Returns the message: the sentence for a person.
    pub fn message(&self) -> &str {
        match self {
            Self::Broken(message) | Self::Failed(Failure { message, .. }) => message,
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<http::Invalid> for Trouble {
    fn from(invalid: http::Invalid) -> Self {
        Self::Broken(match invalid.pointer() {
            Some(pointer) => format!("{}: {invalid}", setting_name(pointer)),
            None => invalid.to_string(),
        })
    }
}

impl From<http::Error> for Trouble {
    fn from(error: http::Error) -> Self {
        use http::Error as E;
        let (reason, message) = match error {
            E::Denied(message) => return Self::Broken(message),
            E::Dns(message) => ("dns", message),
            E::Connect(message) => ("connect", message),
            E::Tls(message) => ("tls", message),
            E::Timeout(message) => ("timeout", message),
            E::Redirect(message) => ("redirect", message),
            E::Auth(message) => ("auth", message),
            E::Protocol(message) => ("protocol", message),
            E::Other(message) => ("other", message),
        };
        Failure::new(reason, message).into()
    }
}

impl From<ssh::Error> for Trouble {
    fn from(error: ssh::Error) -> Self {
        use ssh::Error as E;
        let (reason, message) = match error {
            E::Denied(message) => return Self::Broken(message),
            E::Dns(message) => ("dns", message),
            E::Connect(message) => ("connect", message),
            E::HostKey(message) => ("host-key", message),
            E::Auth(message) => ("auth", message),
            E::Timeout(message) => ("timeout", message),
            E::Protocol(message) => ("protocol", message),
            E::Other(message) => ("other", message),
        };
        Failure::new(reason, message).into()
    }
}

impl From<Trouble> for Exported {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Broken(why) => Self::Broken(why),
            Trouble::Failed(failure) => Self::Failed(failure.into()),
        }
    }
}

impl From<Failure> for types::Failure {
    fn from(Failure { reason, message, mismatches }: Failure) -> Self {
        let mismatches = mismatches
            .into_iter()
            .map(|Mismatch { subject, expected, actual }| types::Mismatch { subject, expected, actual })
            .collect();
        Self { reason: reason.to_owned(), message, mismatches }
    }
}
