use super::super::backoff::MAX_PAUSE;
use super::queued_envelope::{LONE_FAILURE_TIME, MAX_LONE_FAILURES};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn envelope(kind: Kind, name: &str) -> Envelope {
    Envelope { kind, origin: Origin::BuiltIn, spans: 0, bytes: format!("{name:10}").into_bytes() }
}

/// Returns a queue in memory of at most this many bytes.
fn queue(max_bytes: u64) -> Queue {
    Queue::new(Spool::in_memory_of(max_bytes), Vec::new())
}

fn push(queue: &mut Queue, kind: Kind, name: &str) {
    queue.push(vec![envelope(kind, name)], SystemTime::now());
}

fn name(envelope: &QueuedEnvelope) -> String {
    String::from_utf8(envelope.spooled.read().unwrap().to_vec()).unwrap().trim().to_owned()
}

fn dropped(queue: &Queue, reason: DropReason) -> u64 {
    queue.counts().dropped.get(&reason).copied().unwrap_or_default()
}

#[track_caller]
fn take_next(queue: &mut Queue, now: Instant) -> QueuedEnvelope {
    match queue.next(now) {
        Next::Send { envelope, .. } => envelope,
        Next::Wait(until) => panic!("nothing may be sent until {until:?}"),
    }
}

#[track_caller]
fn next_wait(queue: &mut Queue, now: Instant) -> Duration {
    match queue.next(now) {
        Next::Wait(Some(until)) => until - now,
        other => panic!("{other:?} is not a wait until a moment"),
    }
}

fn accepted() -> SendResult {
    SendResult::Accepted(RateLimitHeaders::default())
}

#[test]
fn errors_are_sent_first_and_the_oldest_passed_runs_are_dropped_first() {
    let now = Instant::now();
    let mut queue = queue(40);
    for (kind, name, drops) in [
        (Kind::PassedTransaction, "passed 1", 0),
        (Kind::PassedTransaction, "passed 2", 0),
        (Kind::FailedTransaction, "failed", 0),
        (Kind::Error, "error 1", 0),
        (Kind::Error, "error 2", 1),
        (Kind::Error, "error 3", 2),
    ] {
        push(&mut queue, kind, name);
        assert_eq!(dropped(&queue, DropReason::MemoryFull), drops, "{name}");
    }
    let order: Vec<_> = (0..4).map(|_| name(&take_next(&mut queue, now))).collect();
    assert_eq!(order, ["error 1", "error 2", "error 3", "failed"]);
    let counts = queue.counts();
    assert_eq!((counts.spooled, counts.waiting, counts.all_dropped()), (6, 4, 2));
}

fn push_third_party(queue: &mut Queue, probe: u64, name: &str) {
    let envelope = Envelope { origin: Origin::ThirdParty(probe), ..envelope(Kind::Error, name) };
    queue.push(vec![envelope], SystemTime::now());
}

fn take_names(queue: &mut Queue, count: usize) -> Vec<String> {
    (0..count).map(|_| name(&take_next(queue, Instant::now()))).collect()
}

#[test]
fn a_flood_of_a_third_party_probe_drops_no_envelope_of_another_probe() {
    let mut queue = queue(100);
    push(&mut queue, Kind::PassedTransaction, "passed");
    push(&mut queue, Kind::Error, "error");
    push_third_party(&mut queue, 2, "calm");
    for number in 0..50 {
        push_third_party(&mut queue, 1, &format!("flood {number}"));
    }
    assert_eq!((queue.counts().waiting, dropped(&queue, DropReason::MemoryFull)), (10, 43));
    push_third_party(&mut queue, 2, "calm 2");
    push(&mut queue, Kind::PassedTransaction, "passed 2");
    assert_eq!(queue.counts().waiting, 10);
    // What is in flight is limited to four.
    assert_eq!(take_names(&mut queue, 4), ["error", "calm", "flood 2", "calm 2"]);
}

