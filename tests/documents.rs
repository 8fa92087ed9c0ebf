//! Tests of the documents: the tables of keys agree with the schemas of the components, and the table of allowed
//! dependencies agrees with `architecture` (`UPDATE=1` rewrites both); the targets of links exist, and so do the files,
//! commands and code that documents name; configurations have no errors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;
use sentrynet::config::{self, Source};
use serde_json::Value;

use crate::architecture::ALLOWED_DEPENDENCIES;
use crate::support::project::run_shell;
use crate::support::{empty_folder, run_command, sentrynet};

/// The page that has the tables of keys.
const CONFIGURATION: &str = "docs/configuration.md";

/// The page that has the table of allowed dependencies.
const ARCHITECTURE: &str = "docs/architecture.md";

/// The documents of the repository.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    ARCHITECTURE,
    "docs/ci.md",
    CONFIGURATION,
    "docs/import.md",
    "docs/install.md",
    "docs/json-schema.md",
    "docs/operating.md",
    "docs/performance.md",
    "docs/recordings.md",
    "docs/sentry.md",
    "docs/third-party-probes.md",
    "docs/tls.md",
    "examples/probes/README.md",
    "examples/probes/dns/README.md",
    "examples/probes/postgres/README.md",
    "examples/probes/redis/README.md",
    "packaging/README.md",
    "probes-wasm/README.md",
];

mod tables;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(document: &str) -> String {
    std::fs::read_to_string(repository().join(document)).unwrap_or_else(|error| panic!("{document}: {error}"))
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is valid")
}

#[test]
fn the_commands_for_editors_write_a_schema() {
    let (repository, clone) = (repository(), empty_folder("documents-editor"));
    let page = read(CONFIGURATION);
    let begin = page.find("    cp examples/http.yaml").expect("the page has the commands");
    let commands = page[begin..].split("\n\n").next().unwrap_or_default();
    assert_eq!(commands.lines().count(), 3, "{commands}");
    std::os::unix::fs::symlink(repository.join("examples"), clone.join("examples")).expect("the folder is writable");
    let done = run_shell(&clone, &format!("export SENTRYNET_LOG=error\n{commands}"));
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{}", done.stdout);
    let configuration = std::fs::read_to_string(clone.join("probes.yaml")).expect("the file can be read");
    let schema = configuration.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema="));
    let schema = std::fs::read_to_string(clone.join(schema.expect("the first line names the schema")))
        .expect("the file can be read");
    let schema: Value = serde_json::from_str(&schema).expect("a schema is JSON");
    let values: Value = serde_yaml::from_str(&configuration).expect("the file is YAML");
    let schema = sentrynet::schema::Schema::read(&schema).expect("the file is a JSON Schema");
    assert_eq!(schema.check(&values).expect("the check is within its budget"), []);
}

#[test]
fn the_readme_has_at_most_150_lines() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 150, "the README has {lines} lines: move the details of one topic to a page of docs/");
}

