//! Builds the envelopes of runs, of events about the host, and of check-ins. The same run always gives the same bytes.
//! Does no I/O.

use super::check_in::CheckIn;
use super::envelope::{Envelope, Kind, Origin};
use super::json_writer::{self, ObjectWriter};
use super::payload::{self, CheckInPayload, DETAIL_LEVELS, DetailLevel, HostEvent};
use crate::assessment::Assessment;
use crate::config::SampleRate;
use crate::propagation::{EventDefaults, SamplingContext};
use crate::run::{Outcome, Run};
use crate::trace::{Digits, TraceId};

/// The maximum size of a payload. Sentry trims the spans of a transaction at 819,200 bytes, and rejects payloads of
/// more than 1 MiB.
const MAX_PAYLOAD_BYTES: usize = 800_000;

/// Returns the transaction of a run. `rate` is the sample rate of runs like this one.
pub fn transaction(run: &Run, assessment: &Assessment, rate: SampleRate, event_defaults: &EventDefaults) -> Envelope {
    let event_id = hex(event_number(run.trace.id));
    let payload = write_payload(|payload, detail| {
        payload::write_transaction(payload, &event_id, run, assessment, event_defaults, detail);
    });
    let kind = if run.outcome == Outcome::Passed { Kind::PassedTransaction } else { Kind::FailedTransaction };
    let spans = u32::try_from(run.trace.spans.len()).unwrap_or(u32::MAX);
    Envelope {
        origin: Origin::of_probe(&run.probe),
        spans,
        ..event_envelope(kind, "transaction", &event_id, &sampling_context(run, rate, event_defaults), &payload)
    }
}

/// Returns the error event of a run, on the trace of its transaction. Runs with an error are sent at every sample rate.
pub fn error(run: &Run, assessment: &Assessment, event_defaults: &EventDefaults) -> Envelope {
    let event_id = hex(!event_number(run.trace.id));
    let payload = write_payload(|payload, detail| {
        payload::write_event(payload, &event_id, run, assessment, event_defaults, detail);
    });
    let context = sampling_context(run, SampleRate::ALL, event_defaults);
    let envelope = event_envelope(Kind::Error, "event", &event_id, &context, &payload);
    Envelope { origin: Origin::of_probe(&run.probe), ..envelope }
}

/// Returns the event of a run's warning with this index, on the trace of the run's transaction. Runs with a warning
/// that is reported are sent at every sample rate.
///
/// # Panics
/// Panics if the run has no such warning.
pub fn warning(run: &Run, assessment: &Assessment, index: usize, event_defaults: &EventDefaults) -> Envelope {
    let event_id = hex(event_number(run.trace.id) ^ (index as u128 + 1));
    let warning = (&run.warnings[index], assessment.warnings[index].grouping);
    let payload = write_payload(|payload, detail| {
        payload::write_warning_event(payload, &event_id, run, warning, event_defaults, detail);
    });
    let context = sampling_context(run, SampleRate::ALL, event_defaults);
    let envelope = event_envelope(Kind::Error, "event", &event_id, &context, &payload);
    Envelope { origin: Origin::of_probe(&run.probe), ..envelope }
}

/// Returns an event about the host itself.
pub fn host_event(event: &HostEvent, event_defaults: &EventDefaults) -> Envelope {
    let event_id = hex(event_number(event.trace_id));
    let payload =
        write_payload(|payload, detail| payload::write_host_event(payload, &event_id, event, event_defaults, detail));
    event_envelope(
        Kind::Error,
        "event",
        &event_id,
        &event_defaults.sampling_context(event.trace_id, "", SampleRate::ALL),
        &payload,
    )
}

/// Returns the event id of an event about the host itself.
pub fn host_event_id(event: &HostEvent) -> String {
    hex(event_number(event.trace_id)).to_string()
}

/// Returns the envelope of a check-in. `id` must be different for each.
pub fn check_in(check_in: CheckIn, id: u128, event_defaults: &EventDefaults) -> Envelope {
    // Never fails: the payload has strings and numbers only.
    let payload =
        serde_json::to_vec(&CheckInPayload::new(hex(id).to_string(), check_in, event_defaults)).unwrap_or_default();
    Envelope::new(Kind::CheckIn, b"{}", "check_in", &payload)
}

/// Returns a number for an event id. It is derived from the trace id, and as random as that: if the envelope of a run
/// is built twice, both have the same event id, and Sentry keeps only one of them.
fn event_number(trace_id: TraceId) -> u128 {
    u128::from_be_bytes(trace_id.0).rotate_left(64)
}