#[test]
fn third_party_probes_alone_may_use_the_whole_spool_and_leave_half_of_it_to_others() {
    let mut queue = queue(100);
    for number in 0..10 {
        push_third_party(&mut queue, 1, &format!("flood {number}"));
    }
    assert_eq!(dropped(&queue, DropReason::MemoryFull), 0);
    for number in 0..10 {
        push(&mut queue, Kind::PassedTransaction, &format!("passed {number}"));
    }
    assert_eq!(dropped(&queue, DropReason::MemoryFull), 10);
    let third_party = queue.waiting[Storage::Memory as usize].len(Kind::Error);
    assert_eq!((third_party, queue.counts().waiting), (5, 10));
}

#[test]
fn held_envelopes_of_a_third_party_probe_are_dropped_if_the_spool_is_full() {
    let mut queue = queue(20);
    for _ in 0..5 {
        let held = Envelope { origin: Origin::ThirdParty(1), ..envelope(Kind::Error, "held") };
        queue.hold(vec![held], SystemTime::now());
    }
    assert_eq!(queue.held.len(), 2);
    for name in ["error 1", "error 2"] {
        push(&mut queue, Kind::Error, name);
    }
    assert_eq!((queue.held.len(), queue.counts().waiting), (1, 2), "half of the spool is for built-in probes");
}

#[test]
fn third_party_probes_take_turns_with_each_other_and_with_built_in_probes() {
    let now = Instant::now();
    let mut queue = queue(1000);
    for _ in 0..30 {
        push_third_party(&mut queue, 1, "flood");
    }
    push_third_party(&mut queue, 2, "calm");
    for _ in 0..2 {
        push(&mut queue, Kind::Error, "error");
    }
    let mut sent = Vec::new();
    for _ in 0..6 {
        let envelope = take_next(&mut queue, now);
        sent.push(name(&envelope));
        queue.on_result(envelope, accepted(), now);
    }
    assert_eq!(sent, ["error", "flood", "error", "calm", "flood", "flood"]);
}

#[test]
fn an_envelope_larger_than_the_spool_is_dropped() {
    let mut queue = queue(5);
    push(&mut queue, Kind::Error, "error");
    assert_eq!(dropped(&queue, DropReason::MemoryFull), 1);
    assert!(matches!(queue.next(Instant::now()), Next::Wait(None)));
}

#[test]
fn held_envelopes_wait_until_they_are_released() {
    let now = Instant::now();
    let mut queue = queue(1000);
    queue.hold(vec![envelope(Kind::Error, "held")], SystemTime::now());
    assert!(matches!(queue.next(now), Next::Wait(None)));
    assert!(queue.is_stuck(now, now, u32::MAX));
    assert_eq!(queue.counts().waiting, 1);
    queue.release_held();
    assert_eq!(name(&take_next(&mut queue, now)), "held");
    queue.hold(vec![envelope(Kind::Error, "held")], SystemTime::now());
    queue.drop_held();
    assert_eq!(dropped(&queue, DropReason::Suppressed), 1);
    assert!(matches!(queue.next(now), Next::Wait(None)));
}

#[test]
fn envelopes_that_are_too_old_are_dropped() {
    let now = SystemTime::now();
    let ago = |seconds| now - Duration::from_secs(seconds);
    let mut queue = queue(1000);
    queue.push(vec![envelope(Kind::CheckIn, "stale")], ago(91));
    queue.push(vec![envelope(Kind::CheckIn, "fresh")], ago(60));
    queue.push(vec![envelope(Kind::PassedTransaction, "old")], ago(5 * 86_400 + 1));
    queue.push(vec![envelope(Kind::PassedTransaction, "young")], ago(4 * 86_400));
    let sent = [(); 2].map(|()| name(&take_next(&mut queue, Instant::now())));
    assert_eq!(sent, ["fresh", "young"]);
    assert_eq!(dropped(&queue, DropReason::TooOld), 2);
    queue.push(vec![envelope(Kind::Error, "old")], ago(6 * 86_400));
    queue.push(vec![envelope(Kind::Error, "young")], now);
    queue.drop_expired(now);
    assert_eq!(dropped(&queue, DropReason::TooOld), 3);
    assert_eq!(name(&take_next(&mut queue, Instant::now())), "young");
}

