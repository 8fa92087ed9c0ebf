//! The format `junit`: what the schema of Jenkins allows, and what a reader of it finds.

use std::process::Command;

use roxmltree::{Document, Node};
use serde_json::{Value, json};

use super::Shop;
use crate::support::{find_tool, run_command};

/// The elements of Jenkins' `junit-10.xsd`, each with its attributes and the elements that may be in it.
const SCHEMA: &[(&str, &[&str], &[&str])] = &[
    ("testsuites", &["name", "time", "tests", "failures", "errors"], &["testsuite"]),
    (
        "testsuite",
        &[
            "name",
            "tests",
            "failures",
            "errors",
            "group",
            "time",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
            "file",
            "log",
            "url",
        ],
        &["testsuite", "properties", "testcase", "system-out", "system-err"],
    ),
    ("properties", &[], &["property"]),
    ("property", &["name", "value"], &[]),
    (
        "testcase",
        &["name", "time", "classname", "group"],
        &["skipped", "error", "failure", "flakyFailure", "flakyError", "system-out", "system-err"],
    ),
    ("failure", &["type", "message"], &[]),
    ("error", &["type", "message"], &[]),
    ("system-out", &[], &[]),
];

/// Asserts that an element and all in it follow the schema.
fn assert_follows_schema(element: Node) {
    let name = element.tag_name().name();
    let (_, attributes, children) = SCHEMA.iter().find(|(known, ..)| *known == name).expect("the schema has it");
    for attribute in element.attributes() {
        assert!(attributes.contains(&attribute.name()), "{name} has {}", attribute.name());
    }
    for child in element.children().filter(Node::is_element) {
        assert!(children.contains(&child.tag_name().name()), "{name} has {}", child.tag_name().name());
        assert_follows_schema(child);
    }
}

fn elements<'a>(document: &'a Document, name: &str) -> Vec<Node<'a, 'a>> {
    document.descendants().filter(|node| node.has_tag_name(name)).collect()
}

#[test]
fn the_report_follows_the_schema_and_has_every_outcome() {
    let ended = Shop::new("junit").once(&["--format", "junit"]);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    // The reader refuses characters that XML cannot have.
    let document = Document::parse(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout));
    assert_follows_schema(document.root_element());
    let attributes = |node: &Node, names: &[&str]| {
        names.iter().map(|name| node.attribute(*name).unwrap_or_default().to_owned()).collect::<Vec<_>>().join("|")
    };
    let suites = elements(&document, "testsuite");
    let numbers: Vec<_> =
        suites.iter().map(|suite| attributes(suite, &["name", "tests", "failures", "errors"])).collect();
    let expected =
        ["probes.yaml (a-b=<\"x\">, team=shop)|2|1|0", "probes.yaml|1|0|1", "probes.yaml (team=search)|1|0|0"];
    assert_eq!(numbers, expected);
    let properties: Vec<_> =
        elements(&document, "property").iter().map(|property| attributes(property, &["name", "value"])).collect();
    assert_eq!(properties, ["a-b|<\"x\">", "team|shop", "team|search"]);
    let [failure] = elements(&document, "failure")[..] else { panic!("one probe failed: {}", ended.stdout) };
    assert_eq!(attributes(&failure, &["type", "message"]), "status|expected status 200, got 503");
    let case = failure.parent_element().expect("a failure is in a case");
    assert_eq!(attributes(&case, &["name", "classname"]), "Checkout: <a, b> 100%|probes.http");
    let text = failure.text().unwrap_or_default();
    for part in
        ["answered 503", "]]></failure></system-out>\\u{1b}[31m\\u{8}", "\u{fffd}", "&lt; <b>|", "at probes.yaml:8"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(elements(&document, "error")[0].attribute("type"), Some("trap"));
    let outputs = elements(&document, "system-out");
    assert_eq!(outputs.len(), 4);
    assert!(outputs[0].text().is_some_and(|text| text.contains("http.client.wait")), "{:?}", outputs[0]);
}

#[test]
fn junitparser_reads_the_report() {
    let shop = Shop::new("junitparser");
    assert_eq!(shop.once(&["--report", "junit=report.xml"]).code, 3);
    let python = find_tool("python/bin/python").expect("junitparser is missing: run the tests with tests/run");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reports/junit.py");
    let read = run_command(Command::new(python).arg(script).arg(shop.folder.join("report.xml")), "");
    assert_eq!(read.code, 0, "{}", read.stderr);
    let read: Value = serde_json::from_str(&read.stdout).expect("the script prints JSON");
    let expected = json!([
        {"tags": {"a-b": "<\"x\">", "team": "shop"}, "cases": [
            ["Front page", "probes.http", []],
            ["Checkout: <a, b> 100%", "probes.http", [["Failure", "status", "expected status 200, got 503"]]],
        ]},
        {"tags": {}, "cases": [
            ["Stock", read[1]["cases"][0][1], [["Error", "trap", read[1]["cases"][0][2][0][2]]]],
        ]},
        {"tags": {"team": "search"}, "cases": [["Search", "probes.http", []]]},
    ]);
    assert_eq!(read, expected);
}
