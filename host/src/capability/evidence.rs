//! What the exchanges of a run leave behind, kept as it came: it is put in words only where the run did not pass.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::capability::{http, ssh, wasi};
use crate::run::evidence::{Connection, Exchange, Tcp};
use crate::trace::{Handle, Recorder};

/// The last exchanges of one attempt, shared by all that make them.
#[derive(Clone, Default)]
pub struct Evidence(Arc<Mutex<VecDeque<(Handle, Kept)>>>);

/// An exchange, or what has become of it so far.
pub enum Kept {
    Http(Box<http::HttpEvidence>),
    Ssh(Arc<Mutex<ssh::SshEvidence>>),
    Tcp(Arc<wasi::TcpEvidence>),
    Dns(Arc<Mutex<Connection>>),
    /// Of a run that is replayed.
    Told(Exchange),
}

impl Evidence {
    /// Of a guest that makes a thousand, the last are kept: whatever failed is followed by few that clean up.
    const MOST: usize = 50;

    /// Keeps what an exchange left; `span` is its own.
    pub fn keep(&self, span: Handle, kept: Kept) {
        let mut all = self.0.lock();
        if all.len() == Self::MOST {
            all.pop_front();
        }
        all.push_back((span, kept));
    }

    /// What there is to tell of all of them, and the span of each.
    pub fn told(&self) -> Vec<(Handle, Exchange)> {
        let all = self.0.lock();
        all.iter().map(|(span, kept)| (*span, kept.tell())).collect()
    }

    /// Keeps what there once was to tell of an exchange; the last that is told of it counts.
    pub fn put(&self, span: Handle, told: Exchange) {
        let mut all = self.0.lock();
        match all.iter_mut().find(|(known, _)| *known == span) {
            Some((_, kept)) => *kept = Kept::Told(told),
            None => all.push_back((span, Kept::Told(told))),
        }
    }

    /// The exchange that a failure is about. The guest's own steps, `within` the attempt, say which went wrong first, and
    /// its last exchange is the one. Where they do not say, it is the last that came to no end, or the last of all. A
    /// host that has not answered at one address may have at the next.
    pub fn of_failure(&self, recorder: &Recorder, within: Handle) -> Option<Exchange> {
        let all = self.0.lock();
        let steps: Vec<_> = all.iter().map(|(span, _)| recorder.failed_ancestor(*span, within)).collect();
        let step = steps.iter().find(|step| step.is_some());
        let last_of = |step| steps.iter().rposition(|other| other == step);
        let mended = |index: usize, kept: &Kept| all.range(index + 1..).any(|(_, later)| later.replaces(kept));
        let unfinished =
            || all.iter().enumerate().rposition(|(index, (_, kept))| kept.is_error() && !mended(index, kept));
        let index = step.and_then(last_of).or_else(unfinished).or(all.len().checked_sub(1))?;
        Some(all[index].1.tell())
    }
}

impl Kept {
    fn is_error(&self) -> bool {
        match self {
            Self::Http(kept) => kept.error.is_some(),
            Self::Ssh(kept) => kept.lock().error.is_some(),
            Self::Tcp(kept) => kept.is_error(),
            Self::Dns(kept) => kept.lock().error.is_some(),
            Self::Told(Exchange::Http(http)) => http.connection.error.is_some(),
            Self::Told(Exchange::Ssh(ssh)) => ssh.connection.error.is_some(),
            Self::Told(Exchange::Tcp(tcp)) => tcp.connection.error.is_some(),
            Self::Told(Exchange::Dns(dns)) => dns.error.is_some(),
        }
    }

    /// Whether it goes on where another came to no end.
    fn replaces(&self, other: &Self) -> bool {
        other.tcp().zip(self.tcp()).is_some_and(|(other, later)| later.connection.is_like(&other.connection))
    }

    fn tcp(&self) -> Option<Tcp> {
        match self {
            Self::Tcp(kept) => Some(kept.to_evidence()),
            Self::Told(Exchange::Tcp(told)) => Some((**told).clone()),
            _ => None,
        }
    }

