use super::super::backoff::LONGEST_PAUSE;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn envelope(kind: Kind, name: &str) -> Envelope {
    Envelope { kind, spans: 0, bytes: format!("{name:10}").into_bytes() }
}

/// A queue in memory, of so many bytes.
fn queue(room: u64) -> Queue {
    Queue::new(Spool::with_memory(room), Vec::new())
}

fn push(queue: &mut Queue, kind: Kind, name: &str) {
    queue.push(vec![envelope(kind, name)], SystemTime::now());
}

fn name(parcel: &InFlight) -> String {
    String::from_utf8(parcel.kept.read().unwrap().to_vec()).unwrap().trim().to_owned()
}

fn dropped(queue: &Queue, reason: Reason) -> u64 {
    queue.counts().dropped.get(&reason).copied().unwrap_or_default()
}

#[track_caller]
fn send(queue: &mut Queue, now: Instant) -> InFlight {
    match queue.next(now) {
        Next::Send(parcel, _) => parcel,
        Next::Wait(until) => panic!("nothing may go until {until:?}"),
    }
}

#[track_caller]
fn wait(queue: &mut Queue, now: Instant) -> Duration {
    match queue.next(now) {
        Next::Wait(Some(until)) => until - now,
        other => panic!("{other:?} is no wait for a time"),
    }
}

fn taken() -> SendResult {
    SendResult::Taken(Headers::default())
}

#[test]
fn the_dearest_go_first_and_the_oldest_passing_are_dropped_first() {
    let now = Instant::now();
    let mut queue = queue(40);
    for (kind, name, gone) in [
        (Kind::PassedTransaction, "passed 1", 0),
        (Kind::PassedTransaction, "passed 2", 0),
        (Kind::FailedTransaction, "trouble", 0),
        (Kind::Error, "error 1", 0),
        (Kind::Error, "error 2", 1),
        (Kind::Error, "error 3", 2),
    ] {
        push(&mut queue, kind, name);
        assert_eq!(dropped(&queue, Reason::NoRoomInMemory), gone, "{name}");
    }
    let order: Vec<_> = (0..4).map(|_| name(&send(&mut queue, now))).collect();
    assert_eq!(order, ["error 1", "error 2", "error 3", "trouble"]);
    let counts = queue.counts();
    assert_eq!((counts.spooled, counts.waiting, counts.all_dropped()), (6, 4, 2));
}

#[test]
fn what_is_larger_than_all_room_is_dropped() {
    let mut queue = queue(5);
    push(&mut queue, Kind::Error, "error");
    assert_eq!(dropped(&queue, Reason::NoRoomInMemory), 1);
    assert!(matches!(queue.next(Instant::now()), Next::Wait(None)));
}

#[test]
fn what_is_held_waits_until_it_is_released() {
    let now = Instant::now();
    let mut queue = queue(1000);
    queue.hold(vec![envelope(Kind::Error, "held")], SystemTime::now());
    assert!(matches!(queue.next(now), Next::Wait(None)));
    assert!(queue.is_stuck(now, now, u32::MAX));
    assert_eq!(queue.counts().waiting, 1);
    queue.release_held();
    assert_eq!(name(&send(&mut queue, now)), "held");
    queue.hold(vec![envelope(Kind::Error, "held")], SystemTime::now());
    queue.drop_held();
    assert_eq!(dropped(&queue, Reason::Suppressed), 1);
    assert!(matches!(queue.next(now), Next::Wait(None)));
}