#[test]
fn parallel_requests_grow_with_each_success_and_fall_to_one_after_a_failure() {
    let mut now = Instant::now();
    let mut queue = queue(10_000);
    for _ in 0..200 {
        push(&mut queue, Kind::PassedTransaction, "one");
    }
    let take_all = |queue: &mut Queue, now| -> Vec<QueuedEnvelope> {
        let next = std::iter::from_fn(|| match queue.next(now) {
            Next::Send { envelope, .. } => Some(envelope),
            Next::Wait(_) => None,
        });
        next.collect()
    };
    let mut in_flight = Vec::new();
    for _ in 0..6 {
        let envelopes = take_all(&mut queue, now);
        in_flight.push(envelopes.len());
        for envelope in envelopes {
            queue.on_result(envelope, accepted(), now);
        }
    }
    assert_eq!(in_flight, [4, 8, 16, 32, 32, 32]);
    let envelopes = take_all(&mut queue, now);
    for envelope in envelopes {
        queue.on_result(envelope, SendResult::Failed(RateLimitHeaders::default()), now);
    }
    now += SECOND;
    let [envelope] = take_all(&mut queue, now).try_into().unwrap();
    queue.on_result(envelope, accepted(), now);
    assert_eq!(take_all(&mut queue, now).len(), 2);
}

#[test]
fn unreadable_envelopes_are_dropped() {
    let mut queue = queue(1000);
    push(&mut queue, Kind::PassedTransaction, "one");
    let envelope = take_next(&mut queue, Instant::now());
    assert_eq!(queue.on_result(envelope, SendResult::Unreadable, Instant::now()), Some(QueueEvent::Unreadable));
    assert_eq!(dropped(&queue, DropReason::Unreadable), 1);
    assert_eq!(queue.counts().waiting, 0);
}

#[test]
fn a_rate_limit_of_client_reports_applies_to_nothing_else() {
    let now = Instant::now();
    let mut queue = queue(1000);
    push(&mut queue, Kind::ClientReport, "report");
    let envelope = take_next(&mut queue, now);
    queue.on_result(envelope, SendResult::RateLimited(RateLimitHeaders::default()), now);
    assert_eq!(next_wait(&mut queue, now), Duration::from_secs(60));
    let mut queue = self::queue(1000);
    push(&mut queue, Kind::PassedTransaction, "passed");
    let envelope = take_next(&mut queue, now);
    queue.on_result(envelope, SendResult::RateLimited(RateLimitHeaders::default()), now);
    push(&mut queue, Kind::ClientReport, "report");
    assert_eq!(name(&take_next(&mut queue, now)), "report", "Sentry accepts client reports whatever else it limits");
}

#[test]
fn a_full_spool_drops_client_reports_last() {
    let mut queue = queue(20);
    push(&mut queue, Kind::ClientReport, "report");
    for number in 0..3 {
        push(&mut queue, Kind::Error, &format!("error {number}"));
    }
    let remaining = [(); 2].map(|()| name(&take_next(&mut queue, Instant::now())));
    assert_eq!(remaining, ["error 2", "report"]);
    assert_eq!(dropped(&queue, DropReason::MemoryFull), 2);
}

