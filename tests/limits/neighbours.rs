//! Open files: probes that open many connections do not disturb others, and a host without open files blames no target.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::guests::{Guest, PASSES};
use crate::support::dns::{DnsAnswer, DnsServer};
use crate::support::proxy::Proxy;
use crate::support::running::RunningProgram;
use crate::support::ssh_server::{self, RequiredAuth};
use crate::support::target::Target;
use crate::support::{empty_folder, eventually, sentrynet};
use crate::wasi::script;
use crate::wasi::sockets::{connect_script, start_echo_server};

/// Writes a guest that runs this script. Returns its path.
fn write_guest(name: &str, run: &str) -> String {
    let run = format!("{run} i32.const 0");
    let guest = Guest { imports: script::IMPORTS, define: script::DEFINE, run: run.leak(), ..PASSES };
    guest.write_with_wasi(name, "0.2.3").display().to_string()
}

/// Starts the program with the probes on a schedule, and at most `open_files` open files if given. It writes its runs
/// to the file `runs` in a folder of this name.
fn start(name: &str, probes: &str, open_files: Option<u32>) -> (RunningProgram, std::path::PathBuf) {
    let folder = empty_folder(name);
    let (file, out) = (folder.join("probes.yaml"), folder.join("runs"));
    let text = format!("limits: {{in_flight: 40}}\ngroups:\n  - probes:\n{probes}");
    std::fs::write(&file, text).expect("the folder is writable");
    let stdout = std::fs::File::create(&out).expect("the folder is writable");
    let program = sentrynet();
    // Keeps the environment of the program, and limits the open files.
    let mut shell = Command::new("sh");
    shell.env_clear().envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let limit = open_files.map_or_else(String::new, |files| format!("ulimit -n {files}; "));
    shell.args(["-c", &format!("{limit}exec \"$0\" run \"$1\" --format json")]).arg(program.get_program()).arg(&file);
    (RunningProgram::spawn(shell.stdout(stdout).stderr(Stdio::null())), out)
}

/// Returns the runs so far, in the order of their ends.
fn read_runs(out: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(out).expect("the file was created above");
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).expect("each line is a run")).collect()
}

fn with_title<'a>(runs: &'a [Value], title: &str) -> Vec<&'a Value> {
    runs.iter().filter(|run| run["title"].as_str().is_some_and(|full| full.starts_with(title))).collect()
}

#[test]
fn probes_with_many_connections_leave_open_files_for_others() {
    let (target, port) = (Target::new(), start_echo_server());
    let connect = connect_script(port, "(br 1)");
    let greedy = write_guest(
        "greedy",
        &format!(
            "(local $n i32)
            (loop
              (block {connect})
              (local.set $n (i32.add (local.get $n) (i32.const 1)))
              (br_if 0 (i32.lt_u (local.get $n) (i32.const 100))))
            (call $pause (i64.const 60000000000))"
        ),
    );
    let modest = write_guest("modest", &connect_script(port, "(call $write-and-read)"));
    let allow = format!("allow: {{log: true, hosts: ['127.0.0.1:{port}']}}");
    let mut probes =
        format!("      - {{probe: http, url: 'http://127.0.0.1:{}/', title: good, every: 0.1}}\n", target.port);
    probes += &format!("      - {{probe: '{modest}', title: modest, {allow}, every: 0.1}}\n");
    for index in 0..12 {
        probes += &format!("      - {{probe: '{greedy}', title: greedy {index}, {allow}, every: 0.1}}\n");
    }
    let (running, out) = start("many-connections", &probes, Some(1024));
    let runs = eventually("runs of all kinds", || {
        let runs = read_runs(&out);
        let ended = |title: &str| with_title(&runs, title).len();
        (ended("good") >= 20 && ended("modest") >= 20 && ended("greedy") >= 40).then_some(runs)
    });
    drop(running);
    for run in with_title(&runs, "good").into_iter().chain(with_title(&runs, "modest")) {
        assert_eq!(run["outcome"], "passed", "{run:#}");
    }
    let greedy = with_title(&runs, "greedy");
    assert!(greedy.iter().all(|run| run["failure"]["reason"] == "open_files"), "{:#}", greedy[0]);
    assert_eq!(greedy[0]["outcome"], "broken");
    let message = greedy[0]["failure"]["message"].as_str().expect("a failure has a message");
    assert!(message.starts_with("this host has too few open files left"), "{message}");
}

#[test]
fn a_host_without_open_files_blames_no_target() {
    let (target, port) = (Target::new(), start_echo_server());
    let dns = DnsServer::start(|_| DnsAnswer::Addresses(vec![std::net::Ipv4Addr::LOCALHOST.into()]));
    let (proxy, socks) = (Proxy::start_http(None), Proxy::start_socks(None));
    let (ssh_port, fingerprint) = ssh_server::start(RequiredAuth::Nothing);
    let guest = write_guest("connects", &connect_script(port, "(call $write-and-read)"));
    let to = target.port;
    let probes = [
        format!("probe: http, title: address, url: 'http://127.0.0.1:{to}/'"),
        format!("probe: http, title: name, url: 'http://localhost:{to}/'"),
        format!("probe: http, title: dns, url: 'http://shop.example:{to}/', dns_server: '127.0.0.1:{}'", dns.port),
        format!("probe: http, title: proxy, url: 'http://127.0.0.1:{to}/', proxy: 'http://127.0.0.1:{}'", proxy.port),
        format!(
            "probe: http, title: socks, url: 'http://127.0.0.1:{to}/', proxy: 'socks5h://127.0.0.1:{}'",
            socks.port
        ),
        format!("probe: ssh, title: ssh, host: 127.0.0.1, port: {ssh_port}, host_key: '{fingerprint}'"),
        format!("probe: ssh, title: ssh by name, host: localhost, port: {ssh_port}, host_key: '{fingerprint}'"),
        format!("probe: '{guest}', title: guest, allow: {{log: true, hosts: ['127.0.0.1:{port}']}}"),
    ];
    let titles = ["address", "name", "dns", "proxy", "socks", "ssh", "ssh by name", "guest"];
    let probes: String = probes.iter().map(|keys| format!("      - {{{keys}, every: 0.2}}\n")).collect();
    let (running, out) = start("no-files", &probes, None);
    let all_ran_after = |start: usize| {
        eventually("runs of all probes", || {
            let runs = read_runs(&out);
            let has_run = |title: &&str| runs[start.min(runs.len())..].iter().any(|run| run["title"] == **title);
            titles.iter().all(has_run).then_some(runs)
        })
    };
    let passed = all_ran_after(0);
    assert!(passed.iter().all(|run| run["outcome"] == "passed"), "{passed:#?}");
    // The files that are open stay open.
    let limited = Command::new("prlimit").args(["--pid", &running.id().to_string(), "--nofile=3:1024"]).status();
    assert!(limited.expect("`prlimit` is installed").success());
    // Two rounds: a run of the first may have opened its files before.
    let first = all_ran_after(all_ran_after(passed.len()).len()).len();
    let runs = all_ran_after(first);
    for run in &runs[passed.len()..] {
        assert_ne!(run["outcome"], "failed", "{run:#}");
    }
    for run in &runs[first..] {
        assert_eq!((&run["outcome"], &run["failure"]["reason"]), (&"broken".into(), &"open_files".into()), "{run:#}");
    }
}
