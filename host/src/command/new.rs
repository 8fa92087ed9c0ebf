//! `sentrynet new`: a project for a probe, with all that building it takes. Knows nothing of running it.
//!
//! A template is a project by the name of `json-health`, which an editor understands; only the name is put in.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::INVALID_INPUT;
use crate::logging::print_error;

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

pub fn new(arguments: &Arguments) -> u8 {
    match begin(&arguments.name, arguments.language, &arguments.path) {
        Ok(folder) => {
            // Who closed the pipe finds the folder.
            let _ = writeln!(std::io::stdout(), "{0}: see {0}/README.md for how to build and run it", folder.display());
            0
        }
        Err(refusal) => {
            print_error(&refusal.to_string());
            INVALID_INPUT
        }
    }
}

/// What a project is written in.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
    C,
    Js,
    Python,
    Zig,
}

/// Why there is no new project.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("`{0}` cannot be a probe's name: {1}")]
    Name(String, &'static str),
    #[error("{} is there already: choose another name, or another folder with `--path`", .0.display())]
    Taken(PathBuf),
    #[error("cannot write {}: {why}; choose another folder with `--path`", path.display())]
    Unwritable { path: PathBuf, why: std::io::Error },
}

/// Files with their places in a project.
type Files = &'static [(&'static str, &'static [u8])];

/// Files of a folder below `host/embedded`, where links lead to the folders of this repository.
macro_rules! files {
    ($folder:literal: $($file:literal $(as $place:literal)?),* $(,)?) => {
        files!(of concat!("../../embedded/", $folder, "/") => $($file $(as $place)?),*)
    };
    (of $folder:expr => $($file:literal $(as $place:literal)?),*) => {
        &[$((files!(place $file $($place)?), include_bytes!(concat!($folder, $file)) as &[u8])),*]
    };
    (place $file:literal) => { $file };
    (place $file:literal $place:literal) => { $place };
}

/// The name that stands in the templates.
const NAME: &str = "json-health";

const WIT: Files = files!("wit": "http.wit", "log.wit", "span.wit", "ssh.wit", "types.wit", "world.wit");

const SDK: Files = files!("guest":
    "manifest.toml" as "Cargo.toml", "src/adapter.rs", "src/error.rs", "src/http.rs", "src/lib.rs", "src/log.rs",
    "src/settings.rs", "src/span.rs", "src/ssh.rs",
);

/// What wit-bindgen made of the contract for C as this host was built, so that nobody needs it who builds a probe.
const BINDINGS: Files = files!(of concat!(env!("OUT_DIR"), "/") => "probe.c", "probe.h", "probe_component_type.o");

const SHARED: Files = files!("templates/shared": "health.json", "settings.yaml");

impl Language {
    fn template(self) -> Files {
        match self {
            Self::Rust => files!("templates/rust":
                ".cargo/config.toml", "manifest.toml" as "Cargo.toml", "README.md", "gitignore" as ".gitignore",
                "src/lib.rs",
            ),
            Self::C => files!("templates/c":
                "Makefile", "README.md", "gitignore" as ".gitignore", "json.c", "json.h", "probe.c",
            ),
            Self::Js => files!("templates/js":
                "README.md", "gitignore" as ".gitignore", "package.json", "probe.js",
            ),
            Self::Python => files!("templates/python":
                "README.md", "app.py", "gitignore" as ".gitignore", "requirements.txt",
            ),
            Self::Zig => files!("templates/zig":
                "README.md", "build.zig", "gitignore" as ".gitignore", "probe.zig",
            ),
        }
    }

    /// Folders of the project that are the same whatever its name.
    fn carries(self) -> &'static [(&'static str, Files)] {
        match self {
            Self::Rust => &[("wit", WIT), ("vendor/sentrynet-guest", SDK)],
            Self::C | Self::Zig => &[("wit", WIT), ("bindings", BINDINGS)],
            Self::Js | Self::Python => &[("wit", WIT)],
        }
    }
}

/// Writes a project into a new folder below `parent`; the folder.
fn begin(name: &str, language: Language, parent: &Path) -> Result<PathBuf, Refusal> {
    check(name).map_err(|why| Refusal::Name(name.to_owned(), why))?;
    let folder = parent.join(name);
    // A folder that somebody has made for it is as good as none.
    if folder.symlink_metadata().is_ok() && !fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_none()) {
        return Err(Refusal::Taken(folder));
    }
    for (place, text) in language.template().iter().chain(SHARED) {
        let text = String::from_utf8_lossy(text);
        let text = text.replace(NAME, name).replace(&crate_name(NAME), &crate_name(name));
        write(&folder.join(place), text.as_bytes())?;
    }
    for (inner, files) in language.carries() {
        for (place, bytes) in *files {
            write(&folder.join(inner).join(place), bytes)?;
        }
    }
    Ok(folder)
}

/// What every language's tools take, and a file system, a URL and a tag too.
fn check(name: &str) -> Result<(), &'static str> {
    let known = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    if name.len() > 50 {
        Err("it is longer than 50 characters")
    } else if !name.chars().all(known) {
        Err("use lower-case letters, digits and dashes alone, such as `shop-queue`")
    } else if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        Err("begin it with a letter")
    } else if name.ends_with('-') || name.contains("--") {
        Err("let a letter or digit follow each dash")
    } else if name == "sentrynet-guest" {
        Err("it is that of a crate that comes with a project in Rust")
    } else {
        Ok(())
    }
}

fn crate_name(name: &str) -> String {
    name.replace('-', "_")
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    let unwritable = |why| Refusal::Unwritable { path: path.to_owned(), why };
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

    /// Those of a folder of this repository, below it.
    fn found(folder: &Path, below: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(below).expect("the folder is there").flatten().map(|entry| entry.path());
        entries
            .flat_map(|path| match path.is_dir() {
                true => found(folder, &path),
                false => [path.strip_prefix(folder).expect("it lies there").display().to_string()].into(),
            })
            .collect()
    }

    #[track_caller]
    fn whole(folder: &str, files: Files) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
        let listed = files.iter().map(|(place, _)| match *place {
            ".gitignore" => "gitignore".to_owned(),
            place => place.to_owned(),
        });
        let found = found(&folder, &folder);
        assert_eq!(listed.collect::<BTreeSet<_>>(), found, "{}", folder.display());
    }

    #[test]
    fn no_file_is_forgotten() {
        for language in Language::value_variants() {
            let name = language.to_possible_value().expect("every language has a name").get_name().to_owned();
            whole(&format!("probes-wasm/templates/{name}"), language.template());
        }
        whole("wit", WIT);
        whole("probes-wasm/guest", SDK);
        whole("probes-wasm/templates/shared", SHARED);
    }

    #[test]
    fn names() {
        for good in ["a", "shop-queue", "s3", "json-health", "test", "fn"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "A", "1a", "a_b", "a.b", "../a", "a/b", "a b", "ä", "sentrynet-guest"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"a".repeat(50)).is_ok() && check(&"a".repeat(51)).is_err());
    }
}