/// Returns a number as 32 hexadecimal digits.
fn hex(number: u128) -> Digits<32> {
    TraceId(number.to_be_bytes()).digits()
}

/// Returns the dynamic sampling context of a run that is sent.
fn sampling_context<'a>(run: &'a Run, rate: SampleRate, event_defaults: &'a EventDefaults) -> SamplingContext<'a> {
    // The trace headers of the run's own requests may have had `sampled` unset. Here it is always set.
    event_defaults.sampling_context(run.trace.id, &run.probe.title, rate)
}

/// Returns the payload at the highest detail level at which it fits into [`MAX_PAYLOAD_BYTES`]. Returns no bytes if it
/// does not fit at any.
fn write_payload(write: impl Fn(&mut ObjectWriter, DetailLevel)) -> Vec<u8> {
    let mut levels = DETAIL_LEVELS.into_iter();
    let payload = levels.find_map(|detail| json_writer::object(MAX_PAYLOAD_BYTES, |payload| write(payload, detail)));
    payload.unwrap_or_default()
}

/// Returns an envelope of the host whose header has an event id and a dynamic sampling context.
fn event_envelope(
    kind: Kind,
    item_type: &'static str,
    event_id: &str,
    context: &SamplingContext,
    payload: &[u8],
) -> Envelope {
    let header = json_writer::object(MAX_PAYLOAD_BYTES, |header| {
        header.text("event_id", event_id);
        header.object("trace", |trace| {
            for (key, value) in context.fields() {
                trace.text(key, value);
            }
        });
    });
    Envelope::new(kind, &header.unwrap_or_default(), item_type, payload)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::assessment::{Grouping, Recovery};
    use crate::config::{Monitor, MonitorSubject, Sample, Sentry};
    use crate::sink::fixtures;
    use crate::trace::{SpanId, Status, TraceId};

    fn event_defaults() -> EventDefaults {
        EventDefaults::new(&Sentry {
            dsn: Some("https://key@sentry.example/7".parse().unwrap()),
            ca: None,
            environment: "test".to_owned(),
            release: "sentrynet@0.1.0".to_owned(),
            server_name: "here".to_owned(),
            sample: Sample::default(),
            spool: crate::config::Spool::default(),
            spotlight: None,
            monitors: Vec::new(),
        })
    }

    /// Returns the envelopes of the first run of a probe.
    fn envelopes(run: &Run) -> Vec<Envelope> {
        assessed(run, &fixtures::assessment(run))
    }

    fn assessed(run: &Run, assessment: &Assessment) -> Vec<Envelope> {
        let error = assessment.is_error().then(|| error(run, assessment, &event_defaults()));
        std::iter::once(transaction(run, assessment, SampleRate::ALL, &event_defaults())).chain(error).collect()
    }

    /// Returns the header, the item header and the payload of each envelope of a run.
    fn parse_envelopes(run: &Run) -> Vec<[Value; 3]> {
        envelopes(run).iter().map(parse_envelope).collect()
    }

    fn parse_envelope(envelope: &Envelope) -> [Value; 3] {
        let mut lines = envelope.bytes.splitn(3, |byte| *byte == b'\n');
        let mut line = || lines.next().unwrap();
        let [header, item, rest] = [line(), line(), line()];
        let item: Value = serde_json::from_slice(item).unwrap();
        let length = item["length"].as_u64().unwrap() as usize;
        assert_eq!(&rest[length..], b"\n");
        let payload = serde_json::from_slice(&rest[..length]).unwrap();
        [serde_json::from_slice(header).unwrap(), item, payload]
    }

    #[test]
    fn a_passed_run_is_a_transaction() {
        let [[header, item, payload]] = parse_envelopes(&fixtures::passed()).try_into().unwrap();
        assert_eq!(item["type"], "transaction");
        assert_eq!(header["event_id"], payload["event_id"]);
        assert_eq!(header["trace"]["trace_id"], payload["contexts"]["trace"]["trace_id"]);
        assert_eq!(header["trace"]["sampled"], "true");
        assert_eq!(header["trace"]["sample_rate"], "1");
        assert_eq!(header.get("sent_at"), None);
        assert_eq!(payload["transaction"], "example.org");
        assert_eq!(payload["transaction_info"]["source"], "custom");
        assert_eq!(payload["contexts"]["trace"]["op"], "probes.http");
        assert_eq!(payload["contexts"]["trace"]["status"], "ok");
        assert_eq!(payload["tags"]["probe"], "probes.http");
        assert_eq!(payload["tags"]["team"], "web");
        assert_eq!(payload["tags"]["tls"], "1.3");
        assert_eq!(payload["tags"]["outcome"], "passed");
        assert_eq!(payload["server_name"], "here");
        assert_eq!(payload["start_timestamp"], 1_795_473_901.25);
        assert_eq!(payload["spans"].as_array().unwrap().len(), 7);
        assert_eq!(payload["spans"][0]["parent_span_id"], payload["contexts"]["trace"]["span_id"]);
        assert_eq!(payload["spans"][0]["data"]["http.response.status_code"], 503);
        assert_eq!(payload["spans"][0]["start_timestamp"], 1_795_473_901.250_5);
    }

    #[test]
    fn the_sample_rate_is_in_the_header() {
        let mut run = fixtures::passed();
        run.trace.id = TraceId(249_999_u128.to_be_bytes());
        let envelope =
            transaction(&run, &fixtures::assessment(&run), SampleRate::from_share(0.25).unwrap(), &event_defaults());
        let header: Value =
            serde_json::from_slice(envelope.bytes.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
        assert_eq!(header["trace"]["sample_rate"], "0.25");
        assert_eq!(header["trace"]["sample_rand"], "0.249999");
        assert_eq!(header["trace"]["sampled"], "true");
    }

    #[test]
    fn a_failed_run_is_an_error_on_the_same_trace_too() {
        let [[_, _, transaction], [header, item, event]] = parse_envelopes(&fixtures::failed()).try_into().unwrap();
        assert_eq!(item["type"], "event");
        assert_eq!(header["event_id"], event["event_id"]);
        assert_ne!(event["event_id"], transaction["event_id"]);
        assert_eq!(event["contexts"]["trace"]["trace_id"], transaction["contexts"]["trace"]["trace_id"]);
        assert_eq!(event["contexts"]["trace"]["span_id"], transaction["spans"][0]["span_id"]);
        assert_eq!(
            event["fingerprint"],
            json!(["probe-failed", "probes.http", "api health", "status", "$.version", "status"])
        );
        assert_eq!(event["exception"]["values"][0]["type"], "status");
        let value = "api health: answered 503 instead of 2xx: status: expected 2xx, got 503; \
                     $.version: expected \"1.2\", got nothing";
        assert_eq!(event["exception"]["values"][0]["value"], value);
        assert_eq!(event["contexts"]["check"]["mismatches"][1]["actual"], "nothing");
        assert_eq!(event["tags"], transaction["tags"]);
        assert_eq!(event["tags"]["reason"], "status");
        let crumbs = event["breadcrumbs"]["values"].as_array().unwrap();
        assert_eq!(crumbs.len(), 8);
        assert_eq!(crumbs.last().unwrap()["message"], "answer was short");
    }

    #[test]
    fn an_error_beyond_the_bounds_of_groups_is_grouped_by_its_reason_or_one_of_others() {
        let run = fixtures::failed();
        for (grouping, expected) in [(Grouping::Reason, "status"), (Grouping::Other, "other")] {
            let assessment = Assessment { grouping, ..fixtures::assessment(&run) };
            let [_, _, event] = parse_envelope(&assessed(&run, &assessment)[1]);
            assert_eq!(event["fingerprint"], json!(["probe-failed", "probes.http", "api health", expected]));
            assert_eq!(event["exception"]["values"][0]["type"], expected);
            assert_eq!(event["tags"]["reason"], "status");
        }
    }

    #[test]
    fn a_warning_is_an_event_of_its_own_on_the_same_trace() {
        let run = fixtures::warned();
        let assessment = fixtures::assessment(&run);
        let [[_, _, transaction]] = parse_envelopes(&run).try_into().unwrap();
        let events = [0, 1].map(|index| parse_envelope(&warning(&run, &assessment, index, &event_defaults())));
        let ids: HashSet<_> = events.iter().map(|[_, _, event]| event["event_id"].to_string()).collect();
        assert_eq!(ids.len(), 2);
        assert!(!ids.contains(&transaction["event_id"].to_string()));
        let [[header, item, days], [_, _, json]] = events;
        assert_eq!((&item["type"], &header["event_id"]), (&json!("event"), &days["event_id"]));
        assert_eq!(days["contexts"]["trace"]["trace_id"], transaction["contexts"]["trace"]["trace_id"]);
        assert_eq!(days["level"], "warning");
        let fingerprint = |subject: &str| json!(["probe-warning", "probes.http", "example.org", "assertion", subject]);
        assert_eq!(days["fingerprint"], fingerprint("certificate days"));
        assert_eq!(json["fingerprint"], fingerprint("$.version"));
        assert_eq!(days["exception"]["values"][0]["type"], "assertion");
        let value = "example.org: certificate days: expected at least 14 days, got 13 days";
        assert_eq!(days["exception"]["values"][0]["value"], value);
        assert_eq!((&days["tags"]["outcome"], &days["tags"]["reason"]), (&json!("passed"), &json!("assertion")));
        assert_eq!(transaction["tags"].get("reason"), None);
        assert_eq!(json["contexts"]["check"]["mismatches"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn spans_of_a_third_party_component_have_another_origin_at_every_level_of_detail() {
        let mut run = fixtures::passed();
        run.trace.spans[1].is_of_component = true;
        for detail in DETAIL_LEVELS {
            let payload = json_writer::object(MAX_PAYLOAD_BYTES, |payload| {
                let assessment = fixtures::assessment(&run);
                payload::write_transaction(payload, "id", &run, &assessment, &event_defaults(), detail);
            });
            let payload: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
            let origins: Vec<_> = payload["spans"].as_array().unwrap().iter().map(|span| &span["origin"]).collect();
            assert_eq!(origins[..2], ["manual.uptime.component", "auto.uptime.sentrynet"]);
            assert_eq!(payload["contexts"]["trace"]["origin"], "auto.uptime.sentrynet");
        }
    }

    #[test]
    fn a_broken_run_has_the_guests_stack_outermost_first() {
        let [_, [_, _, event]] = parse_envelopes(&fixtures::broken()).try_into().unwrap();
        let exception = &event["exception"]["values"][0];
        assert_eq!(exception["type"], "Broken: trap");
        assert_eq!(exception["stacktrace"]["frames"][0]["function"], "probe::run");
        assert_eq!(exception["stacktrace"]["frames"][1]["function"], "probe::run::divide");
        assert_eq!(event["fingerprint"][0], "probe-broken");
        assert_eq!(event["contexts"]["trace"]["span_id"], "0101010101010101");
    }

    #[test]
    fn an_error_has_the_length_of_the_outage() {
        let run = fixtures::failed();
        let mut assessment = fixtures::assessment(&run);
        let outage = assessment.outage.as_mut().unwrap();
        (outage.runs, outage.lasted) = (4, Duration::from_millis(90_060));
        let envelopes: Vec<_> = assessed(&run, &assessment).iter().map(parse_envelope).collect();
        let [[_, _, transaction], [_, _, event]] = envelopes.try_into().unwrap();
        let began = "2026-11-23T22:45:01.250000Z";
        assert_eq!(event["contexts"]["outage"], json!({ "began": began, "runs": 4, "lasted": 90.1 }));
        let data = &transaction["contexts"]["trace"]["data"];
        assert_eq!((&data["sentrynet.outage.runs"], &data["sentrynet.outage.seconds"]), (&json!(4), &json!(90.1)));
        assert_eq!(transaction["tags"].get("recovered_after"), None);
    }

    #[test]
    fn the_run_that_ends_an_outage_has_its_length() {
        let recovered = fixtures::recovered();
        let tag_and_data = |recovery: Option<Recovery>| {
            let assessment = Assessment { recovery, ..recovered.assessment.clone() };
            let [_, _, payload] = parse_envelope(&assessed(&recovered.run, &assessment)[0]);
            let data = payload["contexts"]["trace"]["data"]["sentrynet.outage.seconds"].clone();
            (payload["tags"]["recovered_after"].clone(), data)
        };
        assert_eq!(tag_and_data(Some(Recovery::Reported)), (json!("125.4 s"), json!(125.4)));
        // No error was reported, but the outage was measured.
        assert_eq!(tag_and_data(Some(Recovery::Unreported)), (Value::Null, json!(125.4)));
        // With too few failures for an error, no outage is reported.
        assert_eq!(tag_and_data(None), (Value::Null, Value::Null));
    }

    #[test]
    fn a_run_without_a_network_has_a_tag() {
        let run = fixtures::failed();
        let offline = Assessment { is_offline: true, ..fixtures::assessment(&run) };
        let [_, _, payload] = parse_envelope(&assessed(&run, &offline)[0]);
        assert_eq!(payload["tags"]["vantage"], "offline");
        assert_eq!(parse_envelopes(&fixtures::failed())[0][2]["tags"].get("vantage"), None);
    }

    #[test]
    fn skipped_runs_are_a_tag_and_a_number() {
        let mut run = fixtures::passed();
        let tag_and_data = |run: &Run| {
            let [_, _, payload] = parse_envelope(&envelopes(run)[0]);
            (payload["tags"]["skipped"].clone(), payload["contexts"]["trace"]["data"]["sentrynet.skipped"].clone())
        };
        assert_eq!(tag_and_data(&run), (Value::Null, Value::Null));
        run.skipped = 12;
        assert_eq!(tag_and_data(&run), (json!("12"), json!(12)));
    }

    #[test]
    fn a_check_in_creates_its_monitor() {
        let monitor = Monitor {
            slug: "shop".to_owned(),
            subject: MonitorSubject::Host,
            probes: Vec::new(),
            every: 5,
            margin: 3,
            failure_issue_threshold: Some(2),
            recovery_threshold: None,
            owner: Some("team:shop".to_owned()),
        };
        let checked_in = CheckIn {
            monitor: &monitor,
            is_ok: false,
            duration: Some(Duration::from_millis(1500)),
            trace: Some(TraceId([0xab; 16])),
        };
        let envelope = check_in(checked_in, 0xf, &event_defaults());
        assert_eq!(envelope.kind, Kind::CheckIn);
        let [header, item, payload] = parse_envelope(&envelope);
        assert_eq!(header, json!({}));
        assert_eq!(item["type"], "check_in");
        let expected = json!({
            "check_in_id": "0000000000000000000000000000000f",
            "monitor_slug": "shop",
            "status": "error",
            "duration": 1.5,
            "environment": "test",
            "contexts": {"trace": {"trace_id": "abababababababababababababababab"}},
            "monitor_config": {
                "schedule": {"type": "interval", "value": 5, "unit": "minute"},
                "checkin_margin": 3,
                "failure_issue_threshold": 2,
                "owner": "team:shop",
            },
        });
        assert_eq!(payload, expected);
    }

    #[test]
    fn building_twice_gives_the_same_bytes() {
        let build = || envelopes(&fixtures::failed());
        assert_eq!(build(), build());
    }

    #[test]
    fn long_values_are_truncated() {
        let mut run = fixtures::failed();
        run.tags.insert("a key".to_owned(), "line\nline\r".repeat(100));
        run.tags.insert("release".to_owned(), "x".to_owned());
        run.tags.insert("empty".to_owned(), String::new());
        run.trace.spans[1].op = "o".repeat(500).into();
        run.trace.spans[1].description = "d".repeat(5000);
        run.trace.spans[1].data.push(("body".into(), "é".repeat(9000).into()));
        let [[_, _, payload], _] = parse_envelopes(&run).try_into().unwrap();
        let chars = |value: &Value| value.as_str().unwrap().chars().count();
        let tag = payload["tags"]["a-key"].as_str().unwrap();
        assert!(tag.len() <= 200 && tag.starts_with("line line"), "{tag}");
        assert_eq!(payload["tags"].get("empty"), None);
        assert_eq!(chars(&payload["spans"][0]["op"]), 128);
        assert_eq!(chars(&payload["spans"][0]["description"]), 1024);
        assert_eq!(chars(&payload["spans"][0]["data"]["body"]), 4096);
    }

    #[test]
    fn a_thousand_large_spans_fit_into_a_payload() {
        let mut run = fixtures::failed();
        let mut large_span = run.trace.spans[1].clone();
        large_span.op = "\u{1}".repeat(300).into();
        large_span.description = "\u{1}".repeat(2000);
        large_span.data = (0..20).map(|key| (format!("key{key}").into(), "v".repeat(5000).into())).collect();
        run.trace.spans.extend((8..1000_u64).map(|id| {
            let mut span = large_span.clone();
            span.id = SpanId(id.to_be_bytes());
            span
        }));
        run.trace.spans[900].status = Status::Aborted;
        for envelope in envelopes(&run) {
            assert!(envelope.bytes.len() < 819_200, "{}", envelope.bytes.len());
        }
        for span in &mut run.trace.spans {
            (span.op, span.description) = ("http.client".into(), "GET https://example.org/".to_owned());
        }
        let [[_, _, payload], _] = parse_envelopes(&run).try_into().unwrap();
        assert_eq!(payload["spans"].as_array().unwrap().len(), 999, "none of a thousand ordinary spans is lost");
    }
}
