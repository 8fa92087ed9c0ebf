//! The limits of the machine: its memory, or that of the control group that the host runs in, and the number of runs at
//! once that the kernel's limits allow.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::MAX_MEMORY_BYTES;

/// Returns how many of the `requested` runs can be in progress at once. Each run takes memory mappings and open files,
/// which the kernel limits. Logs a warning for each limit that allows fewer runs.
///
/// Raises this process's soft limit on open files to what the runs need, as far as the hard limit allows.
pub fn max_in_flight(requested: usize) -> usize {
    let mappings = read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| text.trim().parse().ok());
    let in_flight = match mappings {
        Some(limit) if runs_by_mappings(limit) < requested => {
            let in_flight = runs_by_mappings(limit);
            let needed = PROCESS_MAPPINGS + requested * MAPPINGS_PER_RUN;
            tracing::warn!(
                in_flight,
                limit,
                "at most {in_flight} runs at once instead of {requested}: the kernel's limit on memory mappings is \
                 {limit}; raise it with `sysctl -w vm.max_map_count={needed}`"
            );
            in_flight
        }
        _ => requested,
    };
    match raise_open_files(in_flight) {
        Some(limit) if runs_by_files(limit) < in_flight => {
            let allowed = runs_by_files(limit);
            let needed = files_needed(in_flight);
            tracing::warn!(
                in_flight = allowed,
                limit,
                "at most {allowed} runs at once instead of {in_flight}: the hard limit on open files is {limit}; raise \
                 it to {needed} (`ulimit -Hn`, or `LimitNOFILE=` of a systemd unit)"
            );
            allowed
        }
        _ => in_flight,
    }
}

/// The number of memory mappings of the process itself, measured.
const PROCESS_MAPPINGS: usize = 8000;
/// The number of memory mappings of each run, measured.
const MAPPINGS_PER_RUN: usize = 5;

/// Returns the number of runs that a limit on memory mappings allows, and at least one.
fn runs_by_mappings(limit: usize) -> usize {
    (limit.saturating_sub(PROCESS_MAPPINGS) / MAPPINGS_PER_RUN).max(1)
}

/// The number of files that the process itself opens: those of the spool, connections to Sentry, name lookups, and the
/// files that settings name.
const PROCESS_FILES: usize = 600;

/// Returns the number of runs that a limit on open files allows, and at least one. Counts three connections for two
/// runs: most runs have one, and some have several.
fn runs_by_files(limit: usize) -> usize {
    (limit.saturating_sub(PROCESS_FILES) * 2 / 3).max(1)
}

/// Returns the limit on open files that this number of runs needs.
fn files_needed(runs: usize) -> usize {
    runs * 3 / 2 + PROCESS_FILES + 1
}

/// Returns the number of connections that all of `runs` runs may have together beyond the first of each run: one for
/// each open file that the limit leaves. It is at least a sixteenth of the limit, since it is rare that all runs
/// connect at once.
pub fn connections_beyond_first(runs: usize) -> usize {
    let limit =
        getrlimit(Resource::RLIMIT_NOFILE).map_or(usize::MAX, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX));
    connections_by_files(limit, runs)
}

fn connections_by_files(limit: usize, runs: usize) -> usize {
    (limit.saturating_sub(PROCESS_FILES).saturating_sub(runs)).max(limit / 16)
}

/// Raises the soft limit on open files to what `runs` runs need, and at least to 4096, as far as the hard limit allows.
/// Returns the soft limit that is then in force, or `None` if the kernel does not report it.
fn raise_open_files(runs: usize) -> Option<usize> {
    /// The number of open files that is enough for some runs with many connections.
    const MIN_OPEN_FILES: u64 = 4096;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let raised = (files_needed(runs) as u64).max(MIN_OPEN_FILES).min(hard);
    let current = if soft < raised && setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok() { raised } else { soft };
    Some(usize::try_from(current).unwrap_or(usize::MAX))
}

