//! Projects that `sentrynet new` creates.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::project::shell_commands;
use crate::support::{CommandOutput, absent_path, empty_folder, run_command, sentrynet};

mod built;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const LANGUAGES: &[&str] = &["rust", "c", "js", "python", "zig"];

fn run_new(name: &str, language: &str, parent: &Path) -> CommandOutput {
    run_command(sentrynet().args(["new", name, "--lang", language, "--path"]).arg(parent), "")
}

/// Creates a project `shop-queue` for a test of this name. Returns its folder.
#[track_caller]
fn create_project(test: &str, language: &str) -> PathBuf {
    let parent = empty_folder(&format!("templates-{test}-{language}"));
    let created = run_new("shop-queue", language, &parent);
    assert_eq!((created.code, created.stderr.as_str()), (0, ""));
    let project = parent.join("shop-queue");
    assert!(created.stdout.contains(&project.join("README.md").display().to_string()), "{}", created.stdout);
    project
}

#[test]
fn a_project_has_its_own_name_and_the_contract() {
    for language in LANGUAGES {
        let project = create_project("name", language);
        for file in fs::read_dir(Path::new(REPOSITORY).join("wit")).expect("the contract can be read").flatten() {
            let copy = fs::read(project.join("wit").join(file.file_name())).expect("a project has the contract");
            assert!(copy == fs::read(file.path()).expect("the file can be read"), "{language}: {:?}", file.file_name());
        }
        let mut names = Vec::new();
        for file in files(&project) {
            let text = String::from_utf8_lossy(&fs::read(&file).expect("the file can be read")).into_owned();
            assert!(!text.contains("json-health") && !text.contains("json_health"), "{}", file.display());
            if text.contains("shop-queue") || text.contains("shop_queue") {
                names.push(file.file_name().expect("a file has a name").display().to_string());
            }
        }
        assert!(names.contains(&"README.md".to_owned()) && names.len() >= 2, "{language}: {names:?}");
        assert!(project.join(".gitignore").is_file());
    }
}

#[test]
fn existing_files_are_not_overwritten() {
    let parent = empty_folder("templates-taken");
    fs::create_dir(parent.join("empty")).expect("the folder is writable");
    assert_eq!(run_new("empty", "c", &parent).code, 0, "a project can be created in an empty folder");
    let before = files(&parent);
    for taken in ["empty", "file", "nowhere"] {
        match taken {
            "file" => fs::write(parent.join(taken), "mine").expect("the folder is writable"),
            "nowhere" => {
                std::os::unix::fs::symlink(absent_path("target"), parent.join(taken)).expect("the folder is writable");
            }
            _ => {}
        }
        let refused = run_new(taken, "rust", &parent);
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{taken}");
        assert!(refused.stderr.contains("already exists") && refused.stderr.contains("--path"), "{}", refused.stderr);
    }
    assert_eq!(files(&parent).len(), before.len() + 2, "a refused `new` has created files");
}

#[test]
fn invalid_names_are_refused() {
    let parent = empty_folder("templates-names");
    for name in ["Shop", "shop_queue", "../shop", "1st", "shop-", "a--b", "", "sentrynet-guest"] {
        let refused = run_new(name, "js", &parent);
        assert_eq!(refused.code, 2, "{name}");
        assert!(refused.stderr.contains(&format!("`{name}` cannot be a probe's name: ")), "{}", refused.stderr);
    }
    assert_eq!(files(&parent), Vec::<PathBuf>::new());
    let absent = parent.join("not/yet/there");
    assert_eq!(run_new("shop", "js", &absent).code, 0);
    assert!(absent.join("shop/probe.js").is_file());
    let unwritable = run_new("shop", "js", Path::new("/proc/nowhere"));
    assert_eq!(unwritable.code, 2);
    assert!(unwritable.stderr.contains("cannot write /proc/nowhere/shop/"), "{}", unwritable.stderr);
}

/// `tests/build-probes` runs these commands.
#[test]
fn the_guide_has_the_same_commands_as_a_project() {
    let read = |file: PathBuf| fs::read_to_string(file).expect("the page can be read");
    let guide = read(Path::new(REPOSITORY).join("probes-wasm/README.md"));
    let readme = read(create_project("guide", "rust").join("README.md"));
    let mut expected = vec!["sentrynet new shop-queue --lang rust", "cd shop-queue"];
    expected.extend(shell_commands(&readme));
    let test = shell_commands(&readme).last().expect("the last command of a README tests the probe");
    let recorded = built::record_and_replay_commands(test);
    expected.extend(recorded.iter().map(String::as_str));
    assert_eq!(shell_commands(&guide).collect::<Vec<_>>(), expected);
}

/// Returns every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read").flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
