//! What there is, as the kernel says it: memory, this machine's or that of a control group that the host runs in, and
//! how many runs at once its limits allow.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How many of the wanted runs there can be at once: each takes memory mappings and open files, which the kernel bounds.
/// The second bound is raised as far as this process may.
pub fn max_in_flight(wanted: usize) -> usize {
    let mappings = read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| text.trim().parse().ok());
    let mappings = mappings.map(|limit| ("vm.max_map_count", limit, runs_by_mappings(limit)));
    let files = open_files(wanted).map(|limit| ("the limit on open files (`ulimit -n`)", limit, runs_by_files(limit)));
    let bounds = mappings.into_iter().chain(files);
    bounds.fold(wanted, |wanted, (name, limit, most)| {
        if wanted > most {
            tracing::warn!("at most {most} runs at once instead of {wanted}: raise {name}, now {limit}, for more");
        }
        wanted.min(most)
    })
}

fn runs_by_mappings(limit: usize) -> usize {
    /// Measured: mappings of one run, and what the process needs beside.
    const OF_A_RUN: usize = 5;
    const OF_US: usize = 8000;
    (limit.saturating_sub(OF_US) / OF_A_RUN).max(1)
}

/// What the process itself opens: files of the spool, connections to Sentry, name lookups.
const FILES_OF_US: usize = 600;

/// A run mostly has one connection, and some have several.
fn runs_by_files(limit: usize) -> usize {
    (limit.saturating_sub(FILES_OF_US) * 2 / 3).max(1)
}

/// How many files this process may have open, after it has asked for what so many runs take.
fn open_files(runs: usize) -> Option<usize> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let needed = (runs * 3 / 2 + FILES_OF_US + 1) as u64;
    let raised = needed.min(hard);
    let now = if soft < raised && setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok() { raised } else { soft };
    Some(usize::try_from(now).unwrap_or(usize::MAX))
}

/// Bytes, the least of what bounds us; none where the kernel does not say.
pub fn memory() -> Option<u64> {
    let machine = read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let bounds = groups.lines().flat_map(bounds).filter_map(|file| read_to_string(file).ok());
    // Where there is none, the second version writes `max`, and the first a number beyond all machines.
    bounds.filter_map(|text| text.trim().parse().ok()).chain(machine).min()
}

/// What `/proc/meminfo` has.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// The files that bound a line of `/proc/self/cgroup` (`NUMBER:CONTROLLERS:PATH`): its group's, and those of all above
/// it. From within a container, its own group is the topmost.
fn bounds(line: &str) -> Vec<PathBuf> {
    let (root, name, path) = match line.splitn(3, ':').collect::<Vec<_>>()[..] {
        ["0", "", path] => ("/sys/fs/cgroup", "memory.max", path),
        [_, controllers, path] if controllers.split(',').any(|one| one == "memory") => {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", path)
        }
        _ => return Vec::new(),
    };
    let group = Path::new(path.trim_start_matches('/'));
    group.ancestors().map(|group| Path::new(root).join(group).join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_the_kernels_defaults_allow() {
        assert_eq!(runs_by_mappings(65_530), 11_506);
        assert_eq!(runs_by_files(1024), 282);
        assert!(runs_by_files(20_000) > 10_000);
        assert_eq!((runs_by_mappings(0), runs_by_files(0)), (1, 1));
    }

    #[test]
    fn open_files_are_asked_for() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        let now = open_files(1000).expect("a limit");
        assert!(runs_by_files(now) >= 1000 || now as u64 == hard, "{now}");
        assert_eq!(open_files(1), Some(now), "it is never lowered");
    }

    #[test]
    fn the_machines() {
        assert_eq!(total("MemTotal:       24598804 kB\nMemFree:        8716 kB\n"), Some(25_189_175_296));
        assert_eq!(total("MemFree: 8716 kB\n"), None);
        assert!(memory().is_some_and(|bytes| bytes > 64 << 20));
    }

    #[test]
    fn control_groups_of_both_versions() {
        let found = |line| bounds(line).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        let second = ["a/b/memory.max", "a/memory.max", "memory.max"].map(|file| format!("/sys/fs/cgroup/{file}"));
        assert_eq!(found("0::/a/b"), second);
        assert_eq!(found("0::/"), ["/sys/fs/cgroup/memory.max"]);
        let first = ["a/memory.limit_in_bytes", "memory.limit_in_bytes"];
        assert_eq!(found("9:hugetlb,memory:/a"), first.map(|file| format!("/sys/fs/cgroup/memory/{file}")));
        assert_eq!(found("8:cpu:/a"), [""; 0]);
        assert_eq!(found("nonsense"), [""; 0]);
    }
}
