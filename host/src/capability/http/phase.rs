//! The phases of a hop, computed from the times that the hooks in `timing_hooks` record.

use std::time::{Duration, Instant};

use crate::capability::bindings::sentrynet::probe::http::Timing;
use crate::capability::http::timing_hooks::Timestamps;

/// A phase of a hop. On a reused connection, a hop begins with [`Phase::Send`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Names are resolved.
    Dns,
    /// TCP connects. With a proxy, this includes the time in which the proxy connects to the server.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The request is sent.
    Send,
    /// The request is sent, and nothing of the response has arrived.
    Wait,
    /// The head of the response has arrived, and the body is arriving.
    Receive,
}

/// Timeouts of parts of a hop, in addition to the timeout of the whole exchange. `None` is no timeout.
#[derive(Debug, Clone, Copy, Default)]
pub struct PhaseTimeouts {
    /// The time until there is a connection, TLS included.
    pub connect: Option<Duration>,
    /// The time from the connection to the head of the response. A hop ends after the sum of `connect` and this time.
    pub first_byte: Option<Duration>,
    /// The time until the next piece of the response's body arrives.
    pub between_bytes: Option<Duration>,
}

/// A phase that a hop reached, with its start and end.
pub struct TimedPhase {
    pub phase: Phase,
    pub start: Instant,
    pub end: Instant,
}

/// The start and end of a hop, and the times that were recorded in between.
#[derive(Clone, Copy)]
pub struct HopTimeline<'a> {
    pub started: Instant,
    pub timestamps: &'a Timestamps,
    /// The time at which the head of the response had arrived.
    pub head_received: Option<Instant>,
    pub ended: Instant,
}

impl Phase {
    /// Returns the op of the phase's span.
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

    /// Returns the phase's name in evidence.
    pub fn name(self) -> &'static str {
        self.op().trim_start_matches("http.client.")
    }

    /// Returns the current phase of a hop that has no response yet.
    pub fn without_response(timestamps: &Timestamps) -> Self {
        match timestamps {
            Timestamps { connect_started: None, sent: None, .. } => Self::Send,
            Timestamps { connected: None, tls_started: Some(_), .. } => Self::Tls,
            Timestamps { connected: None, connect_started: Some(_), dns_started: Some(_), dns_ended: None, .. } => {
                Self::Dns
            }
            Timestamps { connected: None, connect_started: Some(_), .. } => Self::Connect,
            Timestamps { sent: None, .. } => Self::Send,
            _ => Self::Wait,
        }
    }
}

impl HopTimeline<'_> {
    /// Returns the phases that the hop reached, one after the other. The last of them lasts until the hop's end.
    pub fn phases(&self) -> Vec<TimedPhase> {
        let Timestamps { connect_started, dns_started, dns_ended, tls_started, connected, sent, .. } = *self.timestamps;
        let mut starts = Vec::with_capacity(7);
        if let Some(connect_started) = connect_started {
            if let Some(dns_started) = dns_started {
                starts.push((Phase::Dns, Some(dns_started)));
            }
            starts.push((Phase::Connect, if dns_started.is_some() { dns_ended } else { Some(connect_started) }));
            if tls_started.is_some() || connected.is_none() {
                starts.push((Phase::Tls, tls_started));
            }
        }
        starts.push((Phase::Send, if connect_started.is_some() { connected } else { Some(self.started) }));
        starts.push((Phase::Wait, sent.or(self.head_received)));
        starts.push((Phase::Receive, self.head_received));

        let reached: Vec<_> = starts.into_iter().map_while(|(phase, start)| Some((phase, start?))).collect();
        let ends = reached.iter().skip(1).map(|(_, start)| *start).chain([self.ended]);
        let phases = reached.iter().zip(ends);
        phases.map(|((phase, start), end)| TimedPhase { phase: *phase, start: *start, end: end.max(*start) }).collect()
    }

    /// Returns the durations of the phases in milliseconds. `total` is 0: it is the time of all hops, which the
    /// exchange sets.
    pub fn timing(&self) -> Timing {
        let mut timing = Timing { dns: None, connect: None, tls: None, send: 0.0, wait: 0.0, receive: 0.0, total: 0.0 };
        for TimedPhase { phase, start, end } in self.phases() {
            let duration = milliseconds(start, end);
            match phase {
                Phase::Dns => timing.dns = Some(duration),
                Phase::Connect => timing.connect = Some(duration),
                Phase::Tls => timing.tls = Some(duration),
                Phase::Send => timing.send = duration,
                Phase::Wait => timing.wait = duration,
                Phase::Receive => timing.receive = duration,
            }
        }
        timing
    }
}