#[test]
fn what_is_too_old_is_not_sent() {
    let now = SystemTime::now();
    let ago = |seconds| now - Duration::from_secs(seconds);
    let mut queue = queue(1000);
    queue.push(vec![envelope(Kind::CheckIn, "stale")], ago(91));
    queue.push(vec![envelope(Kind::CheckIn, "fresh")], ago(60));
    queue.push(vec![envelope(Kind::PassedTransaction, "old")], ago(5 * 86_400 + 1));
    queue.push(vec![envelope(Kind::PassedTransaction, "young")], ago(4 * 86_400));
    let found = [(); 2].map(|()| name(&send(&mut queue, Instant::now())));
    assert_eq!(found, ["fresh", "young"]);
    assert_eq!(dropped(&queue, Reason::TooOld), 2);
    queue.push(vec![envelope(Kind::Error, "old")], ago(6 * 86_400));
    queue.push(vec![envelope(Kind::Error, "young")], now);
    queue.expire(now);
    assert_eq!(dropped(&queue, Reason::TooOld), 3);
    assert_eq!(name(&send(&mut queue, Instant::now())), "young");
}

#[test]
fn there_are_more_at_once_while_the_server_takes_them_and_one_alone_when_it_does_not() {
    let mut now = Instant::now();
    let mut queue = queue(10_000);
    for _ in 0..200 {
        push(&mut queue, Kind::PassedTransaction, "one");
    }
    let all = |queue: &mut Queue, now| -> Vec<InFlight> {
        let next = std::iter::from_fn(|| match queue.next(now) {
            Next::Send(parcel, _) => Some(parcel),
            Next::Wait(_) => None,
        });
        next.collect()
    };
    let mut found = Vec::new();
    for _ in 0..6 {
        let parcels = all(&mut queue, now);
        found.push(parcels.len());
        for parcel in parcels {
            queue.on_response(parcel, taken(), now);
        }
    }
    assert_eq!(found, [4, 8, 16, 32, 32, 32]);
    let parcels = all(&mut queue, now);
    for parcel in parcels {
        queue.on_response(parcel, SendResult::Failed(Headers::default()), now);
    }
    now += SECOND;
    let [parcel] = all(&mut queue, now).try_into().unwrap();
    queue.on_response(parcel, taken(), now);
    assert_eq!(all(&mut queue, now).len(), 2);
}

#[test]
fn what_is_damaged_is_dropped() {
    let mut queue = queue(1000);
    push(&mut queue, Kind::PassedTransaction, "one");
    let parcel = send(&mut queue, Instant::now());
    assert_eq!(queue.on_response(parcel, SendResult::Damaged, Instant::now()), Some(QueueEvent::Damaged));
    assert_eq!(dropped(&queue, Reason::Damaged), 1);
    assert_eq!(queue.counts().waiting, 0);
}

#[test]
fn a_report_that_is_limited_waits_by_itself() {
    let now = Instant::now();
    let mut queue = queue(1000);
    push(&mut queue, Kind::Report, "report");
    let parcel = send(&mut queue, now);
    queue.on_response(parcel, SendResult::Limited(Headers::default()), now);
    assert_eq!(wait(&mut queue, now), Duration::from_secs(60));
    let mut queue = self::queue(1000);
    push(&mut queue, Kind::PassedTransaction, "passed");
    let parcel = send(&mut queue, now);
    queue.on_response(parcel, SendResult::Limited(Headers::default()), now);
    push(&mut queue, Kind::Report, "report");
    assert_eq!(name(&send(&mut queue, now)), "report", "Sentry takes reports whatever else it limits");
}

#[test]
fn a_report_stays_where_there_is_no_room() {
    let mut queue = queue(20);
    push(&mut queue, Kind::Report, "report");
    for number in 0..3 {
        push(&mut queue, Kind::Error, &format!("error {number}"));
    }
    let left = [(); 2].map(|()| name(&send(&mut queue, Instant::now())));
    assert_eq!(left, ["error 2", "report"]);
    assert_eq!(dropped(&queue, Reason::NoRoomInMemory), 2);
}