#[test]
fn a_failure_with_retry_after_is_a_rate_limit() {
    let now = Instant::now();
    let mut queue = queue(1000);
    push(&mut queue, Kind::PassedTransaction, "one");
    push(&mut queue, Kind::Error, "error");
    let failed = |rate_limits: Option<&str>, retry_after: Option<&str>| {
        let [rate_limits, retry_after] = [rate_limits, retry_after].map(|text| text.map(str::to_owned));
        SendResult::Failed(RateLimitHeaders { rate_limits, retry_after })
    };
    let envelope = take_next(&mut queue, now);
    queue.on_result(envelope, failed(None, Some("40")), now);
    assert_eq!(next_wait(&mut queue, now), Duration::from_secs(40));
    let now = now + Duration::from_secs(40);
    let envelope = take_next(&mut queue, now);
    queue.on_result(envelope, failed(Some("50:error:key"), None), now);
    let now = now + MAX_PAUSE;
    assert_eq!(name(&take_next(&mut queue, now)), "one", "only errors are limited");
}

#[test]
fn pauses_grow_with_each_failure() {
    let mut now = Instant::now();
    let mut queue = queue(1000);
    push(&mut queue, Kind::PassedTransaction, "one");
    let mut failures = 0;
    for expected in [1, 2, 4, 8, 16, 30, 30] {
        let envelope = take_next(&mut queue, now);
        let event = queue.on_result(envelope, SendResult::Failed(RateLimitHeaders::default()), now);
        assert_eq!(event, (expected == 1).then_some(QueueEvent::Unreachable));
        let pause = next_wait(&mut queue, now).as_secs_f64();
        let max = f64::from(expected);
        assert!((max / 2.0..=max).contains(&pause), "{pause} of {max}");
        failures += 1;
        let deadline = now + MAX_PAUSE;
        assert!(!queue.is_stuck(now, deadline, failures + 1));
        assert!(queue.is_stuck(now, deadline, failures), "a flush no longer waits after {failures} failures");
        now += Duration::from_secs(60);
    }
    let envelope = take_next(&mut queue, now);
    assert_eq!(queue.on_result(envelope, accepted(), now), Some(QueueEvent::Reachable));
    assert_eq!(queue.counts(), Counts { spooled: 1, sent: 1, ..Counts::default() });
}

#[test]
fn simultaneous_failures_count_once() {
    let now = Instant::now();
    let mut queue = queue(1000);
    for _ in 0..4 {
        push(&mut queue, Kind::PassedTransaction, "one");
    }
    let envelopes: Vec<_> = (0..4).map(|_| take_next(&mut queue, now)).collect();
    let events: Vec<_> = envelopes
        .into_iter()
        .filter_map(|envelope| queue.on_result(envelope, SendResult::Failed(RateLimitHeaders::default()), now))
        .collect();
    assert_eq!(events, [QueueEvent::Unreachable]);
    assert!(next_wait(&mut queue, now) <= SECOND);
}

#[test]
fn an_envelope_at_which_the_server_fails_does_not_delay_others() {
    let now = Instant::now();
    let mut queue = queue(1000);
    push(&mut queue, Kind::Error, "poison");
    let envelope = take_next(&mut queue, now);
    assert_eq!(
        queue.on_result(envelope, SendResult::Failed(RateLimitHeaders::default()), now),
        Some(QueueEvent::Unreachable)
    );
    for number in 0..20 {
        push(&mut queue, Kind::PassedTransaction, &number.to_string());
        let envelope = take_next(&mut queue, now);
        assert_eq!(name(&envelope), number.to_string());
        assert_eq!(queue.on_result(envelope, accepted(), now), None);
    }
    let now = now + SECOND;
    let envelope = take_next(&mut queue, now);
    assert_eq!(name(&envelope), "poison");
    assert_eq!(queue.on_result(envelope, accepted(), now), Some(QueueEvent::Reachable));
}

#[test]
fn a_success_ends_the_pauses_of_all_categories() {
    let now = Instant::now();
    let mut queue = queue(1000);
    for kind in [Kind::Error, Kind::PassedTransaction] {
        push(&mut queue, kind, "one");
    }
    for _ in 0..2 {
        let envelope = take_next(&mut queue, now);
        queue.on_result(envelope, SendResult::Failed(RateLimitHeaders::default()), now);
    }
    let now = now + next_wait(&mut queue, now);
    let envelope = take_next(&mut queue, now);
    assert_eq!(queue.on_result(envelope, accepted(), now), Some(QueueEvent::Reachable));
    let envelope = take_next(&mut queue, now);
    assert_eq!(queue.on_result(envelope, accepted(), now), None);
}

