//! A run as JSON: the output of `--format json`.

use serde_json::{Map, Value, json};

use super::milliseconds;
use crate::assessment::AssessedRun;
use crate::run::{Failure, Mismatch, Outcome, Run};
use crate::time_format::rfc3339;
use crate::trace::{Span, Trace};

/// Returns everything about a run and its assessment as a JSON object. The keys have a fixed order.
pub fn run_to_json(AssessedRun { run, assessment }: &AssessedRun) -> Value {
    json!({
        "probe": run.probe.probe,
        "title": run.probe.title,
        "tags": super::tags(run),
        "started": rfc3339(run.trace.started),
        "duration_ms": milliseconds(run.trace.duration()),
        "outcome": run.outcome.as_str(),
        "attempts": run.attempts,
        "outage": assessment.outage.map(|outage| json!({
            "began": rfc3339(outage.began),
            "runs": outage.runs,
            "duration_ms": milliseconds(outage.lasted),
        })),
        "failure": failure_to_json(run),
        "warnings": run.warnings.iter().map(warning_to_json).collect::<Vec<_>>(),
        "lateness_ms": milliseconds(run.lateness),
        "skipped": run.skipped,
        "trace_id": run.trace.id.to_string(),
        "spans": run.trace.spans.iter().map(|each| span(&run.trace, each)).collect::<Vec<_>>(),
        "log": run.log.iter().map(|line| json!({
            "at_ms": milliseconds(line.at),
            "level": line.level.as_str(),
            "message": line.message,
        })).collect::<Vec<_>>(),
    })
}

fn failure_to_json(run: &Run) -> Value {
    let Some((reason, message)) = run.outcome.why() else { return Value::Null };
    let (mismatches, backtrace) = match &run.outcome {
        Outcome::Passed => (&[][..], &[][..]),
        Outcome::PassedAfterRetry(failure) | Outcome::Failed(failure) => (&failure.mismatches[..], &[][..]),
        Outcome::Broken(fault) => (&[][..], &fault.backtrace[..]),
    };
    let first = mismatches.first();
    json!({
        "reason": reason,
        "message": message,
        "expected": first.map(|mismatch| &mismatch.expected),
        "actual": first.map(|mismatch| &mismatch.actual),
        "mismatches": mismatches_to_json(mismatches),
        "backtrace": backtrace.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "evidence": run.evidence,
    })
}

fn warning_to_json(Failure { reason, message, mismatches }: &Failure) -> Value {
    json!({ "reason": reason, "message": message, "mismatches": mismatches_to_json(mismatches) })
}

fn mismatches_to_json(mismatches: &[Mismatch]) -> Value {
    let mismatches = mismatches.iter().map(
        |Mismatch { subject, expected, actual }| json!({ "subject": subject, "expected": expected, "actual": actual }),
    );
    mismatches.collect()
}

fn span(trace: &Trace, span: &Span) -> Value {
    json!({
        "span_id": span.id.to_string(),
        "parent_span_id": span.parent.map(|parent| trace.spans[parent].id.to_string()),
        "op": span.op,
        "description": span.description,
        "start_ms": milliseconds(span.start),
        "duration_ms": milliseconds(span.duration),
        "status": span.status,
        "data": span.data.iter().map(|(key, value)| (key.to_string(), json!(value))).collect::<Map<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixtures;

    #[test]
    fn keys_have_the_documented_order() {
        let json = run_to_json(&fixtures::assessed(fixtures::failed()));
        let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            keys.join(" "),
            "probe title tags started duration_ms outcome attempts outage failure warnings lateness_ms skipped \
             trace_id spans log"
        );
        let keys: Vec<_> = json["spans"][1].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys.join(" "), "span_id parent_span_id op description start_ms duration_ms status data");
    }

    #[test]
    fn a_failed_run_has_its_reason() {
        let json = run_to_json(&fixtures::assessed(fixtures::failed()));
        assert_eq!(json["outcome"], "failed");
        assert_eq!(json["started"], "2026-11-23T22:45:01.250000Z");
        assert_eq!(json["duration_ms"], 482.25);
        assert_eq!(json["tags"], json!({ "region": "eu", "team": "web", "tls": "1.3" }));
        assert_eq!(json["outage"], json!({ "began": json["started"], "runs": 1, "duration_ms": 482.25 }));
        assert_eq!(json["failure"]["reason"], "status");
        assert_eq!(json["failure"]["expected"], "2xx");
        assert_eq!(json["failure"]["actual"], "503");
        assert_eq!(json["failure"]["mismatches"][1]["subject"], "$.version");
        assert_eq!(json["failure"]["backtrace"], json!([]));
        assert_eq!(json["spans"][0]["parent_span_id"], Value::Null);
        assert_eq!(json["spans"][1]["parent_span_id"], json["spans"][0]["span_id"]);
        assert_eq!(json["spans"][1]["data"]["http.response.status_code"], 503);
        assert_eq!(json["spans"][0]["status"], "unavailable");
        assert_eq!(json["log"][0], json!({ "at_ms": 480.1, "level": "warn", "message": "answer was short" }));
    }

    #[test]
    fn a_run_with_warnings_has_them_and_no_failure() {
        let json = run_to_json(&fixtures::assessed(fixtures::warned()));
        assert_eq!((&json["outcome"], &json["failure"]), (&json!("passed"), &Value::Null));
        let expected = json!({
            "reason": "assertion",
            "message": "certificate days: expected at least 14 days, got 13 days",
            "mismatches": [{ "subject": "certificate days", "expected": "at least 14 days", "actual": "13 days" }],
        });
        assert_eq!(json["warnings"][0], expected);
        assert_eq!(json["warnings"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_passed_run_has_no_failure_and_a_broken_one_has_its_fault() {
        let json = run_to_json(&fixtures::assessed(fixtures::passed()));
        assert_eq!((&json["failure"], &json["outage"]), (&Value::Null, &Value::Null));
        assert_eq!(json["warnings"], json!([]));
        assert_eq!(run_to_json(&fixtures::recovered())["outage"]["duration_ms"], 125_400.0);
        let json = run_to_json(&fixtures::assessed(fixtures::broken()));
        assert_eq!(json["outcome"], "broken");
        assert_eq!(json["failure"]["reason"], "trap");
        assert_eq!(json["failure"]["expected"], Value::Null);
        assert_eq!(json["failure"]["backtrace"], json!(["probe::run::divide (src/lib.rs:12)", "probe::run"]));
    }
}
