//! `sentrynet new`: writes a project for a new probe, with everything that is needed to build the probe.
//!
//! A template is a complete project with the name `json-health`, so that editors understand it. The command replaces
//! only this name and `json_health`, the form of the name in Rust code.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use sentrynet::printable::StyledText;

use super::INVALID_INPUT;
use crate::logging::print_error;
use crate::output::print;

#[derive(clap::Args)]
pub struct Arguments {
    /// The name of the probe: lower-case letters, digits and dashes
    name: String,
    /// The programming language of the probe
    #[arg(long = "lang", value_enum)]
    language: Language,
    /// The directory in which the folder is created
    #[arg(long, value_name = "DIR", default_value = ".")]
    path: PathBuf,
}

/// Creates a project and prints its folder. Returns the exit code.
pub fn new(arguments: &Arguments) -> u8 {
    match create_project(&arguments.name, arguments.language, &arguments.path) {
        Ok(folder) => {
            let mut text = StyledText::new();
            text.push_line(&format!("{0}: see {0}/README.md for how to build and run it", folder.display()));
            if let Some(advice) = arguments.language.first_build() {
                text.push_line(advice);
            }
            print(&text);
            0
        }
        Err(error) => {
            print_error(&error.to_string());
            INVALID_INPUT
        }
    }
}

/// A programming language for which there is a template.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
    C,
    Js,
    Python,
    Zig,
}

/// The reason why a project was not created.
#[derive(Debug, thiserror::Error)]
enum CreateError {
    #[error("`{0}` cannot be a probe's name: {1}")]
    InvalidName(String, &'static str),
    #[error("{} already exists: choose another name, or another folder with `--path`", .0.display())]
    Exists(PathBuf),
    #[error("cannot write {}: {error}; choose another folder with `--path`", path.display())]
    Unwritable { path: PathBuf, error: std::io::Error },
}

/// Files, each with its path in a project and its content.
type Files = &'static [(&'static str, &'static [u8])];

/// Includes files of a folder below `host/embedded`, whose links lead to folders of this repository, as [`Files`]. `as`
/// gives a file another path in the project.
macro_rules! files {
    ($folder:literal: $($file:literal $(as $path:literal)?),* $(,)?) => {
        files!(prefix concat!("../../embedded/", $folder, "/") => $($file $(as $path)?),*)
    };
    (prefix $prefix:expr => $($file:literal $(as $path:literal)?),*) => {
        &[$((files!(path $file $($path)?), include_bytes!(concat!($prefix, $file)) as &[u8])),*]
    };
    (path $file:literal) => { $file };
    (path $file:literal $path:literal) => { $path };
}

/// The name of the project in all templates.
const NAME: &str = "json-health";

/// The contract between probes and the host.
const WIT: Files = files!("wit":
    "http.wit", "log.wit", "span.wit", "ssh.wit", "types.wit", "warning.wit", "world.wit",
);

/// The crate that probes in Rust are written with.
const SDK: Files = files!("guest":
    "manifest.toml" as "Cargo.toml", "src/adapter.rs", "src/error.rs", "src/http.rs", "src/lib.rs", "src/log.rs",
    "src/mock.rs", "src/mock/host.rs", "src/mock/secrets.rs", "src/mock/tests.rs", "src/seconds.rs",
    "src/settings.rs", "src/size.rs", "src/span.rs", "src/ssh.rs", "src/warning.rs",
);

/// The bindings of the contract for C. The build script of this crate generates them with wit-bindgen, so that nothing
/// but a compiler is needed to build a probe in C or Zig.
const BINDINGS: Files = files!(prefix concat!(env!("OUT_DIR"), "/") => "probe.c", "probe.h", "probe_component_type.o");

/// The header of the bindings in Zig, from the same build script.
const ZIG_BINDINGS: Files = files!(prefix concat!(env!("OUT_DIR"), "/") => "probe.zig");

/// The files that are in the projects of all languages.
const SHARED: Files = files!("templates/shared": "health.json", "settings.yaml");

impl Language {
    /// Returns the files in which the name of the project is replaced.
    fn template(self) -> Files {
        match self {
            Self::Rust => files!("templates/rust":
                "manifest.toml" as "Cargo.toml", "README.md", "gitignore" as ".gitignore",
                "src/lib.rs",
            ),
            Self::C => files!("templates/c":
                "Makefile", "README.md", "gitignore" as ".gitignore", "json.c", "json.h", "probe.c",
            ),
            Self::Js => files!("templates/js":
                "README.md", "gitignore" as ".gitignore", "package.json", "probe.js",
            ),
            Self::Python => files!("templates/python":
                "README.md", "app.py", "gitignore" as ".gitignore", "preload.py", "requirements.txt",
            ),
            Self::Zig => files!("templates/zig":
                "Makefile", "README.md", "gitignore" as ".gitignore", "probe.zig",
            ),
        }
    }

