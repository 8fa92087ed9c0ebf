//! The README's tables of keys are what the components say of their settings, which `UPDATE=1` writes anew; and what it
//! says to do for an editor does it.

use std::path::Path;

use sentrynet::config::{self, Source};
use sentrynet::propagation::Origin;
use sentrynet::sandbox::Sandbox;
use serde_json::Value;

use crate::support::empty_folder;
use crate::support::project::run_shell;

#[tokio::test]
async fn tables_of_keys() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(&file).expect("there is a README");
    let mut expected = readme.clone();
    for name in ["http", "chain", "ssh"] {
        let table = table(&schema(name).await);
        let (begin, end) = (format!("<!-- keys of {name} -->\n"), format!("<!-- end of {name} -->"));
        let start = expected.find(&begin).expect("the README has a table of each probe") + begin.len();
        let length = expected[start..].find(&end).expect("a table ends");
        expected.replace_range(start..start + length, &table);
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &expected).expect("the README is writable");
    }
    assert!(readme == expected, "the tables are not what the probes say: run this with UPDATE=1, and look at them");
}

/// The JSON Schema of a built-in probe's settings.
async fn schema(name: &str) -> Value {
    let text = format!("groups: [{{probes: [{{probe: {name}, title: t}}]}}]");
    let source = Source { name: "test".to_owned(), text, path: None, directory: ".".into(), probe: None };
    let draft = config::parse(&source, &|_| None);
    let config = draft.config;
    let mut sandbox =
        Sandbox::new(1, None, Origin::new(&config.sentry), config.secrets.clone()).expect("one run has room");
    let description = sandbox.describe(&config.probes[0]).await.expect("it is built in");
    description.schema.clone()
}

/// A row for each key; those of a chain's step that are not those of a request too.
fn table(schema: &Value) -> String {
    let mut table = "| key | |\n| --- | --- |\n".to_owned();
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let own = schema["properties"].as_object().expect("settings have keys");
    for key in required.iter().filter(|key| !own.contains_key(**key)) {
        table += &format!("| `{key}` | **needed.** As every probe's. |\n");
    }
    for (key, about) in own {
        let about = about["description"].as_str().expect("every key says what it is for").replace('\n', " ");
        let needed = if required.contains(&key.as_str()) { "**needed.** " } else { "" };
        table += &format!("| `{key}` | {needed}{about} |\n");
    }
    table
}

#[test]
fn an_editor_finds_the_schema() {
    let (repository, clone) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), empty_folder("readme-editor"));
    let readme = std::fs::read_to_string(repository.join("README.md")).expect("there is a README");
    let begin = readme.find("    cp examples/http.yaml").expect("it says what to do");
    let commands = readme[begin..].split("\n\n").next().unwrap_or_default();
    assert_eq!(commands.lines().count(), 3, "{commands}");
    std::os::unix::fs::symlink(repository.join("examples"), clone.join("examples")).expect("the folder is writable");
    let done = run_shell(&clone, commands);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{}", done.stdout);
    let configuration = std::fs::read_to_string(clone.join("probes.yaml")).expect("it is there");
    let schema = configuration.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema="));
    let schema = std::fs::read_to_string(clone.join(schema.expect("it says where"))).expect("it is there");
    let schema: Value = serde_json::from_str(&schema).expect("a schema is JSON");
    let values: Value = serde_yaml::from_str(&configuration).expect("it is YAML");
    let schema = sentrynet::schema::Schema::read(&schema).expect("it is a schema");
    assert_eq!(schema.check(&values).expect("it ends"), []);
}
