//! What memory there is, as the kernel says it: this machine's, or that of a control group that the host runs in.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

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
