//! The official JSON-Schema-Test-Suite for draft 2020-12, which `tests/run` fetches.
//!
//! Each case must have the right verdict, or be listed in [`DEVIATIONS`]. `docs/json-schema.md` explains the
//! deviations.

use std::collections::BTreeSet;

use sentrynet::schema::Schema;
use serde_json::Value;

use crate::support::find_tool;

/// The way in which the validator deviates from the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deviation {
    /// The schema is refused, with a message that contains this text.
    Refused(&'static str),
    /// Every value is valid: the suite expects `format` to be an assertion, while the validator treats it as an
    /// annotation.
    NotAsserted,
}

use Deviation::{NotAsserted, Refused};

const REMOTE: Deviation = Refused("the reference leads out of the schema, and remote schemas are not fetched");
const DIALECT: Deviation = Refused("the dialect is not supported");
const DEPENDENCIES: Deviation = Refused("`dependencies` of older drafts is not supported");
const UNICODE_PROPERTIES: Deviation = Refused("regular expressions with Unicode properties (`\\p`) are not supported");

/// The groups of cases that deviate: file, groups (all groups of the file if empty), deviation.
const DEVIATIONS: &[(&str, &[&str], Deviation)] = &[
    ("defs.json", &[], REMOTE),
    (
        "dynamicRef.json",
        &[
            "strict-tree schema, guards against misspelled properties",
            "tests for implementation dynamic anchor and reference link",
            "$ref and $dynamicAnchor are independent of order - $defs first",
            "$ref and $dynamicAnchor are independent of order - $ref first",
            "$ref to $dynamicRef finds detached $dynamicAnchor",
        ],
        REMOTE,
    ),
    ("ref.json", &["remote ref, containing refs itself"], REMOTE),
    ("refRemote.json", &[], REMOTE),
    ("vocabulary.json", &[], DIALECT),
    ("optional/cross-draft.json", &[], REMOTE),
    ("optional/dependencies-compatibility.json", &[], DEPENDENCIES),
    (
        "optional/ecmascript-regex.json",
        &[
            "patterns always use unicode semantics with pattern",
            "patterns always use unicode semantics with patternProperties",
        ],
        UNICODE_PROPERTIES,
    ),
    ("optional/format-assertion.json", &[], DIALECT),
    ("optional/format/date-time.json", &[], NotAsserted),
    ("optional/format/date.json", &[], NotAsserted),
    ("optional/format/duration.json", &[], NotAsserted),
    ("optional/format/ecmascript-regex.json", &[], NotAsserted),
    ("optional/format/email.json", &[], NotAsserted),
    ("optional/format/hostname.json", &[], NotAsserted),
    ("optional/format/idn-email.json", &[], NotAsserted),
    ("optional/format/idn-hostname.json", &[], NotAsserted),
    ("optional/format/ipv4.json", &[], NotAsserted),
    ("optional/format/ipv6.json", &[], NotAsserted),
    ("optional/format/iri-reference.json", &[], NotAsserted),
    ("optional/format/iri.json", &[], NotAsserted),
    ("optional/format/json-pointer.json", &[], NotAsserted),
    ("optional/format/regex.json", &[], NotAsserted),
    ("optional/format/relative-json-pointer.json", &[], NotAsserted),
    ("optional/format/time.json", &[], NotAsserted),
    ("optional/format/uri-reference.json", &[], NotAsserted),
    ("optional/format/uri-template.json", &[], NotAsserted),
    ("optional/format/uri.json", &[], NotAsserted),
    ("optional/format/uuid.json", &[], NotAsserted),
];

/// A schema of the suite with its cases.
struct Group {
    file: String,
    description: String,
    schema: Value,
    cases: Vec<Value>,
}

/// Reads all JSON files in a folder of the suite. Returns them with their paths in that folder.
fn json_files(folder: &str) -> Vec<(String, Value)> {
    let suite = find_tool("json-schema-test-suite").expect("the suite is missing: run the tests with tests/run");
    let root = suite.join(folder);
    let mut pending = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).expect("the folder can be read").flatten();
            pending.extend(entries.map(|entry| entry.path()));
        } else {
            let text = std::fs::read_to_string(&path).expect("the file can be read");
            let name = path.strip_prefix(&root).expect("the file is in the folder").display().to_string();
            files.push((name, serde_json::from_str(&text).expect("the file is JSON")));
        }
    }
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    files
}

fn all_groups() -> Vec<Group> {
    let group = |file: &str, group: &Value| Group {
        file: file.to_owned(),
        description: group["description"].as_str().expect("a group has a description").to_owned(),
        schema: group["schema"].clone(),
        cases: group["tests"].as_array().expect("a group has tests").clone(),
    };
    let files = json_files("tests/draft2020-12");
    let groups = files.iter().flat_map(|(file, groups)| {
        groups.as_array().expect("a file is an array of groups").iter().map(move |it| group(file, it))
    });
    groups.collect()
}

