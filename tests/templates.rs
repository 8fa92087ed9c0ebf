//! What `sentrynet new` writes: whole, and a probe that works, by the commands of its own README.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::project::commands;
use crate::support::{Ended, finish, folder, sentrynet};

mod built;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const LANGUAGES: &[&str] = &["rust", "c", "js", "python", "zig"];

fn begin(name: &str, language: &str, parent: &Path) -> Ended {
    finish(sentrynet().args(["new", name, "--lang", language, "--path"]).arg(parent), "")
}

/// A new project by the name of `shop-queue`, for a test of this name; its folder.
#[track_caller]
fn project(test: &str, language: &str) -> PathBuf {
    let parent = folder(&format!("templates-{test}-{language}"));
    let begun = begin("shop-queue", language, &parent);
    assert_eq!((begun.code, begun.stderr.as_str()), (0, ""));
    let project = parent.join("shop-queue");
    assert!(begun.stdout.contains(&project.join("README.md").display().to_string()), "{}", begun.stdout);
    project
}

#[test]
fn a_project_has_its_name_and_the_contract() {
    for language in LANGUAGES {
        let project = project("name", language);
        for file in fs::read_dir(Path::new(REPOSITORY).join("wit")).expect("there is a contract").flatten() {
            let theirs = fs::read(project.join("wit").join(file.file_name())).expect("a project has the contract");
            assert!(theirs == fs::read(file.path()).expect("it is a file"), "{language}: {:?}", file.file_name());
        }
        let mut names = Vec::new();
        for file in files(&project) {
            let text = String::from_utf8_lossy(&fs::read(&file).expect("it is a file")).into_owned();
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
fn nothing_is_written_over() {
    let parent = folder("templates-taken");
    fs::create_dir(parent.join("empty")).expect("the folder is writable");
    assert_eq!(begin("empty", "c", &parent).code, 0, "an empty folder is as good as none");
    let before = files(&parent);
    for taken in ["empty", "file", "nowhere"] {
        match taken {
            "file" => fs::write(parent.join(taken), "mine").expect("the folder is writable"),
            "nowhere" => std::os::unix::fs::symlink("/nonexistent", parent.join(taken)).expect("it is writable"),
            _ => {}
        }
        let refused = begin(taken, "rust", &parent);
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{taken}");
        assert!(refused.stderr.contains("is there already") && refused.stderr.contains("--path"), "{}", refused.stderr);
    }
    assert_eq!(files(&parent).len(), before.len() + 2, "nothing but what stood there");
}

#[test]
fn a_name_that_tools_do_not_take_is_refused() {
    let parent = folder("templates-names");
    for name in ["Shop", "shop_queue", "../shop", "1st", "shop-", "a--b", "", "sentrynet-guest"] {
        let refused = begin(name, "js", &parent);
        assert_eq!(refused.code, 2, "{name}");
        assert!(refused.stderr.contains(&format!("`{name}` cannot be a probe's name: ")), "{}", refused.stderr);
    }
    assert_eq!(files(&parent), Vec::<PathBuf>::new());
    let absent = parent.join("not/yet/there");
    assert_eq!(begin("shop", "js", &absent).code, 0);
    assert!(absent.join("shop/probe.js").is_file());
    let unwritable = begin("shop", "js", Path::new("/proc/nowhere"));
    assert_eq!(unwritable.code, 2);
    assert!(unwritable.stderr.contains("cannot write /proc/nowhere/shop/"), "{}", unwritable.stderr);
}

/// Which are run by `tests/build-probes`.
#[test]
fn the_guide_has_the_commands_of_a_project() {
    let read = |file: PathBuf| fs::read_to_string(file).expect("the page is there");
    let guide = read(Path::new(REPOSITORY).join("probes-wasm/README.md"));
    let readme = read(project("guide", "rust").join("README.md"));
    let mut expected = vec!["sentrynet new shop-queue --lang rust", "cd shop-queue"];
    expected.extend(commands(&readme));
    let test = commands(&readme).last().expect("a README ends with how a probe is tested");
    let recorded = built::recorded(test);
    expected.extend(recorded.iter().map(String::as_str));
    assert_eq!(commands(&guide).collect::<Vec<_>>(), expected);
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read").flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