/// Returns the number of waiting envelopes after the server has failed `attempts` times within `time` at one envelope,
/// while it accepted all others.
fn waiting_after_lone_failures(attempts: u32, time: Duration) -> u64 {
    let mut now = Instant::now();
    let mut queue = queue(1000);
    push(&mut queue, Kind::Error, "poison");
    for _ in 0..attempts {
        let envelope = take_next(&mut queue, now);
        assert_eq!(name(&envelope), "poison");
        queue.on_result(envelope, SendResult::Failed(RateLimitHeaders::default()), now);
        now += time / (attempts - 1);
        push(&mut queue, Kind::Error, "good");
        while let Next::Send { envelope, .. } = queue.next(now) {
            if name(&envelope) == "good" {
                queue.on_result(envelope, accepted(), now);
                break;
            }
            queue.on_result(envelope, SendResult::Failed(RateLimitHeaders::default()), now);
            now += MAX_PAUSE;
        }
    }
    queue.counts().waiting
}

#[test]
fn an_envelope_that_alone_fails_is_dropped_after_a_day() {
    assert_eq!(waiting_after_lone_failures(MAX_LONE_FAILURES, LONE_FAILURE_TIME), 0);
    assert_eq!(waiting_after_lone_failures(200, LONE_FAILURE_TIME / 4), 1, "a part of the server may be down");
    assert_eq!(waiting_after_lone_failures(MAX_LONE_FAILURES / 2, LONE_FAILURE_TIME * 2), 1);
}

#[test]
fn a_rate_limit_delays_its_category_and_loses_nothing() {
    let now = Instant::now();
    let mut queue = queue(1000);
    push(&mut queue, Kind::PassedTransaction, "passed");
    let envelope = take_next(&mut queue, now);
    let headers = RateLimitHeaders { rate_limits: Some("100:transaction".to_owned()), retry_after: None };
    let limited = QueueEvent::RateLimited(vec![Category::Transaction], Duration::from_secs(100));
    assert_eq!(queue.on_result(envelope, SendResult::RateLimited(headers), now), Some(limited));
    assert_eq!(next_wait(&mut queue, now), Duration::from_secs(100));
    assert!(queue.is_stuck(now, now + Duration::from_secs(99), u32::MAX));
    assert!(!queue.is_stuck(now, now + Duration::from_secs(101), u32::MAX));
    push(&mut queue, Kind::Error, "error");
    assert!(!queue.is_stuck(now, now, u32::MAX));
    assert_eq!(name(&take_next(&mut queue, now)), "error");
    assert_eq!(name(&take_next(&mut queue, now + Duration::from_secs(101))), "passed");
}

#[test]
fn occasional_failures_are_not_logged() {
    let mut now = Instant::now();
    let mut queue = queue(10_000);
    let mut send = |queue: &mut Queue, result| {
        push(queue, Kind::PassedTransaction, "one");
        let envelope = take_next(queue, now);
        let event = queue.on_result(envelope, result, now);
        now += MAX_PAUSE;
        event
    };
    assert_eq!(send(&mut queue, accepted()), None);
    for _ in 0..3 {
        assert_eq!(send(&mut queue, SendResult::Failed(RateLimitHeaders::default())), None);
        assert_eq!(send(&mut queue, accepted()), None);
    }
    assert_eq!(send(&mut queue, SendResult::Failed(RateLimitHeaders::default())), None);
    assert_eq!(send(&mut queue, SendResult::Failed(RateLimitHeaders::default())), Some(QueueEvent::Unreachable));
    assert_eq!(send(&mut queue, SendResult::Failed(RateLimitHeaders::default())), None);
    assert_eq!(send(&mut queue, accepted()), Some(QueueEvent::Reachable));
}
