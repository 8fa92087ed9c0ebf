//! The memory that the program takes to refuse small files whose aliases come to something large.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{empty_folder, run_command, sentrynet};

/// Runs its arguments as a command, and prints the greatest memory of the command in KiB.
const MEASURE: &str = "import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)";

/// The memory in KiB that a bomb may take beyond that of any file with an error.
const MAX_KIB: u64 = 64 << 10;

/// Checks a configuration with an error. Returns the greatest memory of the program in KiB, and the errors.
#[track_caller]
fn check(configuration: &Path) -> (u64, String) {
    let program = sentrynet();
    let mut measured = Command::new("python3");
    measured.args(["-c", MEASURE]).arg(program.get_program()).arg("check").arg(configuration);
    measured.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    measured.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    let ended = run_command(&mut measured, "");
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    let peak = ended.stdout.lines().find_map(|line| line.strip_prefix("peak ")).expect("the peak is printed");
    (peak.parse().expect("it is a number"), ended.stderr)
}

/// Returns lists that each repeat the one before ten times.
fn nested(levels: usize, indent: &str) -> String {
    let list = |level: usize| {
        let item = if level == 0 { "a".to_owned() } else { format!("*l{}", level - 1) };
        format!("{indent}t{level}: &l{level} [{}]\n", vec![item; 10].join(", "))
    };
    (0..levels).map(list).collect()
}

fn repeated(name: &str, count: usize) -> String {
    vec![format!("*{name}"); count].join(", ")
}

#[test]
fn bombs_of_aliases_take_little_memory() {
    let tags = format!("groups:\n- tags:\n{}  probes: []\n", nested(20, "    "));
    let settings = |value: &str| format!("groups:\n- probes:\n  - probe: http\n    url: http://h/\n    body:\n{value}");
    let merged = |level: usize| {
        format!("x-{level}: &m{level} {{<<: [{}], k{level}: 1}}\n", repeated(&format!("m{}", level - 1), 10))
    };
    let long_text = format!("x-a: &a {}\n", "k".repeat(1 << 20));
    let keys: String = (0..1000).map(|key| format!("'{key:a>1000}': 1, ")).collect();
    let bombs = [
        ("tags", tags.clone()),
        (
            "probes",
            format!(
                "x-p: &p {{probe: http, url: 'http://h/'}}\nx-g: &g {{probes: [{}]}}\ngroups: [{}]\n",
                repeated("p", 30_000),
                repeated("g", 30_000)
            ),
        ),
        ("settings", settings(&nested(20, "      "))),
        (
            "merge-keys",
            format!(
                "x-0: &m0 {{a: 1}}\n{}groups:\n- probes:\n  - {{probe: http, <<: *m19}}\n",
                (1..20).map(merged).collect::<String>()
            ),
        ),
        ("long-text", long_text + &settings(&format!("      z: [{}]\n", repeated("a", 60)))),
        ("long-keys", format!("x-k: &k {{{keys}}}\n") + &settings(&format!("      z: [{}]\n", repeated("k", 60)))),
    ];
    let folder = empty_folder("limits-bombs");
    let file = |name: &str, text: &str| {
        let path = folder.join(name).with_extension("yaml");
        fs::write(&path, text).expect("the folder is writable");
        path
    };
    let (base, _) = check(&file("base", "groups: 5\n"));
    let refused = |configuration: &Path| {
        let (peak, errors) = check(configuration);
        assert!(errors.contains("too large: with its aliases followed"), "{errors}");
        assert!(peak < base + MAX_KIB, "{}: {peak} KiB, and {base} KiB without a bomb", configuration.display());
    };
    for (name, text) in &bombs {
        refused(&file(name, text));
    }
    let files = folder.join("files");
    fs::create_dir(&files).expect("the folder is writable");
    for number in 0..100 {
        fs::write(files.join(format!("{number}.yaml")), &tags).expect("the folder is writable");
    }
    refused(&files);
}
