//! Evidence of a run's exchanges. It is stored as the protocols wrote it, and converted to a report only if the run
//! fails.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::run::evidence::{Connection, Exchange};
use crate::trace::{Handle, Recorder};

/// Evidence of one exchange, which may still be in progress.
pub trait ExchangeEvidence: Send + Sync {
    /// Returns true if the exchange has failed.
    fn is_error(&self) -> bool;

    /// Returns the evidence in the form of a report.
    fn to_evidence(&self) -> Exchange;

    /// Returns the connection, if the exchange is a TCP connection that the guest may try again at another address.
    fn tcp_connection(&self) -> Option<Connection> {
        None
    }
}

/// The last exchanges of one attempt, each with its span. Clones share them.
#[derive(Clone, Default)]
pub struct Evidence(Arc<Mutex<VecDeque<Entry>>>);

/// The span of an exchange, and what was observed of the exchange.
type Entry = (Handle, Arc<dyn ExchangeEvidence>);

impl Evidence {
    /// The maximum number of exchanges. Beyond it the oldest are dropped, since few exchanges follow a failed one.
    const MAX_EXCHANGES: usize = 50;

    /// Adds an exchange, whose span is `span`.
    pub fn add(&self, span: Handle, exchange: Arc<dyn ExchangeEvidence>) {
        let mut entries = self.0.lock();
        if entries.len() == Self::MAX_EXCHANGES {
            entries.pop_front();
        }
        entries.push_back((span, exchange));
    }

    /// Returns all exchanges in the form of a report, each with its span.
    pub fn exchanges(&self) -> Vec<(Handle, Exchange)> {
        let entries = self.0.lock();
        entries.iter().map(|(span, exchange)| (*span, exchange.to_evidence())).collect()
    }

    /// Sets the evidence of a replayed exchange. Replaces evidence of the same exchange that was set earlier.
    pub fn set_replayed(&self, span: Handle, exchange: Exchange) {
        let exchange = Arc::new(exchange);
        let mut entries = self.0.lock();
        match entries.iter_mut().find(|(stored_span, _)| *stored_span == span) {
            Some((_, stored)) => *stored = exchange,
            None => entries.push_back((span, exchange)),
        }
    }

    /// Returns the exchange that a failure is about, if there is any exchange.
    ///
    /// If the guest has marked steps below `attempt` as failed, it is the last exchange of the first of these steps.
    /// Otherwise it is the last exchange that failed, or the last exchange if none failed. A failed TCP connection does
    /// not count if the guest has tried another address of the same host and port afterwards.
    pub fn failed_exchange(&self, recorder: &Recorder, attempt: Handle) -> Option<Exchange> {
        let entries = self.0.lock();
        let steps: Vec<_> = entries.iter().map(|(span, _)| recorder.failed_ancestor(*span, attempt)).collect();
        let step = steps.iter().find(|step| step.is_some());
        let last_of = |step| steps.iter().rposition(|other| other == step);
        let was_replaced = |index: usize, failed: &dyn ExchangeEvidence| {
            entries.range(index + 1..).any(|(_, later)| replaces(later.as_ref(), failed))
        };
        let last_error = || {
            let mut indexed = entries.iter().enumerate();
            indexed.rposition(|(index, (_, exchange))| exchange.is_error() && !was_replaced(index, exchange.as_ref()))
        };
        let index = step.and_then(last_of).or_else(last_error).or(entries.len().checked_sub(1))?;
        Some(entries[index].1.to_evidence())
    }
}

/// Returns true if `later` is a connection to the same host and port as the connection `failed`.
fn replaces(later: &dyn ExchangeEvidence, failed: &dyn ExchangeEvidence) -> bool {
    failed.tcp_connection().zip(later.tcp_connection()).is_some_and(|(failed, later)| later.has_same_target(&failed))
}

/// Evidence that was read from a recording.
impl ExchangeEvidence for Exchange {
    fn is_error(&self) -> bool {
        let connection = match self {
            Self::Http(http) => &http.connection,
            Self::Ssh(ssh) => &ssh.connection,
            Self::Tcp(tcp) => &tcp.connection,
            Self::Dns(connection) => connection,
        };
        connection.error.is_some()
    }

    fn to_evidence(&self) -> Exchange {
        self.clone()
    }

    fn tcp_connection(&self) -> Option<Connection> {
        if let Self::Tcp(tcp) = self { Some(tcp.connection.clone()) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::evidence::{Ssh, Tcp};
    use crate::trace::Status;

    /// Checks the index of the exchange that a failure is about. Each exchange has the name of its step, with `!` if
    /// the step failed, and the exchange's own error, if any.
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
            let connection = Connection { error: error.map(Into::into), ..Connection::default() };
            let ssh = Ssh { host: number.to_string(), connection, ..Ssh::default() };
            evidence.add(span, Arc::new(Exchange::Ssh(Box::new(ssh))));
        }
        let found = evidence.failed_exchange(&recorder, attempt).map(|exchange| match exchange {
            Exchange::Ssh(ssh) => ssh.host,
            _ => unreachable!("only SSH exchanges were added"),
        });
        assert_eq!(found, expected.map(|number| number.to_string()));
    }

    #[test]
    fn a_failure_is_about_the_failed_step_or_else_the_failed_exchange() {
        check(&[], None);
        check(&[("one", None)], Some(0));
        check(&[("one", None), ("two", None)], Some(1));
        check(&[("one", Some("dns")), ("two", None)], Some(0));
        // A step that cleans up runs after the failed step, and may fail because of it.
        check(&[("one", None), ("two!", None), ("three", None)], Some(1));
        check(&[("one", None), ("two!", None), ("two!", None), ("three!", Some("tls"))], Some(2));
    }

    #[test]
    fn a_failed_connection_does_not_count_after_one_to_another_address() {
        let check = |last: (&str, &str), expected: &str| {
            let (recorder, evidence) = (Recorder::start("run".into(), String::new()), Evidence::default());
            for ((name, to), error) in [(("shop.example", "[2001:db8::1]:80"), Some("connect")), (last, None)] {
                let connection = Connection {
                    names: vec![name.to_owned()],
                    peer: to.to_owned(),
                    error: error.map(Into::into),
                    ..Connection::default()
                };
                let tcp = Tcp { connection, ..Tcp::default() };
                let span = recorder.open(recorder.current(), "tcp", "");
                evidence.add(span, Arc::new(Exchange::Tcp(Box::new(tcp))));
            }
            let Some(Exchange::Tcp(found)) = evidence.failed_exchange(&recorder, recorder.root()) else {
                panic!("only TCP connections were added")
            };
            assert_eq!(found.connection.peer, expected);
        };
        check(("shop.example", "192.0.2.1:80"), "192.0.2.1:80");
        check(("shop.example", "192.0.2.1:443"), "[2001:db8::1]:80");
        check(("other.example", "192.0.2.1:80"), "[2001:db8::1]:80");
    }

    #[test]
    fn the_number_of_exchanges_is_bounded() {
        let (recorder, evidence) = (Recorder::start("run".into(), String::new()), Evidence::default());
        for _ in 0..200 {
            evidence.add(recorder.root(), Arc::new(Exchange::Ssh(Box::default())));
        }
        assert_eq!(evidence.0.lock().len(), Evidence::MAX_EXCHANGES);
    }
}