#[test]
fn a_server_that_fails_for_a_time_is_left_alone_for_that_time() {
    let now = Instant::now();
    let mut queue = queue(1000);
    push(&mut queue, Kind::PassedTransaction, "one");
    push(&mut queue, Kind::Error, "error");
    let headers = |rate_limits: Option<&str>, retry_after: Option<&str>| {
        let [rate_limits, retry_after] = [rate_limits, retry_after].map(|text| text.map(str::to_owned));
        SendResult::Failed(Headers { rate_limits, retry_after })
    };
    let parcel = send(&mut queue, now);
    queue.on_response(parcel, headers(None, Some("40")), now);
    assert_eq!(wait(&mut queue, now), Duration::from_secs(40));
    let now = now + Duration::from_secs(40);
    let parcel = send(&mut queue, now);
    queue.on_response(parcel, headers(Some("50:error:key"), None), now);
    let now = now + LONGEST_PAUSE;
    assert_eq!(name(&send(&mut queue, now)), "one", "errors alone are limited");
}

#[test]
fn failures_are_followed_by_ever_longer_pauses() {
    let mut now = Instant::now();
    let mut queue = queue(1000);
    push(&mut queue, Kind::PassedTransaction, "one");
    let mut failures = 0;
    for expected in [1, 2, 4, 8, 16, 30, 30] {
        let parcel = send(&mut queue, now);
        let turn = queue.on_response(parcel, SendResult::Failed(Headers::default()), now);
        assert_eq!(turn, (expected == 1).then_some(QueueEvent::Lost));
        let pause = wait(&mut queue, now).as_secs_f64();
        let longest = f64::from(expected);
        assert!((longest / 2.0..=longest).contains(&pause), "{pause} of {longest}");
        failures += 1;
        let long = now + LONGEST_PAUSE;
        assert!(!queue.is_stuck(now, long, failures + 1));
        assert!(queue.is_stuck(now, long, failures), "so many failures are enough");
        now += Duration::from_secs(60);
    }
    let parcel = send(&mut queue, now);
    assert_eq!(queue.on_response(parcel, taken(), now), Some(QueueEvent::Back));
    assert_eq!(queue.counts(), Counts { spooled: 1, sent: 1, ..Counts::default() });
}

#[test]
fn several_that_fail_together_are_one_failure() {
    let now = Instant::now();
    let mut queue = queue(1000);
    for _ in 0..4 {
        push(&mut queue, Kind::PassedTransaction, "one");
    }
    let parcels: Vec<_> = (0..4).map(|_| send(&mut queue, now)).collect();
    let turns: Vec<_> = parcels
        .into_iter()
        .filter_map(|parcel| queue.on_response(parcel, SendResult::Failed(Headers::default()), now))
        .collect();
    assert_eq!(turns, [QueueEvent::Lost]);
    assert!(wait(&mut queue, now) <= SECOND);
}

#[test]
fn what_the_server_fails_at_holds_nothing_else_up() {
    let now = Instant::now();
    let mut queue = queue(1000);
    push(&mut queue, Kind::Error, "poison");
    let parcel = send(&mut queue, now);
    assert_eq!(queue.on_response(parcel, SendResult::Failed(Headers::default()), now), Some(QueueEvent::Lost));
    for number in 0..20 {
        push(&mut queue, Kind::PassedTransaction, &number.to_string());
        let parcel = send(&mut queue, now);
        assert_eq!(name(&parcel), number.to_string());
        assert_eq!(queue.on_response(parcel, taken(), now), None);
    }
    let now = now + SECOND;
    let parcel = send(&mut queue, now);
    assert_eq!(name(&parcel), "poison");
    assert_eq!(queue.on_response(parcel, taken(), now), Some(QueueEvent::Back));
}

