//! Lists of targets, of static configurations and of files.

use super::super::entry::Entry;
use super::super::report::Place;

/// A target, and how often it is probed.
pub struct Target {
    pub address: String,
    pub place: Place,
    /// Seconds from one probe to the next.
    pub every: Option<f64>,
    /// The seconds that the job gives a probe.
    pub timeout: Option<f64>,
    pub tags: Vec<(String, String)>,
}

impl Target {
    pub fn new(address: &str, place: Place) -> Self {
        Self { address: address.trim().to_owned(), place, every: None, timeout: None, tags: Vec::new() }
    }
}

/// A target with its labels.
pub struct Labeled {
    pub target: Target,
    pub labels: Vec<(String, String)>,
}

/// Returns the targets of a list of `{targets: […], labels: {…}}`.
pub fn targets(list: &Entry) -> Vec<Labeled> {
    let mut found = Vec::new();
    for item in list.items() {
        let labels: Vec<(String, String)> = item
            .get("labels")
            .map(|labels| labels.members())
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.text()?)))
            .collect();
        for target in item.get("targets").map(|targets| targets.items()).unwrap_or_default() {
            if let Some(address) = target.text().filter(|address| !address.trim().is_empty()) {
                found.push(Labeled { target: Target::new(&address, target.place()), labels: labels.clone() });
            }
        }
    }
    found
}

/// Returns true if the path of a file fits a path in `file_sd_configs`, whose last part can have a `*`. Folders do not
/// matter, since the files can lie in others now.
pub fn fits(file: &str, pattern: &str) -> bool {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let (file, pattern) = (last(file), last(pattern));
    match pattern.split_once('*') {
        Some((start, end)) => file.len() >= start.len() + end.len() && file.starts_with(start) && file.ends_with(end),
        None => file == pattern,
    }
}
