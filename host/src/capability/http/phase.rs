//! The phases of one hop: which it went through, from when to when, read off the marks that the wire left.

use std::time::{Duration, Instant};

use crate::capability::bindings::sentrynet::probe::http::Timing;
use crate::capability::http::timing_hooks::Timestamps;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Dns,
    Connect,
    Tls,
    Send,
    Wait,
    Receive,
}

/// Timeouts of parts of a hop. They apply within the time that the whole exchange has.
#[derive(Debug, Clone, Copy, Default)]
pub struct PhaseTimeouts {
    pub connect: Option<Duration>,
    /// For the answer's head, once there is a connection.
    pub first_byte: Option<Duration>,
    pub between_bytes: Option<Duration>,
}

/// A phase that was reached.
pub struct Reached {
    pub phase: Phase,
    pub start: Instant,
    pub end: Instant,
}

/// What is known of a hop in time.
pub struct Marked<'a> {
    pub started: Instant,
    pub times: &'a Timestamps,
    /// When the answer's head had come.
    pub head: Option<Instant>,
    pub end: Instant,
}

impl Phase {
    pub fn op(self) -> &'static str {
        match self {
            Self::Dns => "http.client.dns",
            Self::Connect => "http.client.connect",
            Self::Tls => "http.client.tls",
            Self::Send => "http.client.send",
            Self::Wait => "http.client.wait",
            Self::Receive => "http.client.receive",
        }
    }

    /// Its name alone.
    pub fn name(self) -> &'static str {
        self.op().trim_start_matches("http.client.")
    }

    /// The phase that a hop without an answer is in.
    pub fn of(times: &Timestamps) -> Self {
        match times {
            Timestamps { started: None, sent: None, .. } => Self::Send,
            Timestamps { connected: None, tls_started: Some(_), .. } => Self::Tls,
            Timestamps { connected: None, started: Some(_), dns_started: Some(_), dns_ended: None, .. } => Self::Dns,
            Timestamps { connected: None, started: Some(_), .. } => Self::Connect,
            Timestamps { sent: None, .. } => Self::Send,
            _ => Self::Wait,
        }
    }
}

impl Marked<'_> {
    /// The phases that were reached, one after the other. The last of them lasts until the end.
    pub fn phases(&self) -> Vec<Reached> {
        let Timestamps { started: attempt, dns_started, dns_ended, tls_started, connected, sent, .. } = *self.times;
        let mut marks = Vec::with_capacity(7);
        // Nothing was made where a kept connection served.
        if let Some(attempt) = attempt {
            if let Some(dns) = dns_started {
                marks.push((Phase::Dns, Some(dns)));
            }
            marks.push((Phase::Connect, if dns_started.is_some() { dns_ended } else { Some(attempt) }));
            if tls_started.is_some() || connected.is_none() {
                marks.push((Phase::Tls, tls_started));
            }
        }
        marks.push((Phase::Send, if attempt.is_some() { connected } else { Some(self.started) }));
        marks.push((Phase::Wait, sent.or(self.head)));
        marks.push((Phase::Receive, self.head));

        let reached: Vec<_> = marks.into_iter().map_while(|(phase, start)| Some((phase, start?))).collect();
        let ends = reached.iter().skip(1).map(|(_, start)| *start).chain([self.end]);
        let phases = reached.iter().zip(ends);
        phases.map(|((phase, start), end)| Reached { phase: *phase, start: *start, end: end.max(*start) }).collect()
    }

    /// The phases in milliseconds, for the guest; `total` is left for who knows of all hops.
    pub fn timing(&self) -> Timing {
        let mut timing = Timing { dns: None, connect: None, tls: None, send: 0.0, wait: 0.0, receive: 0.0, total: 0.0 };
        for Reached { phase, start, end } in self.phases() {
            let lasted = milliseconds(start, end);
            match phase {
                Phase::Dns => timing.dns = Some(lasted),
                Phase::Connect => timing.connect = Some(lasted),
                Phase::Tls => timing.tls = Some(lasted),
                Phase::Send => timing.send = lasted,
                Phase::Wait => timing.wait = lasted,
                Phase::Receive => timing.receive = lasted,
            }
        }
        timing
    }
}