#[test]
fn where_the_server_is_back_for_one_it_is_tried_for_all() {
    let now = Instant::now();
    let mut queue = queue(1000);
    for kind in [Kind::Error, Kind::PassedTransaction] {
        push(&mut queue, kind, "one");
    }
    for _ in 0..2 {
        let parcel = send(&mut queue, now);
        queue.on_response(parcel, SendResult::Failed(Headers::default()), now);
    }
    let now = now + wait(&mut queue, now);
    let parcel = send(&mut queue, now);
    assert_eq!(queue.on_response(parcel, taken(), now), Some(QueueEvent::Back));
    let parcel = send(&mut queue, now);
    assert_eq!(queue.on_response(parcel, taken(), now), None);
}

/// What is left of an envelope at which the server alone fails, as often as it is tried in so long.
fn after_suspense(tries: u32, lasted: Duration) -> u64 {
    let mut now = Instant::now();
    let mut queue = queue(1000);
    push(&mut queue, Kind::Error, "poison");
    for _ in 0..tries {
        let parcel = send(&mut queue, now);
        assert_eq!(name(&parcel), "poison");
        queue.on_response(parcel, SendResult::Failed(Headers::default()), now);
        now += lasted / (tries - 1);
        push(&mut queue, Kind::Error, "good");
        while let Next::Send(parcel, _) = queue.next(now) {
            if name(&parcel) == "good" {
                queue.on_response(parcel, taken(), now);
                break;
            }
            queue.on_response(parcel, SendResult::Failed(Headers::default()), now);
            now += LONGEST_PAUSE;
        }
    }
    queue.counts().waiting
}

#[test]
fn an_envelope_at_which_the_server_alone_fails_is_given_up_after_a_day() {
    assert_eq!(after_suspense(MAX_SUSPICIONS, MAX_SUSPENSE), 0);
    assert_eq!(after_suspense(200, MAX_SUSPENSE / 4), 1, "it may be that it alone is down");
    assert_eq!(after_suspense(MAX_SUSPICIONS / 2, MAX_SUSPENSE * 2), 1);
}

#[test]
fn a_limit_holds_its_category_and_keeps_what_it_answered() {
    let now = Instant::now();
    let mut queue = queue(1000);
    push(&mut queue, Kind::PassedTransaction, "passed");
    let parcel = send(&mut queue, now);
    let headers = Headers { rate_limits: Some("100:transaction".to_owned()), retry_after: None };
    let limited = QueueEvent::Limited(vec![Category::Transaction], Duration::from_secs(100));
    assert_eq!(queue.on_response(parcel, SendResult::Limited(headers), now), Some(limited));
    assert_eq!(wait(&mut queue, now), Duration::from_secs(100));
    assert!(queue.is_stuck(now, now + Duration::from_secs(99), u32::MAX));
    assert!(!queue.is_stuck(now, now + Duration::from_secs(101), u32::MAX));
    push(&mut queue, Kind::Error, "error");
    assert!(!queue.is_stuck(now, now, u32::MAX));
    assert_eq!(name(&send(&mut queue, now)), "error");
    assert_eq!(name(&send(&mut queue, now + Duration::from_secs(101))), "passed");
}

#[test]
fn one_that_fails_now_and_then_is_not_said_to_be_lost() {
    let mut now = Instant::now();
    let mut queue = queue(10_000);
    let mut answer = |queue: &mut Queue, answer| {
        push(queue, Kind::PassedTransaction, "one");
        let parcel = send(queue, now);
        let turn = queue.on_response(parcel, answer, now);
        now += LONGEST_PAUSE;
        turn
    };
    assert_eq!(answer(&mut queue, taken()), None);
    for _ in 0..3 {
        assert_eq!(answer(&mut queue, SendResult::Failed(Headers::default())), None);
        assert_eq!(answer(&mut queue, taken()), None);
    }
    assert_eq!(answer(&mut queue, SendResult::Failed(Headers::default())), None);
    assert_eq!(answer(&mut queue, SendResult::Failed(Headers::default())), Some(QueueEvent::Lost));
    assert_eq!(answer(&mut queue, SendResult::Failed(Headers::default())), None);
    assert_eq!(answer(&mut queue, taken()), Some(QueueEvent::Back));
}
