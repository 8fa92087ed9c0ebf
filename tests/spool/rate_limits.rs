//! Rate limits and rejections by Sentry.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{event_counts, printed_traces, probes_config, run_once_with_spool, start_program, write_config};
use crate::support::receiver::{ACCEPTED_RESPONSE, Receiver};
use crate::support::target::Target;
use crate::support::{empty_folder, eventually, run_command, sentrynet};

#[test]
fn a_rate_limit_delays_only_its_categories() {
    let rate_limit_response =
        |header: &str| format!("HTTP/1.1 429 Too Many Requests\r\n{header}content-length: 0\r\n\r\n");
    let date = || httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(4));
    // Each case has the headers of the first response, and true if errors may still be sent after it.
    for (index, (header, errors)) in [
        ("x-sentry-rate-limits: 3:transaction:organization:quota\r\n".to_owned(), true),
        ("x-sentry-rate-limits: 2.5:transaction;span:key, 99999:replay:key\r\nretry-after: 99999\r\n".to_owned(), true),
        ("x-sentry-rate-limits: 3:transaction:key\r\nx-sentry-rate-limits: 1:transaction:key\r\n".to_owned(), true),
        ("x-sentry-rate-limits: 3::organization\r\n".to_owned(), false),
        ("retry-after: 3\r\n".to_owned(), false),
        ("retry-after: DATE\r\n".to_owned(), false),
    ]
    .into_iter()
    .enumerate()
    {
        let first = AtomicUsize::new(0);
        let limited_response = rate_limit_response(&header.replace("DATE", &date()));
        let receiver = Receiver::responding(move |_, received| {
            let is_first = received.item_type() == "transaction" && first.fetch_add(1, Ordering::SeqCst) == 0;
            if is_first { limited_response.clone() } else { ACCEPTED_RESPONSE.to_owned() }
        });
        let home = empty_folder(&format!("spool-limit-{index}"));
        let target = Target::responding(|_| "500 Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned());
        let began = Instant::now();
        let ended = run_once_with_spool(&home, &probes_config(&receiver.dsn(), target.port, 3, "every: 300"));
        assert_eq!(ended.code, 1);
        let all = receiver.received();
        let ids = event_counts(&all);
        assert_eq!(ids.len(), 6, "{header}: each run sends a transaction and an error: {}", ended.stderr);
        assert_eq!(ids.values().sum::<usize>(), 7, "{header}: only the envelope that was rate-limited comes twice");
        assert!(began.elapsed() > Duration::from_secs(2), "{header}");
        let limited =
            all.iter().find(|received| received.item_type() == "transaction").expect("a transaction was received").at;
        let later = all.iter().filter(|received| received.item_type() == "event").map(|error| error.at - limited);
        // If errors are limited too, they may have been sent before the limit.
        assert!(!errors || later.max() < Some(Duration::from_secs(1)), "{header}");
    }
}

#[test]
fn a_long_rate_limit_keeps_envelopes_in_the_spool() {
    let receiver = Receiver::responding(|_, received| match received.item_type().as_str() {
        "transaction" => {
            "HTTP/1.1 429 No\r\nx-sentry-rate-limits: 86400:transaction:key\r\ncontent-length: 0\r\n\r\n".to_owned()
        }
        _ => ACCEPTED_RESPONSE.to_owned(),
    });
    let home = empty_folder("spool-day");
    let target = Target::responding(|_| "500 Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned());
    let began = Instant::now();
    let ended = run_once_with_spool(&home, &probes_config(&receiver.dsn(), target.port, 5, "every: 300"));
    assert!(began.elapsed() < Duration::from_secs(10), "the program waited for the rate limit");
    assert_eq!(receiver.received().iter().filter(|received| received.item_type() == "event").count(), 5);
    assert!(ended.stderr.contains("5 sent, 5 waiting"), "{}", ended.stderr);
    let lines: Vec<_> = ended.stderr.lines().filter(|line| line.contains("rate limit reached")).collect();
    assert!(lines[0].contains("categories=transaction seconds=86400"), "{}", ended.stderr);
    assert_eq!(lines.len(), 1, "the limit is logged once: {}", ended.stderr);
}

#[test]
fn server_errors_for_one_category_do_not_delay_the_others() {
    let home = empty_folder("spool-part");
    let target = Target::responding(|_| "500 Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned());
    let receiver = Receiver::responding(|_, received| match received.item_type().as_str() {
        "event" => "HTTP/1.1 500 Down\r\ncontent-length: 0\r\n\r\n".to_owned(),
        _ => ACCEPTED_RESPONSE.to_owned(),
    });
    let running = start_program(
        &home,
        &write_config(&home, &probes_config(&receiver.dsn(), target.port, 4, "every: 0.1")),
        "shown",
    );
    std::thread::sleep(Duration::from_secs(3));
    let came = receiver.received();
    let runs = printed_traces(&home, "shown").len();
    running.send_signal("TERM");
    assert_eq!(running.wait_for_exit_code(), Some(0));
    let (errors, transactions): (Vec<_>, Vec<_>) = came.iter().partition(|received| received.item_type() == "event");
    assert!(transactions.len() + 20 > runs, "{} of {runs} transactions arrived", transactions.len());
    assert!(errors.len() < 10, "{} attempts to send errors", errors.len());
}

#[test]
fn an_envelope_that_is_too_large_is_reported_with_the_advice_to_raise_the_proxys_limit() {
    let target = Target::new();
    let receiver =
        Receiver::responding(|_, _| "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n".to_owned());
    let configuration = probes_config(&receiver.dsn(), target.port, 1, "every: 60");
    let ended = run_command(sentrynet().args(["once", "-"]), &configuration);
    assert!(ended.stderr.contains("client_max_body_size"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("check the DSN"), "{}", ended.stderr);
}

#[test]
fn rejected_envelopes_are_in_the_client_report() {
    let home = empty_folder("spool-refused");
    let target = Target::new();
    let receiver = Receiver::responding(|_, received| match received.item_type().as_str() {
        "client_report" => ACCEPTED_RESPONSE.to_owned(),
        _ => "HTTP/1.1 403 Forbidden\r\nx-sentry-error: no such project\r\ncontent-length: 0\r\n\r\n".to_owned(),
    });
    let configuration = probes_config(&receiver.dsn(), target.port, 3, "every: 0.2");
    let running = start_program(&home, &write_config(&home, &configuration), "shown");
    receiver.wait_for_envelopes(3);
    running.send_signal("TERM");
    let report = eventually("a client report", || {
        receiver.received().into_iter().find(|received| received.item_type() == "client_report")
    });
    let (header, items) = report.parse_envelope();
    assert!(header["sent_at"].is_string() && header.get("event_id").is_none(), "{header}");
    let discarded = items[0].1["discarded_events"].as_array().expect("a client report has a list of discarded events");
    let quantity = |category: &str| {
        let found = discarded.iter().find(|discarded| discarded["category"] == category);
        found.inspect(|found| assert_eq!(found["reason"], "send_error")).expect("the report has the category")["quantity"].as_u64()
    };
    assert!(quantity("transaction") >= Some(3) && quantity("span") >= quantity("transaction").map(|it| it * 4));
}