/// Returns the index of the entry in [`DEVIATIONS`] that lists a group.
fn find_deviation(group: &Group) -> Option<usize> {
    let lists = |(file, groups, _): &(&str, &[&str], Deviation)| {
        *file == group.file && (groups.is_empty() || groups.contains(&group.description.as_str()))
    };
    DEVIATIONS.iter().position(lists)
}

/// Returns the descriptions of the cases whose verdict is not the expected one.
fn wrong_verdicts(schema: &Schema, cases: &[Value], expected: impl Fn(&Value) -> bool) -> Vec<String> {
    let is_wrong = |case: &&Value| schema.check(&case["data"]).map(|found| found.is_empty()) != Ok(expected(case));
    cases.iter().filter(is_wrong).map(|case| case["description"].to_string()).collect()
}

fn is_valid(case: &Value) -> bool {
    case["valid"].as_bool().expect("a case has a verdict")
}

/// Returns what is wrong with the outcome of a group, if anything.
fn check_group(group: &Group, deviation: Option<Deviation>) -> Option<String> {
    match (Schema::read(&group.schema), deviation) {
        (Err(error), Some(Refused(message))) if error.reason.contains(message) => None,
        (Err(error), _) => Some(format!("is refused: {error}")),
        (Ok(_), Some(Refused(_))) => Some("is listed as refused, but compiles".to_owned()),
        (Ok(schema), Some(NotAsserted)) => {
            if wrong_verdicts(&schema, &group.cases, is_valid).is_empty() {
                return Some("is listed as deviating, but all verdicts are right".to_owned());
            }
            let asserted = wrong_verdicts(&schema, &group.cases, |_| true);
            (!asserted.is_empty()).then(|| format!("finds violations of `format`: {asserted:?}"))
        }
        (Ok(schema), None) => {
            let wrong = wrong_verdicts(&schema, &group.cases, is_valid);
            (!wrong.is_empty()).then(|| format!("has wrong verdicts: {wrong:?}"))
        }
    }
}

#[test]
fn verdicts_are_right_or_deviate_as_listed() {
    let mut problems = Vec::new();
    let mut used = BTreeSet::new();
    // Each pair of counts is for the required files and for the optional files.
    let (mut right, mut refused, mut not_asserted) = ([0; 2], [0; 2], [0; 2]);
    for group in all_groups() {
        let listed = find_deviation(&group);
        used.extend(listed);
        let deviation = listed.map(|index| DEVIATIONS[index].2);
        if let Some(problem) = check_group(&group, deviation) {
            problems.push(format!("{}: {}: {problem}", group.file, group.description));
        }
        let count = match deviation {
            None => &mut right,
            Some(Refused(_)) => &mut refused,
            Some(NotAsserted) => &mut not_asserted,
        };
        count[usize::from(group.file.starts_with("optional/"))] += group.cases.len();
    }
    let unused = (0..DEVIATIONS.len()).filter(|index| !used.contains(index)).map(|index| DEVIATIONS[index].0);
    problems.extend(unused.map(|file| format!("{file}: is listed as deviating, but is not in the suite")));
    assert!(problems.is_empty(), "{problems:#?}");
    // docs/json-schema.md has these counts.
    assert_eq!((right, refused, not_asserted), ([1204, 116], [53, 49], [0, 484]));
}

/// Puts the documents that the suite's references lead to under `$defs`, as the message about them advises.
fn bundle(mut schema: Value) -> Value {
    for (path, mut document) in json_files("remotes/draft2020-12") {
        // Metaschemas refer to that of JSON Schema, which is not part of the suite.
        if document.get("$vocabulary").is_some() {
            continue;
        }
        let id = format!("http://localhost:1234/draft2020-12/{path}");
        document.as_object_mut().expect("a remote schema is an object").entry("$id").or_insert(id.into());
        schema["$defs"][format!("bundled {path}")] = document;
    }
    schema
}

#[test]
fn references_to_other_documents_work_if_these_are_bundled() {
    // These refer by address to documents whose `$id` is another address, which works only if documents are fetched.
    let unbundled = |group: &Group| group.description.starts_with("remote HTTP ref");
    let groups = all_groups().into_iter().filter(|group| {
        ["dynamicRef.json", "refRemote.json"].contains(&group.file.as_str()) && find_deviation(group).is_some()
    });
    let (unbundled, bundled): (Vec<_>, Vec<_>) = groups.partition(unbundled);
    assert_eq!((unbundled.len(), bundled.len()), (3, 17));
    for group in bundled {
        let schema = Schema::read(&bundle(group.schema)).expect("all references are resolved");
        let wrong = wrong_verdicts(&schema, &group.cases, is_valid);
        assert!(wrong.is_empty(), "{}: {wrong:?}", group.description);
    }
}
