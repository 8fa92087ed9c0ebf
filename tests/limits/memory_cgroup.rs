//! The memory of the whole program, under a control group that kills it if it takes more than the documents say.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::guests::hostile::{self, COMPUTING, holding_memory};
use crate::guests::{Guest, PASSES};
use crate::limits::hostile::run_program_until_hostile_end;
use crate::support::{empty_folder, run_command, sentrynet};

/// The number of probes with hostile guests.
const HOSTILE_PROBES: usize = 100;
const TOTAL_MEMORY_MIB: u64 = 64;
/// The memory that `docs/operating.md` states for the host itself, with the 101 probes of this test.
const HOST_MEMORY_MIB: u64 = 96;

/// A control group that bounds the memory of its processes. It is removed when the value is dropped, after its
/// processes have ended.
struct MemoryCgroup {
    folder: PathBuf,
    /// The file with the greatest memory that the group had, and the file that counts kills for lack of memory.
    peak: &'static str,
    kills: &'static str,
}

impl MemoryCgroup {
    /// Creates a group with a limit in bytes.
    ///
    /// # Errors
    /// A sentence that says why this machine allows no such group.
    fn create(name: &str, limit: u64) -> Result<Self, String> {
        let root = Path::new("/sys/fs/cgroup");
        let (parent, max, peak, kills) = if root.join("memory").is_dir() {
            (root.join("memory"), "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control")
        } else {
            (root.to_owned(), "memory.max", "memory.peak", "memory.events")
        };
        let folder = parent.join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        let group = Self { folder, peak, kills };
        let max = group.folder.join(max);
        fs::write(&max, limit.to_string()).map_err(|error| format!("cannot write {}: {error}", max.display()))?;
        Ok(group)
    }

    /// Returns a command that runs another one in the group.
    fn command(&self, inner: &Command) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", r#"echo $$ >"$0" && exec "$@""#]).arg(self.folder.join("cgroup.procs"));
        command.arg(inner.get_program()).args(inner.get_args()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap_or_else(|error| panic!("{file} of the group: {error}"))
    }

    /// Returns the number of processes of the group that the kernel has killed for lack of memory.
    fn kills(&self) -> u64 {
        let text = self.read(self.kills);
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")).expect("the kernel counts kills");
        count.parse().expect("the count is a number")
    }

    /// Returns the greatest memory that the group had, in MiB, with the files that the kernel has cached for it.
    fn peak_mib(&self) -> u64 {
        self.read(self.peak).trim().parse::<u64>().expect("the peak is a number of bytes") >> 20
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        // The group of an ended process is busy for a moment.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// Writes the configuration of [`HOSTILE_PROBES`] hostile guests of all kinds, and of one that passes again and again.
fn config() -> String {
    let computing = COMPUTING.iter().map(|(name, guest, _)| (*name, *guest));
    let guests: Vec<(&str, Guest)> = computing.chain(holding_memory()).collect();
    let mut files = Vec::new();
    for (name, guest) in &guests {
        files.push(hostile::write(&format!("cgroup-{}", name.replace(' ', "-")), guest));
    }
    let mut text = format!(
        "limits: {{memory: 4 MiB, total_memory: {TOTAL_MEMORY_MIB} MiB, cpu: 0.5, deadline: 300, handles: 2000}}\n\
         groups:\n  - probes:\n"
    );
    for index in 0..HOSTILE_PROBES {
        let (name, file) = (guests[index % guests.len()].0, files[index % guests.len()].display());
        let keys = format!("title: '{name} {index}', every: 3600, allow: {{log: true, hosts: [h]}}");
        let _ = writeln!(text, "      - {{probe: '{file}', {keys}}}");
    }
    let good = PASSES.write("cgroup-beside");
    let _ = writeln!(text, "      - {{probe: '{}', title: good, every: 0.05}}", good.display());
    text
}

#[test]
fn the_program_needs_no_more_than_total_memory_and_a_constant() {
    let group = match MemoryCgroup::create("sentrynet-test", (TOTAL_MEMORY_MIB + HOST_MEMORY_MIB) << 20) {
        Ok(group) => group,
        Err(reason) => {
            // The test harness does not capture this.
            let _ = writeln!(std::io::stderr(), "SKIPPED {}: {reason}", module_path!());
            return;
        }
    };
    let text = config();
    // A component is compiled by another process, with memory of its own.
    let file = empty_folder("cgroup-check").join("probes.yaml");
    fs::write(&file, &text).expect("the folder is writable");
    let checked = run_command(sentrynet().arg("check").arg(&file), "");
    assert_eq!(checked.code, 0, "{}", checked.stderr);

    let (all, peak) = run_program_until_hostile_end(group.command(&sentrynet()), "cgroup", &text, HOSTILE_PROBES);
    assert_eq!(group.kills(), 0, "the kernel has killed the program, or a process of it");
    for run in &all {
        let expected = if run["title"] == "good" { "passed" } else { "broken" };
        assert_eq!(run["outcome"], expected, "{run:#}");
    }
    println!("peak: {} MiB resident, {} MiB with cached files", peak >> 10, group.peak_mib());
}