#[test]
fn links_have_targets() {
    let link = pattern(r"\]\(([^)\s]+)\)");
    let mut wrong = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        for target in link.captures_iter(&text).map(|found| found.extract::<1>().1[0]) {
            if target.contains("://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
            let target_path = Path::new(document).parent().expect("a document lies in a folder").join(path);
            let target_path = if path.is_empty() { PathBuf::from(document) } else { target_path };
            let is_heading = |anchor| {
                let text = std::fs::read_to_string(repository().join(&target_path)).unwrap_or_default();
                anchors(&text).contains(anchor)
            };
            if !repository().join(&target_path).exists() || !anchor.is_none_or(is_heading) {
                wrong.push(format!("{document}: {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "links without a target: {wrong:#?}");
}

/// Returns the anchors that GitHub gives the headings of a document.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    let is_in_anchor = |letter: &char| letter.is_alphanumeric() || "-_ ".contains(*letter);
    headings
        .map(|text| text.to_lowercase().chars().filter(is_in_anchor).collect::<String>().replace(' ', "-"))
        .collect()
}

#[test]
fn files_that_are_named_exist() {
    let path = pattern(
        r"`((?:\.ci|\.github|benches|docs|examples|host|packaging|probes-wasm|tests|wit)/[\w./-]*)(?: [^`]*)?`",
    );
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        let own = repository().join(document);
        let exists = |named: &str| repository().join(named).exists() || own.with_file_name(named).exists();
        // `NAME` stands for a file that the reader will add.
        let named = path.captures_iter(&text).map(|found| found.extract::<1>().1[0]);
        let named = named.filter(|named| !named.contains("NAME") && !exists(named));
        missing.extend(named.map(|named| format!("{document}: {named}")));
    }
    assert!(missing.is_empty(), "files that do not exist: {missing:#?}");
}

#[test]
fn code_that_is_named_exists() {
    let source =
        ["host/src", "probes-wasm/guest/src", "probes-wasm/step/src"].map(|folder| source(&repository().join(folder)));
    let source = source.concat();
    let name = pattern(r"`(?:[\w]+::)*([\w]+)`");
    let item = |name: &str| pattern(&format!(r"\b(?:fn|struct|enum|trait|const|type|mod) {name}\b"));
    let mut missing = Vec::new();
    for document in ["CONTRIBUTING.md", ARCHITECTURE] {
        let text = read(document);
        for found in name.captures_iter(&text) {
            let (whole, [name]) = found.extract();
            let is_code =
                whole.contains("::") || name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase);
            if is_code && !item(name).is_match(&source) {
                missing.push(format!("{document}: {whole}"));
            }
        }
    }
    assert!(missing.is_empty(), "code that does not exist: {missing:#?}");
}

#[test]
fn tests_that_are_named_exist() {
    let all = ["host/src", "tests"].map(|folder| source(&repository().join(folder))).concat();
    // A name after the word `test`, and any name of four words or more.
    let name = pattern(r"tests?\s+`([a-z_]+)`|`((?:[a-z]+_){3,}[a-z]+)`");
    let mut missing = Vec::new();
    for document in ["CONTRIBUTING.md", ARCHITECTURE] {
        let text = read(document);
        let names = name.captures_iter(&text).filter_map(|found| found.get(1).or(found.get(2)));
        let names = names.map(|found| found.as_str()).filter(|name| !all.contains(&format!("fn {name}(")));
        missing.extend(names.map(|name| format!("{document}: {name}")));
    }
    assert!(missing.is_empty(), "tests that do not exist: {missing:#?}");
}

#[test]
fn every_sink_is_in_the_table_of_modules() {
    let page = read(ARCHITECTURE);
    let row = page.lines().find(|line| line.starts_with("| [`sink`]")).expect("the module `sink` has a row");
    let folder = repository().join("host/src/sink");
    for entry in std::fs::read_dir(folder).expect("source can be read").flatten() {
        let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
        let name = entry.path().with_extension("").file_name().unwrap_or_default().display().to_string();
        let is_sink = text.lines().any(|line| line.starts_with("impl Sink for "));
        assert!(!is_sink || row.contains(&format!("`{name}`")), "{ARCHITECTURE} has no `{name}` in the row of `sink`");
    }
}

/// `rustfmt` wraps code, and leaves comments as they are.
#[test]
fn comments_and_paragraphs_are_at_most_120_columns_wide() {
    const MAX_COLUMNS: usize = 120;
    // A waterfall in a comment, tables and pictures cannot be wrapped. `deps` has files of others.
    let is_comment: fn(&str) -> bool = |line| line.trim_start().starts_with("//") && !line.contains('█');
    let is_paragraph: fn(&str) -> bool = |line| !line.starts_with(['|', '!']);
    let mut wide = Vec::new();
    for (patterns, is_wrapped) in [("'*.rs' '*.wit'", is_comment), ("'*.md'", is_paragraph)] {
        let files = run_shell(&repository(), &format!("git ls-files {patterns}"));
        assert_eq!(files.code, 0, "{}", files.stderr);
        for file in files.stdout.lines().filter(|file| !file.contains("/deps/")) {
            for (index, line) in read(file).lines().enumerate() {
                if line.chars().count() > MAX_COLUMNS && is_wrapped(line) {
                    wide.push(format!("{file}:{}", index + 1));
                }
            }
        }
    }
    assert!(wide.is_empty(), "wrap these lines at {MAX_COLUMNS} columns: {wide:#?}");
}

/// Returns the text of all Rust files below a folder.
fn source(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).expect("source can be read").flatten().map(|entry| entry.path());
    let text = |path: PathBuf| match path.extension() {
        _ if path.is_dir() => source(&path),
        Some(extension) if extension == "rs" => std::fs::read_to_string(&path).expect("source can be read"),
        _ => String::new(),
    };
    entries.map(text).collect()
}

#[test]
fn modules_that_have_a_row_exist() {
    let page = read(ARCHITECTURE);
    let sections = page.split("\n### `").skip(1).filter_map(|section| section.split_once("`\n"));
    let mut missing = Vec::new();
    for (module, section) in sections {
        let section = section.split("\n## ").next().unwrap_or_default();
        let files = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let files = files.map(|file| format!("host/src/{module}/{file}.rs"));
        missing.extend(files.filter(|file| !repository().join(file).exists()));
    }
    assert!(missing.is_empty(), "modules that do not exist: {missing:#?}");
}

#[test]
fn the_table_of_allowed_dependencies_agrees_with_the_test() {
    const HEAD: &str = "| crate or module | may be named in | why |\n| --- | --- | --- |\n";
    let page = read(ARCHITECTURE);
    let start = page.find(HEAD).expect("the page has the table of allowed dependencies") + HEAD.len();
    let length = page[start..].find("\n\n").expect("an empty line follows the table") + 1;
    // The column of reasons is written by hand, and stays as it is.
    let row = pattern(r"(?m)^\| `([\w:]+)` \| [^|]* \| ([^|\n]*) \|$");
    let reasons: BTreeMap<_, _> = row
        .captures_iter(&page[start..start + length])
        .map(|found| (found.extract::<2>().1[0].to_owned(), found.extract::<2>().1[1].to_owned()))
        .collect();
    let rows = ALLOWED_DEPENDENCIES.iter().map(|(name, allowed)| {
        let allowed: Vec<_> = allowed.iter().map(|module| format!("`{module}`")).collect();
        let allowed = if allowed.is_empty() { "no module".to_owned() } else { allowed.join(", ") };
        format!("| `{name}` | {allowed} | {} |\n", reasons.get(*name).map_or("", String::as_str))
    });
    let mut expected = page.clone();
    expected.replace_range(start..start + length, &rows.collect::<String>());
    compare(ARCHITECTURE, &page, &expected);
}

/// Asserts that a document has its expected text. If `UPDATE` is set, also writes the expected text.
#[track_caller]
fn compare(document: &str, page: &str, expected: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(repository().join(document), expected).expect("the document is writable");
    }
    assert!(
        page == expected,
        "{document}: a generated table is out of date: run this test with UPDATE=1, and review the change"
    );
}

#[test]
fn commands_that_are_named_exist() {
    let command = pattern(r"^\s*(?:sentrynet|cargo run --) ([a-z]+)([^#|>]*)");
    let option = pattern("--[a-z][a-z-]*");
    let help = |words: &[&str]| run_command(sentrynet().args(words).arg("--help"), "").stdout;
    let program = help(&[]);
    let mut wrong = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        for line in code(&text) {
            let Some((_, [name, arguments])) = command.captures(line).map(|found| found.extract()) else { continue };
            let known = program.lines().any(|line| line.trim_start().starts_with(&format!("{name} ")));
            let options = help(&[name]);
            if !known || !option.find_iter(arguments).all(|option| options.contains(option.as_str())) {
                wrong.push(format!("{document}: {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "commands or options that do not exist: {wrong:#?}");
}

/// Returns the code of a document: the lines of indented and fenced blocks, and the texts in backquotes.
fn code(document: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    document.lines().flat_map(move |line| {
        fenced ^= line.starts_with("```");
        let block = fenced || line.starts_with("    ");
        let inline = line.split('`').skip(1).step_by(2).filter(move |_| !block);
        block.then_some(line).into_iter().chain(inline)
    })
}

#[test]
fn configurations_have_no_errors() {
    // These are the components that the configurations name. An empty file is enough to check a configuration.
    let directory = empty_folder("documents-configurations");
    std::fs::create_dir(directory.join("probes")).expect("the folder is writable");
    for component in ["mine.wasm", "redis.wasm"] {
        std::fs::write(directory.join("probes").join(component), "").expect("the folder is writable");
    }
    for document in DOCUMENTS {
        let text = read(document);
        let blocks = text.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap_or_default());
        for block in blocks.filter(|block| block.contains("probes:")) {
            // `PROJECT` is a placeholder for the number of a project.
            let text = block.replace("/PROJECT", "/1");
            let name = (*document).to_owned();
            let source =
                Source { name, text, path: None, directory: directory.clone(), probe: None, files: Vec::new() };
            let draft = config::parse(&source, &|name| (!name.starts_with("SENTRY_")).then(|| "a value".to_owned()));
            let problems: Vec<_> = draft.errors.iter().map(|problem| problem.message.as_str()).collect();
            assert!(problems.is_empty(), "{document}: {problems:#?}\n{block}");
        }
    }
}
