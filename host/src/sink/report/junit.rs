//! The report as JUnit's XML, of which there is no standard. This follows the schema of Jenkins (`junit-10.xsd` of its
//! xUnit plug-in), which GitLab's reader and most others accept too. A test case has no properties there, so that
//! probes with the same tags make a suite, which has the tags.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::subject::{Counts, ReportSubject, WIDTH};
use super::xml::Xml;
use crate::assessment::AssessedRun;
use crate::printable::{escape, excerpt};
use crate::run::{Outcome, Run};
use crate::sink::text::{format_findings, format_trace};
use crate::time_format::rfc3339;

/// The probes with the same tags, in their order.
type Suite<'a> = Vec<&'a AssessedRun>;

/// Returns the document.
pub fn report(subject: &ReportSubject, runs: &[Arc<AssessedRun>]) -> String {
    let mut xml = Xml::new();
    let [tests, failures, errors, time] = numbers(runs.iter().map(|run| &**run));
    let attributes = [("tests", &*tests), ("failures", &*failures), ("errors", &*errors), ("time", &*time)];
    xml.open("testsuites", &[&[("name", "sentrynet")], &attributes[..]].concat());
    let suites = suites(runs);
    for suite in &suites {
        write_suite(subject, suite, suites.len() > 1, &mut xml);
    }
    xml.finish()
}

/// Returns the suites in the order of their first probes.
fn suites(runs: &[Arc<AssessedRun>]) -> Vec<Suite<'_>> {
    let mut suites: Vec<Suite> = Vec::new();
    let mut indices = HashMap::new();
    for run in runs {
        let index = *indices.entry(&*run.run.probe.tags).or_insert_with(|| suites.len());
        if index == suites.len() {
            suites.push(Vec::new());
        }
        suites[index].push(run);
    }
    suites
}

