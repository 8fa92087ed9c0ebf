//! The options `--format` and `--report`: which reports are written, and where.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use sentrynet::config::{self, Place, Source};
use sentrynet::sandbox::Probe;
use sentrynet::sink::report::{ReportFile, ReportFormat, ReportOptions, ReportSubject, check_path};

/// The format of results, on standard output and in files.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
    Junit,
    Github,
    Markdown,
}

/// A value of `--report`.
#[derive(Clone)]
pub struct ReportArgument {
    format: Format,
    path: PathBuf,
}

impl Format {
    pub fn report(self) -> ReportFormat {
        match self {
            Self::Text => ReportFormat::Text,
            Self::Json => ReportFormat::Json,
            Self::Junit => ReportFormat::Junit,
            Self::Github => ReportFormat::Github,
            Self::Markdown => ReportFormat::Markdown,
        }
    }
}

/// Parses a value of `--report`, such as `junit=report.xml`.
pub fn parse(text: &str) -> Result<ReportArgument, String> {
    let (format, path) = text.split_once('=').ok_or("a report is FORMAT=FILE, such as `junit=report.xml`")?;
    let formats = || Format::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let unknown = |_| {
        let names: Vec<_> = formats().map(|value| value.get_name().to_owned()).collect();
        format!("no format `{format}`: give {}", names.join(", "))
    };
    let format = Format::from_str(format, false).map_err(unknown)?;
    if path.is_empty() {
        return Err("a report needs a file: FORMAT=FILE".to_owned());
    }
    Ok(ReportArgument { format, path: path.into() })
}

/// Returns the files that the options ask for: those of `--report`, and the summary of a step of GitHub Actions if one
/// of the formats is `github`.
///
/// # Errors
/// Returns a message if a file cannot be written, or two reports would be written to one file.
pub fn files(format: Format, reports: &[ReportArgument]) -> Result<Vec<(ReportFormat, ReportFile)>, String> {
    let mut known = HashSet::new();
    let mut files = Vec::new();
    for ReportArgument { format, path } in reports {
        check_path(path)?;
        if !known.insert(std::path::absolute(path).unwrap_or_else(|_| path.clone())) {
            return Err(format!("two reports have the file `{}`: give each a file of its own", path.display()));
        }
        files.push((format.report(), ReportFile::Replace(path.clone())));
    }
    let has_github = format == Format::Github || reports.iter().any(|report| report.format == Format::Github);
    let summary = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| has_github && !path.is_empty());
    files.extend(summary.map(|path| (ReportFormat::Markdown, ReportFile::Append(path.into()))));
    Ok(files)
}

/// Returns the options of the sink that writes files. The same subject is used for a report on standard output.
pub fn options(source: &Source, probes: &[Probe], reports: Vec<(ReportFormat, ReportFile)>) -> ReportOptions {
    let pointers = || probes.iter().map(|probe| probe.identity().pointer.as_str());
    let places = config::places(source, pointers());
    let places = pointers().zip(places).filter_map(|(pointer, place)| Some((pointer.to_owned(), relative(place?))));
    let subject = ReportSubject { name: source.name.clone(), places: places.collect() };
    ReportOptions { subject: Arc::new(subject), reports }
}

/// Returns a place with a path as CI systems know it: relative to the repository, which GitHub Actions names; or else
/// to the current directory. A path that is outside of both stays as it is.
fn relative(Place { file, line }: Place) -> Place {
    let roots = [std::env::var_os("GITHUB_WORKSPACE").map(PathBuf::from), std::env::current_dir().ok()];
    let absolute = std::path::absolute(&file).ok();
    let inside = |root: PathBuf| absolute.as_deref()?.strip_prefix(root).ok().map(Path::to_owned);
    let inside = roots.into_iter().flatten().filter(|root| root.is_absolute()).find_map(inside);
    Place { file: inside.map_or(file, |path| path.display().to_string()), line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_a_format_and_a_file() {
        let parsed = parse("junit=a=b.xml").expect("it is valid");
        assert!(parsed.format == Format::Junit && parsed.path == Path::new("a=b.xml"));
        for (text, part) in [("junit", "FORMAT=FILE"), ("xml=x", "give text, json, junit, github"), ("json=", "a file")]
        {
            let problem = parse(text).err().expect("it is refused");
            assert!(problem.contains(part), "{problem}");
        }
    }
}