    /// Returns a sentence about the first build, or the first run, if it takes much longer than later ones.
    fn first_build(self) -> Option<&'static str> {
        match self {
            Self::Rust => None,
            Self::C => {
                Some("the first build compiles Zig's C library, which takes about a minute; later ones take a second")
            }
            Self::Zig => Some(
                "the first build compiles Zig's libraries, which takes one to two minutes; later ones take seconds",
            ),
            Self::Js | Self::Python => Some(
                "the host compiles the interpreter in a component when it first loads it, which takes up to a minute",
            ),
        }
    }

    /// Returns the folders of a project whose files are copied without changes, each with its path in the project.
    fn copied_folders(self) -> &'static [(&'static str, Files)] {
        match self {
            Self::Rust => &[("wit", WIT), ("vendor/sentrynet-guest", SDK)],
            Self::C => &[("wit", WIT), ("bindings", BINDINGS)],
            Self::Zig => &[("wit", WIT), ("bindings", BINDINGS), ("bindings", ZIG_BINDINGS)],
            Self::Js | Self::Python => &[("wit", WIT)],
        }
    }
}

/// Writes a project into a new folder in `parent`. Returns the path of the folder.
///
/// # Errors
///
/// - [`CreateError::InvalidName`] if the name does not follow the rules for names.
/// - [`CreateError::Exists`] if there is something at the path of the folder that is not an empty folder.
/// - [`CreateError::Unwritable`] if a file or a folder cannot be created. Files that were already written are not
///   removed.
fn create_project(name: &str, language: Language, parent: &Path) -> Result<PathBuf, CreateError> {
    check_name(name).map_err(|problem| CreateError::InvalidName(name.to_owned(), problem))?;
    let folder = parent.join(name);
    // The folder may exist already if it is empty.
    if folder.symlink_metadata().is_ok() && !fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_none()) {
        return Err(CreateError::Exists(folder));
    }
    for (path, text) in language.template().iter().chain(SHARED) {
        let text = String::from_utf8_lossy(text);
        let text = text.replace(NAME, name).replace(&crate_name(NAME), &crate_name(name));
        write(&folder.join(path), text.as_bytes())?;
    }
    for (subfolder, files) in language.copied_folders() {
        for (path, bytes) in *files {
            write(&folder.join(subfolder).join(path), bytes)?;
        }
    }
    Ok(folder)
}

/// Checks the name of a project. A valid name is accepted by the tools of every language, by file systems, and in URLs
/// and tags. Returns the first problem as an error.
fn check_name(name: &str) -> Result<(), &'static str> {
    let is_allowed = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    if name.len() > 50 {
        Err("it is longer than 50 characters")
    } else if !name.chars().all(is_allowed) {
        Err("use lower-case letters, digits and dashes alone, such as `shop-queue`")
    } else if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        Err("begin it with a letter")
    } else if name.ends_with('-') || name.contains("--") {
        Err("let a letter or digit follow each dash")
    } else if name == "sentrynet-guest" {
        Err("each project in Rust contains a crate of this name")
    } else {
        Ok(())
    }
}

/// Returns the name that Rust code has for the crate of a project.
fn crate_name(name: &str) -> String {
    name.replace('-', "_")
}

/// Writes a new file, and creates its parent folders. Fails if the file exists.
fn write(path: &Path, bytes: &[u8]) -> Result<(), CreateError> {
    let unwritable = |error| CreateError::Unwritable { path: path.to_owned(), error };
    path.parent().map_or(Ok(()), fs::create_dir_all).map_err(unwritable)?;
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(unwritable)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Returns the paths of all files in `folder` and its subfolders, relative to `base`.
    fn list_files(base: &Path, folder: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(folder).expect("the folder exists").flatten().map(|entry| entry.path());
        entries
            .flat_map(|path| {
                if path.is_dir() {
                    list_files(base, &path)
                } else {
                    [path.strip_prefix(base).expect("the file is below the base").display().to_string()].into()
                }
            })
            .collect()
    }

    /// Asserts that `files` has all files of a folder of this repository.
    #[track_caller]
    fn assert_complete(folder: &str, files: Files) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
        let listed = files.iter().map(|(path, _)| match *path {
            ".gitignore" => "gitignore".to_owned(),
            path => path.to_owned(),
        });
        let existing = list_files(&folder, &folder);
        assert_eq!(listed.collect::<BTreeSet<_>>(), existing, "{}", folder.display());
    }

    #[test]
    fn templates_have_all_files_of_their_folders() {
        for language in Language::value_variants() {
            let name = language.to_possible_value().expect("every language has a name").get_name().to_owned();
            assert_complete(&format!("probes-wasm/templates/{name}"), language.template());
        }
        assert_complete("wit", WIT);
        assert_complete("probes-wasm/guest", SDK);
        assert_complete("probes-wasm/templates/shared", SHARED);
    }

    #[test]
    fn names_are_checked() {
        for good in ["a", "shop-queue", "s3", "json-health", "test", "fn"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "A", "1a", "a_b", "a.b", "../a", "a/b", "a b", "ä", "sentrynet-guest"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_name(&"a".repeat(50)).is_ok() && check_name(&"a".repeat(51)).is_err());
    }
}