/// Returns the numbers of runs, of those that failed and of those that broke, and the seconds that all of them took.
fn numbers<'a>(runs: impl Iterator<Item = &'a AssessedRun> + Clone) -> [String; 4] {
    let Counts { passed, failed, broken } = Counts::of(runs.clone());
    let time = runs.map(|run| run.run.trace.duration()).sum();
    [(passed + failed + broken).to_string(), failed.to_string(), broken.to_string(), seconds(time)]
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

fn write_suite(subject: &ReportSubject, suite: &Suite, has_siblings: bool, xml: &mut Xml) {
    let [tests, failures, errors, time] = numbers(suite.iter().copied());
    let started = suite.iter().map(|run| run.run.trace.started).min().map(rfc3339).unwrap_or_default();
    let name = suite_name(subject, &suite[0].run, has_siblings);
    xml.open(
        "testsuite",
        &[
            ("name", &name),
            ("tests", &tests),
            ("failures", &failures),
            ("errors", &errors),
            ("skipped", "0"),
            ("time", &time),
            // In UTC and without a zone or fractions, which some readers refuse.
            ("timestamp", started.split('.').next().unwrap_or_default()),
        ],
    );
    write_properties(&suite[0].run, xml);
    for run in suite {
        write_case(subject, &run.run, xml);
    }
    xml.close();
}

/// Returns the name of the configuration; and, if there are several suites, the tags.
fn suite_name(subject: &ReportSubject, run: &Run, has_siblings: bool) -> String {
    const MAX_BYTES: usize = 200;
    if !has_siblings || run.probe.tags.is_empty() {
        return subject.name.clone();
    }
    let tags: Vec<_> = run.probe.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{} ({})", subject.name, excerpt(&tags.join(", "), MAX_BYTES))
}

fn write_properties(run: &Run, xml: &mut Xml) {
    if run.probe.tags.is_empty() {
        return;
    }
    xml.open("properties", &[]);
    for (name, value) in &*run.probe.tags {
        xml.empty("property", &[("name", name), ("value", value)]);
    }
    xml.close();
}

fn write_case(subject: &ReportSubject, run: &Run, xml: &mut Xml) {
    let time = seconds(run.trace.duration());
    xml.open("testcase", &[("name", &run.probe.title), ("classname", &run.probe.probe), ("time", &time)]);
    let element = match run.outcome {
        Outcome::Passed => None,
        Outcome::PassedAfterRetry(_) => Some("flakyFailure"),
        Outcome::Failed(_) => Some("failure"),
        Outcome::Broken(_) => Some("error"),
    };
    let mut output = format_trace(run, WIDTH).to_plain();
    match (element, run.outcome.why()) {
        (Some(element), Some((reason, message))) => {
            xml.lines(element, &[("message", message), ("type", reason)], &explanation(subject, run));
        }
        // The warnings of a run that passed.
        _ => output.insert_str(0, &format_findings(run, WIDTH).to_plain()),
    }
    xml.lines("system-out", &[], &output);
    xml.close();
}

/// Returns why a run did not pass, in lines: some readers show either the message or the text, and not both.
fn explanation(subject: &ReportSubject, run: &Run) -> String {
    let (reason, message) = run.outcome.why().unwrap_or_default();
    // The message is one line.
    let message = escape(message);
    let place = subject.place(run).map(|place| format!("    at {}:{}\n", place.file, place.line)).unwrap_or_default();
    format!("{reason}: {message}\n{}{place}", format_findings(run, WIDTH).to_plain())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Place;
    use crate::run::Identity;
    use crate::sink::fixtures;

    fn report_of(runs: Vec<Run>) -> String {
        let place = Place { file: "probes.yaml".to_owned(), line: 7 };
        let places = [("/groups/0/probes/0".to_owned(), place)].into();
        let subject = ReportSubject { name: "probes.yaml".to_owned(), places };
        let runs: Vec<_> = runs.into_iter().map(|run| Arc::new(fixtures::assessed(run))).collect();
        report(&subject, &runs)
    }

    #[test]
    fn each_outcome_has_its_element() {
        let runs = vec![fixtures::passed(), fixtures::failed(), fixtures::broken(), fixtures::passed_after_retry()];
        let xml = report_of(runs);
        let numbers = "tests=\"4\" failures=\"1\" errors=\"1\"";
        for expected in [
            &format!("<testsuites name=\"sentrynet\" {numbers} time=\"1.929\">"),
            &format!(
                "  <testsuite name=\"probes.yaml\" {numbers} skipped=\"0\" time=\"1.929\" timestamp=\"2026-11-23T22:45:01\">"
            ),
            "      <property name=\"team\" value=\"web\"/>",
            "    <testcase name=\"example.org\" classname=\"probes.http\" time=\"0.482\">\n      <system-out>    probes.http ",
            "      <failure message=\"answered 503 instead of 2xx\" type=\"status\">status: answered 503 instead of 2xx\n    \
             $.version: expected &quot;1.2&quot;, got nothing\n    at probes.yaml:7</failure>\n      <system-out>    probes.http ",
            "      <error message=\"the probe trapped: integer divide by zero\" type=\"trap\">",
            "      <flakyFailure message=\"answered 503 instead of 2xx\" type=\"status\">",
            "    480 ms warn: answer was short</system-out>\n    </testcase>\n",
        ] {
            assert!(xml.contains(expected), "{expected}\nin {xml}");
        }
    }

    #[test]
    fn probes_with_the_same_tags_make_a_suite() {
        let with_tags = |title: &str, tags: &[(&str, &str)]| {
            let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let mut run = fixtures::passed();
            run.probe =
                Arc::new(Identity { title: title.to_owned(), tags: Arc::new(tags), ..Identity::clone(&run.probe) });
            run
        };
        let xml = report_of(vec![
            with_tags("a", &[("t", "1"), ("u", "\"")]),
            with_tags("b", &[]),
            with_tags("c", &[("t", "1"), ("u", "\"")]),
        ]);
        let names: Vec<_> = xml.lines().filter(|line| line.contains(" name=\"")).collect();
        let starts = [
            "<testsuites name=\"sentrynet\" ",
            "  <testsuite name=\"probes.yaml (t=1, u=&quot;)\" tests=\"2\" ",
            "      <property name=\"t\" value=\"1\"/>",
            "      <property name=\"u\" value=\"&quot;\"/>",
            "    <testcase name=\"a\" ",
            "    <testcase name=\"c\" ",
            "  <testsuite name=\"probes.yaml\" tests=\"1\" ",
            "    <testcase name=\"b\" ",
        ];
        assert_eq!(names.len(), starts.len(), "{names:#?}");
        for (name, start) in names.iter().zip(starts) {
            assert!(name.starts_with(start), "{start} in {name}");
        }
    }

    #[test]
    fn the_warnings_of_a_run_that_passed_are_in_its_output() {
        let xml = report_of(vec![fixtures::warned()]);
        assert!(xml.contains("<system-out>    warning, assertion: certificate days: expected"), "{xml}");
    }
}