/// Returns the durations of the phases of two hops together. `total` is that of the second.
pub fn sum_timings(one: Timing, other: Timing) -> Timing {
    let sum = |one: Option<f64>, other: Option<f64>| match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    };
    Timing {
        dns: sum(one.dns, other.dns),
        connect: sum(one.connect, other.connect),
        tls: sum(one.tls, other.tls),
        send: one.send + other.send,
        wait: one.wait + other.wait,
        receive: one.receive + other.receive,
        total: other.total,
    }
}

/// Returns the milliseconds from `start` to `end`.
pub fn milliseconds(start: Instant, end: Instant) -> f64 {
    (end - start).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Checks the names and the milliseconds of the phases of a hop that lasts 100 ms. `timestamps` and `head` count
    /// milliseconds from its start.
    #[track_caller]
    fn check(
        timestamps: impl FnOnce(&dyn Fn(u64) -> Option<Instant>) -> Timestamps,
        head: Option<u64>,
        expected: &[(&str, u64)],
    ) {
        let started = Instant::now();
        let at = |ms| Some(started + Duration::from_millis(ms));
        let timestamps = timestamps(&at);
        let timeline = HopTimeline {
            started,
            timestamps: &timestamps,
            head_received: head.and_then(at),
            ended: started + Duration::from_millis(100),
        };
        let phases = timeline.phases();
        let durations: Vec<_> = phases
            .iter()
            .map(|TimedPhase { phase, start, end }| (phase.name(), (*end - *start).as_millis() as u64))
            .collect();
        assert_eq!(durations, expected);
        if head.is_none() {
            assert_eq!(phases.last().map(|last| last.phase), Some(Phase::without_response(&timestamps)));
        }
    }

    #[test]
    fn phases_of_a_new_connection_with_tls() {
        let timestamps = |at: &dyn Fn(u64) -> Option<Instant>| Timestamps {
            connect_started: at(1),
            dns_started: at(2),
            dns_ended: at(10),
            tls_started: at(30),
            connected: at(60),
            sent: at(61),
            ..Timestamps::default()
        };
        let expected = [("dns", 8), ("connect", 20), ("tls", 30), ("send", 1), ("wait", 29), ("receive", 10)];
        check(timestamps, Some(90), &expected);
    }

    #[test]
    fn phases_of_a_new_connection_to_an_address_without_tls() {
        let timestamps = |at: &dyn Fn(u64) -> Option<Instant>| Timestamps {
            connect_started: at(1),
            connected: at(6),
            sent: at(7),
            ..Timestamps::default()
        };
        check(timestamps, Some(90), &[("connect", 5), ("send", 1), ("wait", 83), ("receive", 10)]);
    }

    #[test]
    fn phases_of_a_hop_on_a_reused_connection() {
        check(
            |at| Timestamps { sent: at(2), ..Timestamps::default() },
            Some(50),
            &[("send", 2), ("wait", 48), ("receive", 50)],
        );
        check(|_| Timestamps::default(), None, &[("send", 100)]);
    }

    #[test]
    fn send_ends_at_a_response_that_comes_before_the_whole_request_was_sent() {
        let timestamps = |at: &dyn Fn(u64) -> Option<Instant>| Timestamps {
            connect_started: at(0),
            connected: at(5),
            ..Timestamps::default()
        };
        check(timestamps, Some(50), &[("connect", 5), ("send", 45), ("wait", 0), ("receive", 50)]);
    }

    #[test]
    fn the_last_phase_without_a_response_is_the_current_one() {
        check(
            |at| Timestamps { connect_started: at(1), dns_started: at(2), ..Timestamps::default() },
            None,
            &[("dns", 98)],
        );
        let resolved = |at: &dyn Fn(u64) -> Option<Instant>| Timestamps {
            connect_started: at(1),
            dns_started: at(2),
            dns_ended: at(10),
            ..Timestamps::default()
        };
        check(resolved, None, &[("dns", 8), ("connect", 90)]);
        check(|at| Timestamps { connect_started: at(1), ..Timestamps::default() }, None, &[("connect", 99)]);
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