    fn tell(&self) -> Exchange {
        match self {
            Self::Http(kept) => Exchange::Http(Box::new(kept.to_evidence())),
            Self::Ssh(kept) => Exchange::Ssh(Box::new(kept.lock().to_evidence())),
            Self::Tcp(kept) => Exchange::Tcp(Box::new(kept.to_evidence())),
            Self::Dns(kept) => Exchange::Dns(Box::new(kept.lock().clone())),
            Self::Told(told) => told.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Status;

    /// Exchanges in steps, as `step!` or `step`, the first of which went wrong, with an error of their own or none: the
    /// number of the one that tells.
    #[track_caller]
    fn check(exchanges: &[(&str, Option<&'static str>)], expected: Option<usize>) {
        let recorder = Recorder::start("run".into(), String::new());
        let attempt = recorder.push("probe.attempt".into(), String::new());
        let evidence = Evidence::default();
        let mut open = None;
        for (number, (step, error)) in exchanges.iter().enumerate() {
            if open.as_ref().is_none_or(|(name, _)| name != step) {
                if let Some((_, span)) = open {
                    recorder.pop(span);
                }
                let span = recorder.push((*step).to_owned(), String::new());
                if step.ends_with('!') {
                    recorder.set_status(span, Status::InternalError);
                }
                open = Some((*step, span));
            }
            let span = recorder.open(recorder.current(), "ssh", "");
            let kept = ssh::SshEvidence { host: number.to_string(), error: *error, ..ssh::SshEvidence::default() };
            evidence.keep(span, Kept::Ssh(Arc::new(Mutex::new(kept))));
        }
        let found = evidence.of_failure(&recorder, attempt).map(|exchange| match exchange {
            Exchange::Ssh(ssh) => ssh.host,
            _ => unreachable!("there is none"),
        });
        assert_eq!(found, expected.map(|number| number.to_string()));
    }

    #[test]
    fn the_exchange_that_a_failure_is_about() {
        check(&[], None);
        check(&[("one", None)], Some(0));
        check(&[("one", None), ("two", None)], Some(1));
        check(&[("one", Some("dns")), ("two", None)], Some(0));
        // A step that cleans up goes on after the one that failed, and may fail for its sake.
        check(&[("one", None), ("two!", None), ("three", None)], Some(1));
        check(&[("one", None), ("two!", None), ("two!", None), ("three!", Some("tls"))], Some(2));
    }

    #[test]
    fn a_host_that_answered_at_another_address() {
        let check = |last: (&str, &str), expected: &str| {
            let (recorder, evidence) = (Recorder::start("run".into(), String::new()), Evidence::default());
            for ((name, to), error) in [(("shop.example", "[2001:db8::1]:80"), Some("connect")), (last, None)] {
                let to = to.parse().expect("an address and a port");
                let kept = wasi::TcpEvidence::new(Some((name.to_owned(), Vec::new())), to);
                if let Some(error) = error {
                    kept.failed(error);
                }
                evidence.keep(recorder.open(recorder.current(), "tcp", ""), Kept::Tcp(Arc::new(kept)));
            }
            let Some(Exchange::Tcp(found)) = evidence.of_failure(&recorder, recorder.root()) else {
                panic!("there is a connection")
            };
            assert_eq!(found.connection.peer, expected);
        };
        check(("shop.example", "192.0.2.1:80"), "192.0.2.1:80");
        check(("shop.example", "192.0.2.1:443"), "[2001:db8::1]:80");
        check(("other.example", "192.0.2.1:80"), "[2001:db8::1]:80");
    }

    #[test]
    fn there_is_a_bound() {
        let (recorder, evidence) = (Recorder::start("run".into(), String::new()), Evidence::default());
        for _ in 0..200 {
            evidence.keep(recorder.root(), Kept::Ssh(Arc::default()));
        }
        assert_eq!(evidence.0.lock().len(), Evidence::MOST);
    }
}