pub fn milliseconds(start: Instant, end: Instant) -> f64 {
    (end - start).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The phases of a hop with these marks, each as its op and milliseconds, of which `times` gets the marks.
    #[track_caller]
    fn check(
        times: impl FnOnce(&dyn Fn(u64) -> Option<Instant>) -> Timestamps,
        head: Option<u64>,
        expected: &[(&str, u64)],
    ) {
        let started = Instant::now();
        let at = |ms| Some(started + Duration::from_millis(ms));
        let times = times(&at);
        let marked =
            Marked { started, times: &times, head: head.and_then(at), end: started + Duration::from_millis(100) };
        let phases = marked.phases();
        let found: Vec<_> = phases
            .iter()
            .map(|Reached { phase, start, end }| (phase.name(), (*end - *start).as_millis() as u64))
            .collect();
        assert_eq!(found, expected);
        if head.is_none() {
            assert_eq!(phases.last().map(|reached| reached.phase), Some(Phase::of(&times)));
        }
    }

    #[test]
    fn a_whole_exchange() {
        let times = |at: &dyn Fn(u64) -> Option<Instant>| Timestamps {
            started: at(1),
            dns_started: at(2),
            dns_ended: at(10),
            tls_started: at(30),
            connected: at(60),
            sent: at(61),
            ..Timestamps::default()
        };
        let expected = [("dns", 8), ("connect", 20), ("tls", 30), ("send", 1), ("wait", 29), ("receive", 10)];
        check(times, Some(90), &expected);
    }

    #[test]
    fn an_address_in_the_clear() {
        let times = |at: &dyn Fn(u64) -> Option<Instant>| Timestamps {
            started: at(1),
            connected: at(6),
            sent: at(7),
            ..Timestamps::default()
        };
        check(times, Some(90), &[("connect", 5), ("send", 1), ("wait", 83), ("receive", 10)]);
    }

    #[test]
    fn a_kept_connection() {
        check(
            |at| Timestamps { sent: at(2), ..Timestamps::default() },
            Some(50),
            &[("send", 2), ("wait", 48), ("receive", 50)],
        );
        check(|_| Timestamps::default(), None, &[("send", 100)]);
    }

    #[test]
    fn an_answer_before_the_request_was_taken() {
        let times = |at: &dyn Fn(u64) -> Option<Instant>| Timestamps {
            started: at(0),
            connected: at(5),
            ..Timestamps::default()
        };
        check(times, Some(50), &[("connect", 5), ("send", 45), ("wait", 0), ("receive", 50)]);
    }

    #[test]
    fn where_it_ended() {
        check(|at| Timestamps { started: at(1), dns_started: at(2), ..Timestamps::default() }, None, &[("dns", 98)]);
        let resolved = |at: &dyn Fn(u64) -> Option<Instant>| Timestamps {
            started: at(1),
            dns_started: at(2),
            dns_ended: at(10),
            ..Timestamps::default()
        };
        check(resolved, None, &[("dns", 8), ("connect", 90)]);
        check(|at| Timestamps { started: at(1), ..Timestamps::default() }, None, &[("connect", 99)]);
        check(
            |at| Timestamps { tls_started: at(30), ..resolved(at) },
            None,
            &[("dns", 8), ("connect", 20), ("tls", 70)],
        );
        check(
            |at| Timestamps { connected: at(30), ..resolved(at) },
            None,
            &[("dns", 8), ("connect", 20), ("send", 70)],
        );
        let sent = |at: &dyn Fn(u64) -> Option<Instant>| Timestamps { connected: at(30), sent: at(40), ..resolved(at) };
        check(sent, None, &[("dns", 8), ("connect", 20), ("send", 10), ("wait", 60)]);
    }
}