/// Returns the bytes of memory that the host may use: the least of the machine's memory and of the limits of the
/// control groups that the host runs in. Returns 4 GiB if the kernel reports none of them.
pub fn usable_memory() -> u64 {
    const UNKNOWN_MEMORY_BYTES: u64 = 4 << 30;
    let machine = read_to_string("/proc/meminfo").ok().and_then(|text| parse_mem_total(&text));
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(limit_files).filter_map(|file| read_to_string(file).ok());
    // For "no limit", cgroup v2 has `max`, and v1 a number greater than the memory of any machine.
    limits.filter_map(|text| text.trim().parse().ok()).chain(machine).min().unwrap_or(UNKNOWN_MEMORY_BYTES)
}

/// Returns the bytes of memory that all runs together may use by default: half of what the host may use, but at least
/// twice the greatest memory limit of a run.
pub fn default_total_memory() -> usize {
    let half = usable_memory() / 2;
    // The reason for the minimum: at most half of the total is guaranteed to the runs in equal shares, and the rest
    // must suffice for one run with the greatest memory limit.
    usize::try_from(half).unwrap_or(usize::MAX).max(2 * MAX_MEMORY_BYTES)
}

/// Returns `MemTotal` of `/proc/meminfo` in bytes.
fn parse_mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// Returns the files with the memory limits of a line of `/proc/self/cgroup` (`NUMBER:CONTROLLERS:PATH`): those of its
/// group, and of all groups above it. Within a container, its own group is the topmost.
fn limit_files(line: &str) -> Vec<PathBuf> {
    let (root, name, path) = match line.splitn(3, ':').collect::<Vec<_>>()[..] {
        ["0", "", path] => ("/sys/fs/cgroup", "memory.max", path),
        [_, controllers, path] if controllers.split(',').any(|controller| controller == "memory") => {
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
    fn the_kernels_default_limits_allow_some_runs() {
        assert_eq!(runs_by_mappings(65_530), 11_506);
        assert_eq!(runs_by_files(1024), 282);
        assert!(runs_by_files(20_000) > 10_000);
        assert_eq!((runs_by_mappings(0), runs_by_files(0)), (1, 1));
        assert!((1..10_000).all(|runs| runs_by_files(files_needed(runs)) >= runs));
    }

    #[test]
    fn open_files_are_left_for_the_host_besides_all_connections() {
        assert_eq!(connections_by_files(1024, runs_by_files(1024)), 142);
        for limit in [1024, 4096, 65_536] {
            let runs = runs_by_files(limit);
            assert_eq!(runs + connections_by_files(limit, runs) + PROCESS_FILES, limit);
        }
        assert_eq!(connections_by_files(256, 1), 16, "some runs have several connections even where files are few");
    }

    #[test]
    fn the_limit_on_open_files_is_raised() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the kernel reports the limit");
        let now = raise_open_files(1000).expect("the kernel reports the limit");
        assert!(runs_by_files(now) >= 1000 || now as u64 == hard, "{now}");
        assert_eq!(raise_open_files(1), Some(now), "the limit is never lowered");
    }

    #[test]
    fn the_memory_of_the_machine_is_read() {
        assert_eq!(parse_mem_total("MemTotal:       24598804 kB\nMemFree:        8716 kB\n"), Some(25_189_175_296));
        assert_eq!(parse_mem_total("MemFree: 8716 kB\n"), None);
        assert!(usable_memory() > 64 << 20);
    }

    #[test]
    fn limit_files_of_both_versions_of_control_groups_are_found() {
        let files = |line| limit_files(line).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        let version_2 = ["a/b/memory.max", "a/memory.max", "memory.max"].map(|file| format!("/sys/fs/cgroup/{file}"));
        assert_eq!(files("0::/a/b"), version_2);
        assert_eq!(files("0::/"), ["/sys/fs/cgroup/memory.max"]);
        let version_1 = ["a/memory.limit_in_bytes", "memory.limit_in_bytes"];
        assert_eq!(files("9:hugetlb,memory:/a"), version_1.map(|file| format!("/sys/fs/cgroup/memory/{file}")));
        assert_eq!(files("8:cpu:/a"), [""; 0]);
        assert_eq!(files("nonsense"), [""; 0]);
    }
}
